/** Health: what probes over gRPC and HTTP are told, when, and what that costs. */
import { connect } from 'node:http2'
import { Writable } from 'node:stream'
import underPressure from '@fastify/under-pressure'
import { makeClientConstructor, credentials, ServerInterceptingCall, status as codes, type Client, type ClientReadableStream, type ServerInterceptor } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { GrpcGateway, grpcGateway, implement, loadProto, registerGrpcHttpRoutes, type GatewayOptions } from '../src/index.ts'
import { fetchReply, Greeter, Kinds, recordingLogger, serve, sleep, until, type HttpReply, type Served } from './serving.ts'

const { Health } = loadProto(new URL('../protos/grpc/health/v1/health.proto', import.meta.url))
const greeter = implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) })
const kinds = implement(Kinds, { Unary: note => note })

/** Ends like a probe would: with what the service says, or the status of the call. */
async function grpcProbe ({ client }: Served, service = ''): Promise<string> {
  const { code, messages: [reply] } = await client(Health!).call('Check', { service })
  return code === codes.OK ? (reply as { status: string }).status : codes[code]!
}

/** A Watch that keeps what it is told. */
interface Watch { seen: string[], code: number | undefined, cancel (): void }

function watch (t: Test, gateway: GrpcGateway, service = ''): Watch {
  const client = new (makeClientConstructor(Health!, 'Health'))(gateway.address, credentials.createInsecure()) as unknown as Client
  const stream = (client as Client & { Watch (request: object): ClientReadableStream<{ status: string }> }).Watch({ service })
  const watching: Watch = { seen: [], code: undefined, cancel: () => stream.cancel() }
  stream.on('data', ({ status }) => watching.seen.push(status)).on('error', () => {}).on('status', ({ code }) => { watching.code = code })
  t.teardown(() => client.close())
  return watching
}

/** Counts the requests and calls that have arrived. */
function arrivals (): { count: number, app: FastifyInstance, interceptors: ServerInterceptor[] } {
  const app = Fastify()
  const arrived = {
    count: 0,
    app,
    interceptors: [(_method, call) => {
      arrived.count++
      return new ServerInterceptingCall(call)
    }] satisfies ServerInterceptor[]
  }
  app.addHook('onRequest', async () => { arrived.count++ })
  return arrived
}

/** A check that does what the test says, and counts. */
function controlled () {
  const check = Object.assign(async (signal: AbortSignal): Promise<unknown> => {
    check.runs++
    check.signal = signal
    return await check.answer()
  }, { runs: 0, answer: (): unknown => true, signal: undefined as AbortSignal | undefined })
  return check
}

function portOf (app: FastifyInstance): number {
  return (app.server.address() as { port: number }).port
}

const never = (): Promise<never> => new Promise(() => {})

function fails (message: string): () => never {
  return () => { throw new Error(message) }
}

t.test('probes over HTTP: live and ready, by GET and HEAD, never cached, each with a request id', async t => {
  const { request } = await serve(t, { services: [greeter], health: { db: () => {} } })
  const live = await request('/healthz')
  t.match(live, { status: 200, json: { status: 'ok' } })
  const ready = await request('/readyz', { headers: { 'x-request-id': 'probe-1' } })
  t.match(ready, { status: 200, json: { status: 'SERVING', state: 'serving', checks: [{ name: 'db', status: 'ok' }] } })
  t.equal(typeof ready.json.checks[0].durationMs, 'number')
  t.equal(ready.headers.get('x-request-id'), 'probe-1')
  t.match(live.headers.get('x-request-id'), /^[0-9a-f-]{36}$/)
  for (const { headers } of [live, ready]) {
    t.equal(headers.get('cache-control'), 'no-store')
    t.equal(headers.get('content-type'), 'application/json; charset=utf-8')
  }
  t.match(await request('/readyz', { method: 'HEAD' }), { status: 200, text: '' })
  t.match(await request('/healthz', { method: 'HEAD' }), { status: 200, text: '' })
})

