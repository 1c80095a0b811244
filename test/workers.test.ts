/** Several processes that serve as one: real processes, signals and sockets. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { GrpcGateway, implement } from '../src/index.ts'
import { askAll, answer } from '../src/cluster/ask.ts'
import { fetchReply, Greeter, grpcClient, sleep, until, type Outcome } from './serving.ts'
import { startLoad } from './workers/load.ts'
import { startServer, type Line, type ServerProcess } from './workers/process.ts'
import type { ServerOptions } from './workers/server.ts'

const isPrimary = ({ primary }: Line): boolean => primary === true

async function serve (t: Test, options: ServerOptions): Promise<ServerProcess> {
  const server = startServer(options)
  t.teardown(() => server.kill())
  await server.started()
  return server
}

/** Over a connection of its own. */
async function hello (host: string, port: number, name = ''): Promise<Outcome> {
  const client = grpcClient(Greeter, `${host}:${port}`)
  return await client.call('SayHello', { name }).finally(() => client.raw.close())
}

const messageOf = ({ messages }: Outcome): string => (messages[0] as { message: string }).message

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Which processes answer on a port. */
async function answering (ask: () => Promise<string>): Promise<number[]> {
  const pids = new Set<string>()
  for (let i = 0; i < 8; i++) pids.add(await ask())
  return [...pids].map(Number).sort()
}

const postHello = async (url: string): Promise<string> => (await fetchReply(`${url}/grpc/greeter/sayhello`, { method: 'POST', headers: { connection: 'close' } })).json.message

t.test('both ports are shared by all workers, on each address of localhost', async t => {
  const host = 'localhost'
  const server = await serve(t, { workers: 2, host })
  const { grpc, http } = server.ports()
  const workers = server.workers().sort()
  t.equal(workers.length, 2)
  t.equal(server.lines.find(isPrimary)!.grpc, grpc, 'the primary knows the port')
  t.same(await answering(async () => messageOf(await hello(host, grpc))), workers)
  t.same(await answering(() => postHello(`http://${host}:${http}`)), workers)

  t.same(JSON.parse(messageOf(await hello(host, grpc, 'ask pid'))).sort(), workers, 'a worker can ask all')
  t.same(JSON.parse(messageOf(await hello(host, grpc, 'ask silence'))), [], 'and is not kept waiting')
  t.same(JSON.parse(messageOf(await hello(host, grpc, 'ask error'))), [])
  t.same(JSON.parse(messageOf(await hello(host, grpc, 'ask nobody'))), [])

  server.child.kill('SIGTERM')
  t.equal(await server.ended, 0)
  t.same(workers.filter(isAlive), [], 'all workers end with it')
  t.equal(server.errors(), '')
})

t.test('one port is shared by all workers too', async t => {
  const server = await serve(t, { workers: 2, singlePort: true })
  const { grpc, http } = server.ports()
  const workers = server.workers().sort()
  t.equal(grpc, http)
  t.same(await answering(async () => messageOf(await hello('127.0.0.1', grpc))), workers)
  t.same(await answering(() => postHello(`http://127.0.0.1:${http}`)), workers)
  server.child.kill('SIGTERM')
  t.equal(await server.ended, 0)
})

t.test('a scrape of any worker tells the metrics of all', async t => {
  const server = await serve(t, { workers: 2, metrics: true })
  const { http, grpc } = server.ports()
  const url = `http://127.0.0.1:${http}`
  const answered = new Set<string>()
  for (let i = 0; i < 6; i++) answered.add(await postHello(url))
  for (let i = 0; i < 3; i++) await hello('127.0.0.1', grpc)
  t.equal(answered.size, 2, 'both have answered')
  for (let i = 0; i < 4; i++) {
    const { text } = await fetchReply(`${url}/metrics`, { headers: { connection: 'close' } })
    const handled = (protocol: string): string | undefined => new RegExp(`^grpc_server_handled_total\\{protocol="${protocol}",[^}]*grpc_method="SayHello"[^}]*\\} (\\d+)$`, 'm').exec(text)?.[1]
    t.same([handled('http'), handled('grpc')], ['6', '3'])
    t.match(text, /^grpc_server_handling_seconds_bucket\{le="\+Inf",protocol="http",[^}]*\} 6$/m)
  }
  server.child.kill('SIGTERM')
  t.equal(await server.ended, 0)
})

