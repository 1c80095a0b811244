/** Signals: what they do to a process that listens, and that they leave nothing behind. */
import { status as codes } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { GrpcGateway, implement, type ListenOptions } from '../src/index.ts'
import { run, type Running } from './example-process.ts'
import { fetchReply, Greeter, grpcClient, recordingLogger, until, type HttpReply, type TestClient } from './serving.ts'

const HELLO = '/grpc/greeter/sayhello'

interface Server extends Running {
  client: TestClient
  output: string
  post (name: string): Promise<HttpReply>
}

async function serve (t: Test, options: ListenOptions): Promise<Server> {
  const running = await run(t, ['env', `LISTEN=${JSON.stringify(options)}`, process.execPath, '--import', 'tsx', 'test/signals/server.ts'])
  const client = grpcClient(Greeter, running.grpc)
  t.teardown(() => client.raw.close())
  const server: Server = {
    ...running,
    client,
    post: name => fetchReply(running.http + HELLO, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name }) })
  }
  running.child.stdout!.on('data', chunk => { server.output += chunk })
  running.child.stderr!.on('data', chunk => { server.output += chunk })
  return server
}

t.test('each signal lets open calls finish, and ends the process with exit code 0', async t => {
  await Promise.all((['SIGTERM', 'SIGINT', 'SIGQUIT'] as const).map(async signal => {
    const server = await serve(t, {})
    const { child, client, post, ended } = server
    const calls = Promise.all([client.call('SayHello', { name: 'slow' }), post('slow')])
    await until(() => server.output.split('Call slow').length === 3, 'both calls')
    child.kill(signal)
    t.match(await calls, [{ code: codes.OK, messages: [{ message: 'slow' }] }, { status: 200, json: { message: 'slow' } }], signal)
    t.equal(await ended, 0, signal)
  }))
})

t.test('a process drains before it shuts down', async t => {
  const { http, child, client, post, ended } = await serve(t, { drainMs: 1500 })
  t.match(await fetchReply(`${http}/readyz`), { status: 200 })
  child.kill('SIGTERM')
  let ready: HttpReply
  do ready = await fetchReply(`${http}/readyz`)
  while (ready.status === 200)
  t.match(ready, { status: 503, json: { state: 'draining' } })
  const reply = await post('')
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('connection'), 'close')
  t.match(await client.call('SayHello', {}), { code: codes.OK })
  t.equal(await ended, 0)
})

t.test('calls that outlast the grace time end with UNAVAILABLE', async t => {
  const server = await serve(t, { graceMs: 100 })
  const { child, client, post, ended } = server
  const calls = Promise.all([client.call('SayHello', { name: 'endless' }), post('endless')])
  await until(() => server.output.split('Call endless').length === 3, 'both calls')
  child.kill('SIGTERM')
  t.match(await calls, [{ code: codes.UNAVAILABLE }, { status: 503, json: { title: 'UNAVAILABLE' } }])
  t.equal(await ended, 0)
})

t.test('a second signal ends the process at once', async t => {
  const server = await serve(t, { drainMs: 60_000 })
  const { http, child, client, ended } = server
  const call = client.call('SayHello', { name: 'endless' }, { deadline: Date.now() + 60_000 })
  await until(() => server.output.includes('Call endless'), 'the call')
  child.kill('SIGTERM')
  while ((await fetchReply(`${http}/readyz`)).status === 200);
  child.kill('SIGINT')
  t.equal(await ended, 1)
  t.match(await call, { code: codes.UNAVAILABLE })
})

t.test('without signals, the process ends as any other', async t => {
  const { child, ended } = await serve(t, { signals: false })
  child.kill('SIGTERM')
  t.equal(await ended, null)
  t.equal(child.signalCode, 'SIGTERM')
})

t.test('one handler serves all gateways of a process, and is gone when they are shut down', async t => {
  const EVENTS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'uncaughtException', 'unhandledRejection', 'beforeExit'] as const
  const listeners = (): number[] => EVENTS.map(event => process.listenerCount(event))
  const before = listeners()
  const plus = (count: number): number[] => before.map((n, i) => i < 3 ? n + count : n)
  const greeter = implement(Greeter, { SayHello: () => ({ message: '' }) })
  const gateways = Array.from({ length: 12 }, () => new GrpcGateway({ services: [greeter], port: 0, logger: recordingLogger() }))
  const apps = await Promise.all(gateways.map(gateway => gateway.listen({ port: 0, host: '127.0.0.1' })))
  t.same(listeners(), plus(1))
  await Promise.all(gateways.slice(1).map(gateway => gateway.shutdown()))
  t.same(listeners(), plus(1))
  await apps[0]!.close()
  t.same(listeners(), before)
  await gateways[0]!.listen({ port: 0, host: '127.0.0.1', signals: false })
  t.same(listeners(), before)
  await gateways[0]!.shutdown()
})

t.test('a gateway that cannot listen leaves no handler', async t => {
  const before = process.listenerCount('SIGTERM')
  const gateway = new GrpcGateway({ services: [implement(Greeter, {})], port: 0, logger: recordingLogger() })
  await t.rejects(gateway.listen({ port: 0, host: '192.0.2.1' }))
  t.equal(process.listenerCount('SIGTERM'), before)
})

t.test('options that are wrong are named', async t => {
  const gateway = new GrpcGateway({ services: [implement(Greeter, {})], port: 0, logger: recordingLogger() })
  await t.rejects(gateway.listen({ signals: 'SIGTERM' } as never), { code: 'FGG_ERR_LISTEN_OPTION', message: /signals/ })
  await t.rejects(gateway.listen({ drainMs: -1 }), { code: 'FGG_ERR_OPTION', message: /drainMs/ })
  await t.rejects(gateway.listen({ graceMs: '1s' } as never), { code: 'FGG_ERR_OPTION', message: /graceMs/ })
})