t.test('a gateway is live but not ready until it is started, and when it is shut down', async t => {
  const app = Fastify()
  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  registerGrpcHttpRoutes(app, [gateway])
  t.teardown(() => app.close())
  const probe = async (path: string): Promise<number> => (await app.inject(path)).statusCode
  t.equal(gateway.health.state, 'starting')
  t.equal(await probe('/healthz'), 200)
  t.equal(await probe('/readyz'), 503)
  await gateway.startup()
  t.equal(await probe('/readyz'), 200)
  const down = gateway.shutdown()
  await until(() => gateway.health.state !== 'serving', 'the shutdown')
  t.equal(await probe('/readyz'), 503)
  await down
  t.equal(gateway.health.state, 'notServing')
  t.same((await app.inject('/readyz')).json(), { status: 'NOT_SERVING', state: 'notServing', checks: [] })
  t.equal(await probe('/healthz'), 200)
  await gateway.startup()
  t.equal(await probe('/readyz'), 200)
})

t.test('listen announces the gateway when both servers listen', async t => {
  const logger = recordingLogger()
  const gateway = new GrpcGateway({ services: [greeter], port: 0, logger })
  await gateway.listen({ port: 0, fastify: { logger: false } })
  await gateway.shutdown()
  const transitions = logger.lines.filter(({ message }) => message.startsWith('Health: ')).map(({ fields }) => fields.state)
  t.same(transitions, ['serving', 'draining', 'notServing'], 'each is logged once')
  const blocked = Fastify()
  t.teardown(() => blocked.close())
  await blocked.listen({ port: 0, host: '127.0.0.1' })
  await t.rejects(gateway.listen({ port: portOf(blocked), host: '127.0.0.1', fastify: { logger: false } }), { code: 'EADDRINUSE' })
  t.equal(logger.lines.filter(({ message }) => message === 'Health: serving').length, 1, 'not when one of them cannot')
})

t.test('grpc.health.v1: Check and List know the gateway and each of its services', async t => {
  const served = await serve(t, { services: [greeter, kinds] })
  for (const service of ['', 'test.Greeter', 'test.Kinds', 'grpc.health.v1.Health']) t.equal(await grpcProbe(served, service), 'SERVING', service)
  t.equal(await grpcProbe(served, 'test.Nobody'), 'NOT_FOUND')
  const { messages: [list] } = await served.client(Health!).call('List', {})
  t.match(list, { statuses: { '': { status: 'SERVING' }, 'test.Greeter': { status: 'SERVING' }, 'grpc.health.v1.Health': { status: 'SERVING' } } })
  for (let i = 0; i < 100; i++) served.gateway.health.setStatus(`service.${i}`, true)
  t.match(await served.client(Health!).call('List', {}), { code: codes.RESOURCE_EXHAUSTED })
  t.equal(await grpcProbe(served, 'service.99'), 'SERVING')
})

t.test('readiness of one service by ?service', async t => {
  const { request } = await serve(t, { services: [greeter] })
  t.match(await request('/readyz?service=test.Greeter'), { status: 200, json: { status: 'SERVING' } })
  t.match(await request('/readyz?service='), { status: 200 })
  for (const query of ['service=test.Nobody', 'service=test.Greeter&service=test.Greeter', 'service=__proto__']) {
    t.match(await request(`/readyz?${query}`), { status: 404, json: { status: 'SERVICE_UNKNOWN' } }, query)
  }
})