t.test('a worker that dies is followed by another', async t => {
  const server = await serve(t, { workers: 1 })
  for (const wait of [1000, 2000]) {
    const from = server.lines.length
    const start = Date.now()
    await hello('127.0.0.1', server.ports().grpc, 'crash')
    await server.line(({ primary }) => primary === false, 'another worker', from)
    t.ok(Date.now() - start >= wait, 'later each time')
    t.ok(server.lines.slice(from).some(({ log }) => log === 'A worker has died'))
    t.equal(messageOf(await hello('127.0.0.1', server.ports().grpc)), String(server.workers().at(-1)))
  }
})

t.test('when workers cannot listen, listen rejects and all end', async t => {
  const taken = createServer()
  await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { taken.close() })
  const { port } = taken.address() as { port: number }
  const server = await serve(t, { workers: 1, http: port })
  t.match(server.lines.at(-1), { code: 'FGG_ERR_WORKERS', problem: /^The workers cannot start: .*EADDRINUSE/ })
  t.equal(await server.ended, 1, 'by itself')
})

t.test('when workers end before they listen, listen rejects', async t => {
  const server = await serve(t, { workers: 1, brokenBy: tmpdir() })
  t.match(server.lines.at(-1), { code: 'FGG_ERR_WORKERS', problem: /exit code 4 before it listened/ })
  t.equal(await server.ended, 1)
})

t.test('SIGHUP replaces the workers one by one, and no call is lost', async t => {
  const server = await serve(t, { workers: 2 })
  const load = startLoad(server.ports())
  for (let i = 0; i < 2; i++) {
    const before = server.workers().slice(-2)
    await server.restart()
    t.same(before.filter(isAlive), [])
  }
  await load.stop()
  t.equal(server.workers().length, 6)
  for (const [name, { calls, failures }] of Object.entries(load.tallies)) {
    t.ok(calls > 0, name)
    t.same(failures, [], name)
  }
})

t.test('a restart whose new worker does not come up leaves the old one; restarts that are asked for during a restart are one', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'workers-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const brokenBy = join(folder, 'broken')
  const server = await serve(t, { workers: 1, brokenBy })
  const workers = server.workers()
  writeFileSync(brokenBy, '')
  server.child.kill('SIGHUP')
  await server.line(({ log }) => log !== undefined && log.includes('the restart is given up'), 'the end of the restart')
  t.same(await answering(() => postHello(`http://127.0.0.1:${server.ports().http}`)), workers)
  rmSync(brokenBy)

  // In less time than it takes a process to start; signals that come at once are one.
  for (let i = 0; i < 4; i++) {
    server.child.kill('SIGHUP')
    await sleep(50)
  }
  await until(() => server.lines.filter(({ log }) => log === 'The workers are restarted').length === 2, 'both restarts', 60_000)
  server.child.kill('SIGTERM')
  t.equal(await server.ended, 0)
  t.equal(server.workers().length, 3)
})

t.test('workers end when their primary dies', async t => {
  const server = await serve(t, { workers: 1 })
  t.equal(server.workers().length, 1)
  server.child.kill('SIGKILL')
  await until(() => !server.workers().some(isAlive), 'the end of the worker')
})

t.test('a second signal ends everything at once', async t => {
  const server = await serve(t, { workers: 1 })
  const { grpc } = server.ports()
  const client = grpcClient(Greeter, `127.0.0.1:${grpc}`)
  t.teardown(() => client.raw.close())
  const open = client.call('SayHello', { name: 'wait' })
  await server.line(({ log }) => log === 'waiting', 'the call')
  server.child.kill('SIGTERM')
  await server.line(({ log }) => log === 'The workers end', 'the first signal')
  server.child.kill('SIGINT')
  t.equal(await server.ended, 1)
  t.not((await open).code, 0)
  await until(() => !server.workers().some(isAlive), 'the end of the worker')
})

t.test('shutdown in the primary ends the workers, not the process', async t => {
  const server = await serve(t, { workers: 1, shutdown: true })
  await server.line(({ log }) => log === 'shut down', 'the shutdown')
  t.same(server.workers().filter(isAlive), [])
  t.equal(await server.ended, 7, 'the script goes on')
})

t.test('a wrong number of workers is refused', async t => {
  const gateway = new GrpcGateway({ services: [implement(Greeter, { SayHello: () => ({ message: '' }) })], port: 0 })
  for (const workers of [0, -1, 1.5, NaN, '2', null, 1e6]) {
    await t.rejects(gateway.listen({ workers: workers as number }), { code: 'FGG_ERR_LISTEN_OPTION', message: /`workers` of listen must be a whole number, 1 to 1024/ })
  }
})

t.test('a process without workers asks itself', async t => {
  const forget = answer('test', () => ({ a: 1 }))
  t.same(await askAll('test', 100), [{ a: 1 }])
  forget()
  t.same(await askAll('test', 100), [])
})
