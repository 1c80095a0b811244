/**
 * How the command reaches servers that it has started on this machine: each listens on a Unix socket in a folder that
 * only its user can enter, a named pipe on Windows. So nobody else can have a server drain, and nothing of it is on the
 * network.
 */
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { CommandError, UsageError } from './command.ts'
import { printWarning } from './output.ts'
import type { Served } from './serve/target.ts'

/** `drain` is answered at once, `drained` when no call is open any more, or the drain is taken back. */
export type ControlRequest = 'status' | 'routes' | 'drain' | 'drained' | 'undrain'

const REQUESTS: readonly string[] = ['status', 'routes', 'drain', 'drained', 'undrain'] satisfies ControlRequest[]

const SUFFIX = '.sock'

function controlFolder (): string {
  return join(process.env.XDG_RUNTIME_DIR ?? tmpdir(), `fastify-grpc-gateway-${userInfo().username}`)
}

function addressOf (pid: number): string {
  return process.platform === 'win32' ? `\\\\.\\pipe\\fastify-grpc-gateway-${pid}` : join(controlFolder(), `${pid}${SUFFIX}`)
}

/** Listens until the process ends. Where that cannot be, the server goes on without, and says so. */
export async function openControl (served: Served): Promise<void> {
  const address = addressOf(process.pid)
  const server = createServer(socket => {
    socket.on('error', () => socket.destroy())
    createInterface(socket).on('line', line => { answer(served, line).then(reply => socket.write(`${JSON.stringify(reply)}\n`), () => socket.destroy()) })
  })
  server.unref()
  try {
    if (process.platform !== 'win32') makePrivate(controlFolder())
    rmSync(address, { force: true })
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(address, resolve))
    if (process.platform !== 'win32') process.once('exit', () => rmSync(address, { force: true }))
  } catch (error) {
    printWarning(`status, routes and drain without an address do not reach this server: ${(error as Error).message}`)
  }
}

/** @throws when it is somebody else's */
function makePrivate (folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const stats = lstatSync(folder)
  if (!stats.isDirectory() || stats.uid !== process.getuid?.()) throw new Error(`${folder} belongs to somebody else`)
  if ((stats.mode & 0o077) !== 0) chmodSync(folder, 0o700)
}

async function answer ({ gateway, serve, app }: Served, request: string): Promise<object> {
  switch (request as ControlRequest) {
    case 'status': return { pid: process.pid, state: gateway.health.state, grpc: gateway.address, http: app.listeningOrigin, calls: gateway.load, ...(serve === undefined ? {} : { applications: serve.status() }) }
    case 'routes': return { routes: gateway.routes(), applications: Object.entries(serve?.status() ?? {}).map(([name, { routePrefix }]) => ({ name, routePrefix })) }
    case 'drain':
      gateway.drain().catch(() => {})
      return { state: gateway.health.state }
    case 'drained':
      await gateway.drain()
      return { state: gateway.health.state }
    case 'undrain':
      gateway.undrain()
      return { state: gateway.health.state }
    default: return { error: `The server knows ${REQUESTS.join(', ')}` }
  }
}

/**
 * Asks a server on this machine.
 *
 * @param pid of its process; the only one there is where undefined
 * @throws CommandError when there is none, or several
 */
export async function askControl (request: ControlRequest, pid?: number): Promise<Record<string, unknown>> {
  const asked = pid ?? await onlyServer()
  const socket = await connected(asked)
  if (socket === undefined) throw new CommandError(`There is no server of ${userInfo().username} with the process id ${asked}`)
  try {
    socket.write(`${request}\n`)
    const { value, done } = await createInterface(socket)[Symbol.asyncIterator]().next()
    if (done === true) throw new CommandError(`The server with the process id ${asked} has ended`)
    return JSON.parse(value) as Record<string, unknown>
  } finally {
    socket.destroy()
  }
}

async function onlyServer (): Promise<number> {
  const running = []
  for (const pid of pidsIn(controlFolder())) {
    const socket = await connected(pid)
    socket?.destroy()
    if (socket !== undefined) running.push(pid)
  }
  if (running.length === 1) return running[0]!
  throw new CommandError(running.length === 0 ? 'No server of this command runs here. Name one elsewhere by --address' : `Several servers run here. Name one: ${running.join(', ')}`)
}

function pidsIn (folder: string): number[] {
  try {
    return readdirSync(folder).filter(file => file.endsWith(SUFFIX)).map(file => Number(file.slice(0, -SUFFIX.length))).sort((a, b) => a - b)
  } catch {
    return []
  }
}

/** @returns undefined where nobody listens */
async function connected (pid: number): Promise<Socket | undefined> {
  return await new Promise(resolve => {
    const socket = connect(addressOf(pid))
    socket.once('connect', () => {
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    socket.once('error', () => resolve(undefined))
  })
}

/** @throws UsageError */
export function pidOf (text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`A process id is a number, not ${text}`)
  return Number(text)
}