t.test('a check that throws, rejects or returns false makes both protocols say no; why is logged once and told nobody', async t => {
  const logger = recordingLogger()
  const check = controlled()
  const served = await serve(t, { services: [greeter], logger, health: { db: { check, cacheMs: 0 } } })
  const { request } = served
  for (const answer of [fails('secret'), () => Promise.reject(new Error('secret')), () => false]) {
    check.answer = () => {}
    t.match(await request('/readyz'), { status: 200 })
    check.answer = answer
    logger.lines.splice(0)
    const reply = await request('/readyz')
    t.match(reply, { status: 503, json: { status: 'NOT_SERVING', state: 'serving', checks: [{ name: 'db', status: 'failed' }] } })
    t.notMatch(reply.text, 'secret')
    t.equal(await grpcProbe(served), 'NOT_SERVING')
    t.equal(await grpcProbe(served, 'test.Greeter'), 'NOT_SERVING')
    t.match(await request('/healthz'), { status: 200 })
    t.match(logger.lines, [{ level: 'warn', message: 'Health check db: failed', fields: { check: 'db', err: Error } }])
    t.equal(logger.lines.length, 1)
  }
  check.answer = () => {}
  t.equal(await grpcProbe(served), 'SERVING')
  t.match(logger.lines.at(-1), { level: 'info', message: 'Health check db: ok again' })
})

t.test('where errors are exposed, so are those of checks, whatever was thrown', async t => {
  const errors = { expose: 'message' } as const
  const odd = { toString: fails('no text') }
  const { request } = await serve(t, { services: [greeter], errors, logger: recordingLogger(), health: { a: fails('no route to host'), b () { throw odd } } })
  t.match((await request('/readyz')).json.checks, [{ name: 'a', error: 'no route to host' }, { name: 'b', error: '' }])
})

t.test('a check that hangs has failed when its time is up, and its signal aborts', async t => {
  const logger = recordingLogger()
  const check = controlled()
  check.answer = never
  const served = await serve(t, { services: [greeter], logger, health: { db: { check, timeoutMs: 30, cacheMs: 0 }, other: () => {} } })
  t.match(await served.request('/readyz'), { status: 503, json: { checks: [{ name: 'db', status: 'timeout' }, { name: 'other', status: 'ok' }] } })
  t.match(check.signal, { aborted: true, reason: { message: 'No answer within 30 ms' } })
  t.equal(await grpcProbe(served), 'NOT_SERVING')
  t.match(logger.lines.filter(({ level }) => level === 'warn'), [{ message: 'Health check db: timeout' }])
  check.answer = () => {}
  t.equal(await grpcProbe(served), 'SERVING')
  t.equal(check.signal!.aborted, false)
})

t.test('probes at once run a check once, and its result is good for a while', async t => {
  let finish = (): void => {}
  const check = controlled()
  check.answer = () => new Promise<void>(resolve => { finish = resolve })
  const kept = controlled()
  const arrived = arrivals()
  const health = { check: { check, cacheMs: 0, timeoutMs: 60_000 }, kept: { check: kept, cacheMs: 60_000 } }
  const served = await serve(t, { services: [greeter], interceptors: arrived.interceptors, health }, arrived)
  const probes = [served.request('/readyz'), grpcProbe(served), served.gateway.health.check('test.Greeter')]
  await until(() => check.runs === 1 && arrived.count === 2, 'the probes')
  await sleep(30)
  finish()
  t.match(await Promise.all(probes), [{ status: 200 }, 'SERVING', { status: 'SERVING' }])
  t.equal(check.runs, 1)
  check.answer = () => {}
  const { json: { checks } } = await served.request('/readyz')
  t.match(checks, [{ name: 'check', cached: false }, { name: 'kept', cached: true }])
  t.equal(check.runs, 2)
  t.equal(kept.runs, 1)
})

t.test('a result that is too old is not used', async t => {
  const check = controlled()
  const served = await serve(t, { services: [greeter], logger: recordingLogger(), health: { check: { check, cacheMs: 20 } } })
  t.equal(await grpcProbe(served), 'SERVING')
  check.answer = () => false
  await sleep(25)
  t.equal(await grpcProbe(served), 'NOT_SERVING')
})

