/** The server script as a process, with the lines that it and its workers write. */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { until } from '../serving.ts'
import type { Ports } from './load.ts'
import type { ServerOptions } from './server.ts'

/** What a process of the server says. */
export interface Line { pid: number, grpc?: number, http?: number, primary?: boolean, log?: string, problem?: string, code?: string, values?: unknown }

export interface ServerProcess {
  readonly child: ChildProcess
  readonly lines: Line[]
  /** What is no line of it. */
  readonly errors: () => string
  /** The exit code, else the signal. */
  readonly ended: Promise<number | string | null>
  /** Pids of all workers that have listened. */
  workers (): number[]
  ports (): Ports
  /** Waits for such a line after the first `from`. */
  line (is: (line: Line) => boolean, what: string, from?: number): Promise<Line>
  /** Waits until the primary and all workers have said that they listen, or the primary that it cannot. */
  started (): Promise<void>
  /** Restarts the workers one by one, and waits for the end of it. */
  restart (): Promise<void>
  /** Ends every process, whatever it does. */
  kill (): Promise<void>
}

export function startServer (options: ServerOptions): ServerProcess {
  const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(new URL('server.ts', import.meta.url)), JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: Line[] = []
  let text = ''
  let errors = ''
  child.stderr.on('data', chunk => { errors += chunk })
  child.stdout.on('data', chunk => {
    text += chunk
    const complete = text.split('\n')
    text = complete.pop()!
    for (const line of complete) {
      if (line.startsWith('{"pid"')) lines.push(JSON.parse(line))
      else errors += `${line}\n`
    }
  })
  const ended = new Promise<number | string | null>(resolve => child.once('exit', (code, signal) => resolve(signal ?? code)))
  let hasEnded = false
  ended.then(() => { hasEnded = true })
  const server: ServerProcess = {
    child,
    lines,
    errors: () => errors,
    ended,
    workers: () => lines.filter(({ primary }) => primary === false).map(({ pid }) => pid),
    ports () {
      const { grpc, http } = lines.findLast(({ primary }) => primary === false)!
      return { grpc: grpc!, http: http! }
    },
    async line (is, what, from = 0) {
      try {
        await until(() => hasEnded || lines.slice(from).some(is), what, 60_000)
      } catch (error) {
        throw new Error(`${(error as Error).message}: ${JSON.stringify(lines)} ${errors}`)
      }
      const found = lines.slice(from).find(is)
      if (found === undefined) throw new Error(`The server has ended without ${what}: ${JSON.stringify(lines)} ${errors}`)
      return found
    },
    async started () {
      const { code } = await server.line(({ primary, code }) => primary === true || code === 'FGG_ERR_WORKERS', 'the start')
      // Lines of several processes come in any order.
      if (code === undefined) await until(() => server.workers().length === options.workers, 'all workers', 60_000)
    },
    async restart () {
      const from = lines.length
      child.kill('SIGHUP')
      await server.line(({ log }) => log === 'The workers are restarted', 'the restart', from)
    },
    async kill () {
      child.kill('SIGKILL')
      await ended
      for (const { pid } of lines) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {}
      }
    }
  }
  return server
}