t.test('a check for some services leaves the others, and the gateway as a whole, alone', async t => {
  const served = await serve(t, {
    services: [greeter, kinds],
    logger: recordingLogger(),
    health: { db: { check: () => false, services: ['test.Greeter'] } }
  })
  t.equal(await grpcProbe(served, 'test.Greeter'), 'NOT_SERVING')
  t.equal(await grpcProbe(served, 'test.Kinds'), 'SERVING')
  t.equal(await grpcProbe(served), 'SERVING')
  t.match(await served.request('/readyz'), { status: 200, json: { checks: [] } })
  t.match(await served.request('/readyz?service=test.Greeter'), { status: 503, json: { checks: [{ name: 'db' }] } })
})

t.test('setStatus: handlers know better than checks', async t => {
  const logger = recordingLogger()
  const served = await serve(t, { services: [greeter], logger })
  const { health } = served.gateway
  health.setStatus('test.Greeter', false)
  health.setStatus('test.Greeter', false)
  t.equal(await grpcProbe(served, 'test.Greeter'), 'NOT_SERVING')
  t.equal(await grpcProbe(served), 'SERVING')
  t.equal(logger.lines.filter(({ message }) => message.includes('setStatus')).length, 1)
  health.setStatus('', false)
  t.match(await served.request('/readyz'), { status: 503, json: { state: 'serving', checks: [] } })
  health.setStatus('', true)
  health.setStatus('test.Greeter', true)
  t.match(await health.check('test.Greeter'), { status: 'SERVING' })
  t.match(await health.check('nobody'), { status: 'SERVICE_UNKNOWN' })
  t.throws(() => health.setStatus('test.Greeter', 'yes' as never), TypeError)
})

t.test('Watch tells the status at once, and again when it changes', async t => {
  const check = controlled()
  const { gateway } = await serve(t, { services: [greeter], logger: recordingLogger(), health: { db: { check, cacheMs: 100 } } })
  const overall = watch(t, gateway)
  const unknown = watch(t, gateway, 'plugin.Late')
  await until(() => overall.seen.length > 0 && unknown.seen.length > 0, 'the first status')
  t.same(overall.seen, ['SERVING'])
  t.same(unknown.seen, ['SERVICE_UNKNOWN'])
  check.answer = fails('down')
  await until(() => overall.seen.length > 1, 'the check to be run for those who watch')
  check.answer = () => {}
  await until(() => overall.seen.length > 2, 'the recovery')
  const { runs } = check
  await until(() => check.runs > runs + 1, 'further runs')
  t.same(overall.seen, ['SERVING', 'NOT_SERVING', 'SERVING'], 'nothing is told twice')
  gateway.health.setStatus('plugin.Late', false)
  gateway.health.setStatus('', false)
  await until(() => overall.seen.length > 3 && unknown.seen.length > 1, 'what setStatus says')
  t.same(unknown.seen, ['SERVICE_UNKNOWN', 'NOT_SERVING'])
})

t.test('checks run by themselves only while anyone watches', async t => {
  const check = controlled()
  const { gateway } = await serve(t, { services: [greeter], health: { db: { check, cacheMs: 100 } } })
  const [first, second] = [watch(t, gateway), watch(t, gateway)]
  await until(() => check.runs > 2, 'runs')
  first.cancel()
  await until(() => first.code === codes.CANCELLED, 'the end of the first')
  const { runs } = check
  await until(() => check.runs > runs, 'runs for the other')
  second.cancel()
  await until(() => second.code === codes.CANCELLED, 'the end of both')
  await sleep(120)
  const before = check.runs
  await sleep(250)
  t.equal(check.runs, before)
})

t.test('a shutdown tells those who watch first, does not wait for them, and lets calls finish', async t => {
  let finish = (): void => {}
  const slow = implement(Greeter, { SayHello: () => new Promise(resolve => { finish = () => resolve({ message: 'done' }) }) })
  const logger = recordingLogger()
  const { gateway, client } = await serve(t, { services: [slow], logger })
  const watching = [watch(t, gateway), watch(t, gateway, 'test.Greeter'), watch(t, gateway, 'nobody')]
  const call = client(Greeter).call('SayHello', {})
  await until(() => watching.every(({ seen }) => seen.length > 0), 'the watches')
  const down = gateway.shutdown({ graceMs: 60_000 })
  await until(() => watching[1]!.seen.length > 1, 'the news')
  t.equal(gateway.health.state, 'draining')
  finish()
  t.match(await call, { code: codes.OK })
  await down
  await until(() => watching.every(({ code }) => code !== undefined), 'the end of the watches')
  t.same(watching.map(({ seen }) => seen), [['SERVING', 'NOT_SERVING'], ['SERVING', 'NOT_SERVING'], ['SERVICE_UNKNOWN']])
  t.same(watching.map(({ code }) => code), [codes.UNAVAILABLE, codes.UNAVAILABLE, codes.UNAVAILABLE])
  t.notOk(logger.lines.some(({ message }) => message.startsWith('Calls outlasted')))
  await gateway.startup()
  const again = watch(t, gateway)
  await until(() => again.seen.length > 0, 'a watch after the restart')
  t.same(again.seen, ['SERVING'])
  await gateway.shutdown({ graceMs: 60_000 })
  await until(() => again.code !== undefined, 'its end')
})

t.test('a shutdown without grace tells those who watch too', async t => {
  const hang = implement(Greeter, { SayHello: never })
  const { gateway, client } = await serve(t, { services: [hang], logger: recordingLogger() })
  const watching = watch(t, gateway)
  const call = client(Greeter).call('SayHello', {})
  await until(() => watching.seen.length > 0, 'the watch')
  await gateway.shutdown({ graceMs: 0 })
  t.match(await call, { code: codes.UNAVAILABLE })
  await until(() => watching.code !== undefined, 'the end of the watch')
  t.same(watching.seen, ['SERVING', 'NOT_SERVING'])
})

t.test('a check that hangs does not hold back the news of a shutdown', async t => {
  const check = controlled()
  const arrived = arrivals()
  const { gateway, client, request } = await serve(t, { services: [greeter], interceptors: arrived.interceptors, health: { db: { check, timeoutMs: 60_000, cacheMs: 100 } } }, arrived)
  const watching = watch(t, gateway)
  await until(() => watching.seen.length > 0, 'the watch')
  check.answer = never
  const { runs } = check
  await until(() => check.runs > runs, 'the check to hang')
  await sleep(10)
  arrived.count = 0
  const probes = [client(Health!).call('Check', {}), request('/readyz')]
  await until(() => arrived.count === 2, 'the probes')
  await sleep(30)
  const down = gateway.shutdown({ graceMs: 60_000 })
  await until(() => watching.seen.length > 1, 'the news')
  t.same(watching.seen, ['SERVING', 'NOT_SERVING'])
  t.match(await Promise.all(probes), [{ code: codes.OK, messages: [{ status: 'NOT_SERVING' }] }, { status: 503, json: { state: 'draining' } }])
  await down
})

t.test('interceptors see health; default deadlines of the gateway are not for it', async t => {
  const seen: string[] = []
  const { gateway, client } = await serve(t, {
    services: [greeter],
    timeout: { default: 50, max: 50 },
    interceptors: [({ path }, call) => {
      seen.push(path)
      return new ServerInterceptingCall(call)
    }]
  })
  const watching = watch(t, gateway)
  await client(Health!).call('Check', {})
  t.same(seen.sort(), ['/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch'])
  await sleep(150)
  gateway.health.setStatus('', false)
  await until(() => watching.seen.length === 2, 'the watch to go on')
  t.equal(watching.code, undefined)
})

t.test('deadlines for health can be set by name', async t => {
  const { gateway } = await serve(t, { services: [greeter], methods: { 'grpc.health.v1.Health.Watch': { timeout: { default: 30 } } } })
  const watching = watch(t, gateway)
  await until(() => watching.code === codes.DEADLINE_EXCEEDED, 'the deadline')
  t.pass()
})

t.test('health is served over gRPC only, a registration by the user wins, and false leaves it out', async t => {
  const { gateway, post } = await serve(t, { services: [greeter] })
  t.notOk(gateway.routes().some(({ rpc }) => rpc.includes('health')))
  t.match(await post('/grpc/grpc.health.v1.Health/Check', {}), { status: 404 })

  const own = await serve(t, { services: [greeter, implement(Health!, { Check: () => ({ status: 'UNKNOWN' }) })], logger: recordingLogger() })
  t.equal(await grpcProbe(own), 'UNKNOWN')
  t.match(await own.post('/grpc/health/check', {}), { status: 200, json: {} })

  const without = await serve(t, { services: [greeter], health: false })
  t.equal(await grpcProbe(without), 'UNIMPLEMENTED')
  t.match(await without.request('/readyz'), { status: 200 })
})

function register (app: FastifyInstance, options: Partial<GatewayOptions>, plugin: { prefix?: string, basePath?: string } = {}): GrpcGateway {
  const gateway = new GrpcGateway({ services: [greeter], port: 0, ...options })
  app.register(grpcGateway, { gateways: [gateway], ...plugin })
  return gateway
}

async function statusOf (app: FastifyInstance, path: string): Promise<number> {
  return (await app.inject(path)).statusCode
}

t.test('where probes lie', async t => {
  await t.test('under the prefix, without the base path', async t => {
    const app = Fastify()
    register(app, {}, { prefix: '/api/', basePath: '/v1' })
    t.equal(await statusOf(app, '/api/healthz'), 200)
    t.equal(await statusOf(app, '/healthz'), 404)
    t.equal(await statusOf(app, '/api/v1/healthz'), 404)
  })

  await t.test('by other names, and not at all', async t => {
    const app = Fastify()
    register(app, { probes: { ready: '/-/ready' } })
    t.equal(await statusOf(app, '/-/ready'), 503)
    t.equal(await statusOf(app, '/healthz'), 200)
    t.equal(await statusOf(app, '/readyz'), 404)
    const none = Fastify()
    register(none, { probes: false })
    t.equal(await statusOf(none, '/healthz'), 404)
  })

  await t.test('without routes for services too', async t => {
    const app = Fastify()
    register(app, { exposeHttp: false })
    t.equal(await statusOf(app, '/healthz'), 200)
  })

  await t.test('not where the app has such a route', async t => {
    const app = Fastify()
    app.get('/healthz', () => 'mine')
    register(app, {})
    t.equal((await app.inject('/healthz')).body, 'mine')
    t.equal(await statusOf(app, '/readyz'), 503)
  })
})

t.test('the probes of an app speak for all its gateways, wherever they are registered', async t => {
  const app = Fastify()
  const first = register(app, { path: '/one', health: { a: () => {} } })
  const second = register(app, { path: '/two', services: [kinds], health: { b: () => {} } })
  const third = register(app, { path: '/three', probes: false }, { prefix: '/inner' })
  await app.ready()
  t.teardown(() => app.close())
  await Promise.all([first.startup(), second.startup()])
  t.match((await app.inject('/readyz')).json(), { status: 'NOT_SERVING', state: 'starting' })
  await third.startup()
  t.match((await app.inject('/readyz')).json(), { status: 'SERVING', state: 'serving', checks: [{ name: 'a' }, { name: 'b' }] })
  t.match((await app.inject('/readyz?service=test.Kinds')).json(), { status: 'SERVING', checks: [{ name: 'b' }] })
  second.health.setStatus('test.Kinds', false)
  t.equal(await statusOf(app, '/readyz?service=test.Kinds'), 503)
  third.health.setStatus('test.Greeter', false)
  t.equal(await statusOf(app, '/readyz?service=test.Greeter'), 503, 'one of two that have it cannot serve')
  t.equal(await statusOf(app, '/inner/readyz'), 404)
})

t.test('probes leave no lines in the log', async t => {
  let log = ''
  const stream = new Writable({ write (chunk, _encoding, done) { log += chunk; done() } })
  const app = Fastify({ logger: { level: 'info', stream } })
  const { request } = await serve(t, { services: [greeter], logger: recordingLogger() }, { app })
  log = ''
  await request('/healthz')
  await request('/readyz?service=nobody')
  t.equal(log, '')
  await request('/elsewhere')
  await until(() => log.includes('/elsewhere'), 'a line of another route')
})

t.test('probes over HTTP/2, and beside WebSockets', async t => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  const { url } = await serve(t, { services: [greeter] }, { app })
  const session = connect(url)
  t.teardown(() => session.close())
  const stream = session.request({ ':path': '/readyz' })
  const [headers] = await new Promise<[Record<string, unknown>]>(resolve => stream.once('response', (...args) => resolve(args as never)))
  t.equal(headers[':status'], 200)
  stream.resume()

  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  const sockets = await gateway.listen({ port: 0, host: '127.0.0.1', webSocket: true })
  t.teardown(() => gateway.shutdown())
  t.match(await fetchReply(`http://127.0.0.1:${portOf(sockets)}/readyz`), { status: 200 })
})

t.test('@fastify/under-pressure: an app under pressure is live, but not ready on either protocol', async t => {
  let healthy = true
  const app = Fastify()
  app.register(underPressure, { healthCheck: async () => healthy, healthCheckInterval: 5 })
  const logger = recordingLogger()
  const served = await serve(t, { services: [greeter], logger }, { app })
  const pressure = async (reply: string): Promise<HttpReply> => {
    await until(() => app.isUnderPressure() === (reply === 'failed'), 'the pressure')
    const last = await served.request('/readyz')
    t.match(last.json.checks, [{ name: 'under-pressure', status: reply }])
    return last
  }
  t.equal((await pressure('ok')).status, 200)
  healthy = false
  t.equal((await pressure('failed')).status, 503)
  t.equal(await grpcProbe(served), 'NOT_SERVING')
  t.match(await served.request('/healthz'), { status: 200 })
  t.match(await served.post('/grpc/greeter/sayhello', {}), { status: 503 }, 'the plugin answers for the rest')
  healthy = true
  t.equal((await pressure('ok')).status, 200)
  t.equal(logger.lines.filter(({ message }) => message === 'Health check under-pressure: failed').length, 1)
  await served.app.close()
  t.match(await served.gateway.health.check(), { checks: [] }, 'a closed app presses no more')
})

t.test('options that are wrong are named', async t => {
  const wrong: Array<[unknown, RegExp]> = [
    [{ health: true }, /`health` .*must be false, or an object of checks/],
    [{ health: { db: 1 } }, /`health` .*must be functions.*\(at db\)/],
    [{ health: { db: { check: () => {}, timeoutMs: 0 } } }, /`timeoutMs` must be milliseconds, 1 to/],
    [{ health: { db: { check: () => {}, cacheMs: -1 } } }, /`cacheMs` must be milliseconds, 0 to/],
    [{ health: { db: { check: () => {}, cache: 1 } } }, /has no member `cache`.*timeoutMs, cacheMs, check, services \(at db\)/],
    [{ health: { db: { check: () => {}, services: 'test.Greeter' } } }, /`services` must be a list/],
    [{ health: { db: { check: () => {}, services: ['Greeter'] } } }, /names Greeter \(at db\), which is none of: '', the gateway, test\.Greeter/],
    [{ probes: 'yes' }, /`probes` .*must be an object/],
    [{ probes: { live: 'healthz' } }, /`live` and `ready` must be plain paths/],
    [{ probes: { live: '/readyz' } }, /both \/readyz/],
    [{ probes: { startup: '/s' } }, /has no member `startup`/]
  ]
  for (const [options, message] of wrong) {
    t.throws(() => new GrpcGateway({ services: [greeter], ...options as object }), { code: 'FGG_ERR_OPTION', message }, JSON.stringify(options))
  }
})
