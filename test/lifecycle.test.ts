/** Start, stop, and how gateways and apps fit together. */
import { createServer } from 'node:net'
import { status as codes } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { grpcGateway, GrpcGateway, implement, registerGrpcHttpRoutes } from '../src/index.ts'
import { fetchReply, Greeter, grpcClient, Kinds, recordingLogger, serve, sleep, until } from './serving.ts'

const greeter = implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) })
const kinds = implement(Kinds, { Unary: note => note })
const HELLO = '/grpc/greeter/sayhello'
const json = { 'content-type': 'application/json' }

async function call (t: Test, gateway: GrpcGateway): Promise<number> {
  const client = grpcClient(Greeter, gateway.address)
  t.teardown(() => client.raw.close())
  return (await client.call('SayHello', {}, { deadline: Date.now() + 2000 })).code
}

t.test('startup and shutdown may be called twice, at once, and in any order', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  await gateway.shutdown()
  await Promise.all([gateway.startup(), gateway.startup()])
  const { port } = gateway
  await gateway.startup()
  t.equal(gateway.port, port)
  t.not(port, 0)
  t.equal(await call(t, gateway), codes.OK)
  await Promise.all([gateway.shutdown(), gateway.shutdown()])
  t.equal(gateway.port, 0, 'the port is free again')
  await gateway.shutdown()
  await gateway.startup()
  t.equal(await call(t, gateway), codes.OK)
  await gateway.shutdown()
})

t.test('a failed startup can be tried again', async t => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => blocker.once('listening', resolve))
  const { port } = blocker.address() as { port: number }
  const gateway = new GrpcGateway({ services: [greeter], port })
  await t.rejects(gateway.startup(), { code: 'FGG_ERR_LISTEN', message: new RegExp(`127.0.0.1:${port}`) })
  await new Promise(resolve => blocker.close(resolve))
  await gateway.startup()
  t.equal(await call(t, gateway), codes.OK)
  await gateway.shutdown()
})

t.test('shutdown lets open calls of both protocols finish and refuses new ones', async t => {
  const release: Array<() => void> = []
  const slow = implement(Greeter, { SayHello: () => new Promise(resolve => release.push(() => resolve({ message: 'done' }))) })
  const { gateway, client, post } = await serve(t, { services: [slow] })
  const overGrpc = client(Greeter).call('SayHello', {})
  const overHttp = post(HELLO, {})
  await until(() => release.length === 2, 'both calls')
  const down = gateway.shutdown({ graceMs: 5000 })
  await sleep(50)
  t.match(await post(HELLO, {}), { status: 503, json: { title: 'UNAVAILABLE', detail: 'The server is shutting down' } })
  for (const finish of release) finish()
  t.match(await overGrpc, { code: codes.OK, messages: [{ message: 'done' }] })
  t.match(await overHttp, { status: 200, json: { message: 'done' } })
  await down
  t.match(await post(HELLO, {}), { status: 503 })
})

t.test('calls that outlast the grace time end with UNAVAILABLE, and their signals abort', async t => {
  const aborted: unknown[] = []
  let started = 0
  const hang = implement(Kinds, {
    Unary (_note, { signal }) {
      started++
      return new Promise(() => signal.addEventListener('abort', () => aborted.push(signal.reason)))
    },
    async * ServerStream (_note, { signal }) {
      started++
      try {
        yield { text: 'first' }
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      } finally {
        aborted.push('closed')
      }
    }
  })
  const logger = recordingLogger()
  const { gateway, client, post } = await serve(t, { services: [hang], logger })
  const calls = [client(Kinds).call('Unary', {}), client(Kinds).call('ServerStream', {})]
  const overHttp = post('/grpc/kinds/unary', {})
  await until(() => started === 3, 'the calls')
  await gateway.shutdown({ graceMs: 100 })
  for (const outcome of await Promise.all(calls)) t.match(outcome, { code: codes.UNAVAILABLE, details: 'The server is shutting down' })
  t.match(await overHttp, { status: 503 })
  t.equal(aborted.length, 3)
  t.match(logger.lines.filter(({ message }) => message.startsWith('Calls outlasted')), [{ level: 'warn', fields: { calls: 3 } }])
})

t.test('closing the app shuts the gateway down', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  const app = Fastify()
  registerGrpcHttpRoutes(app, [gateway])
  await gateway.startup()
  await app.listen({ port: 0 })
  const { address } = gateway
  await app.close()
  const client = grpcClient(Greeter, address)
  t.teardown(() => client.raw.close())
  t.match(await client.call('SayHello', {}, { deadline: Date.now() + 300 }), { code: /4|14/ })
})

t.test('listen makes an app, and serves both', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  const app = await gateway.listen({ port: 0, basePath: '/api' })
  const { port } = app.server.address() as { port: number }
  t.match(await fetchReply(`http://127.0.0.1:${port}/api${HELLO}`, { method: 'POST', body: '{"name":"a"}', headers: json }), { status: 200, json: { message: 'Hello, a!' } })
  t.equal(await call(t, gateway), codes.OK)
  await t.rejects(gateway.listen({ port: 0 }), { code: 'FGG_ERR_STATE' })
  await gateway.shutdown()
  await t.rejects(fetch(`http://127.0.0.1:${port}`))
  const again = await gateway.listen({ port: 0 })
  t.equal(await call(t, gateway), codes.OK)
  await again.close()
  t.equal(gateway.port, 0)
})

t.test('listen gives its app to `configure` before it has the routes, and leaves nothing running when that fails', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  const app = await gateway.listen({
    port: 0,
    async configure (app) {
      await sleep(10)
      app.get('/own', async () => 'mine')
      app.addHook('onRequest', async (_request, reply) => { reply.header('x-hook', 'ran') })
    }
  })
  t.equal((await app.inject('/own')).body, 'mine')
  const { statusCode, headers } = await app.inject({ method: 'POST', url: HELLO, payload: { name: 'a' } })
  t.same([statusCode, headers['x-hook']], [200, 'ran'])
  await app.close()
  await t.rejects(gateway.listen({ port: 0, configure () { throw new Error('No') } }), { message: 'No' })
  t.equal(gateway.port, 0)
  await (await gateway.listen({ port: 0 })).close()
})

t.test('onShutdown runs once all calls are over, however the end comes, and what it throws is logged', async t => {
  const logger = recordingLogger()
  let open = 0
  const seen: number[] = []
  const slow = implement(Greeter, {
    async SayHello () {
      open++
      await sleep(100)
      open--
      return { message: '' }
    }
  })
  const gateway = new GrpcGateway({
    services: [slow],
    port: 0,
    logger,
    onShutdown () {
      seen.push(open)
      if (seen.length === 2) throw new Error('No')
    }
  })
  let app: FastifyInstance
  for (const end of [() => gateway.shutdown(), async () => await app.close()]) {
    app = await gateway.listen({ port: 0 })
    const called = call(t, gateway)
    await until(() => open === 1, 'the call')
    await end()
    t.equal(await called, codes.OK)
    await gateway.shutdown()
  }
  t.same(seen, [0, 0])
  t.match(logger.lines.at(-1), { level: 'error', message: 'The function `onShutdown` failed' })
})

t.test('listen leaves nothing running when one of the two ports is taken', async t => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => blocker.once('listening', resolve))
  t.teardown(() => blocker.close())
  const { port } = blocker.address() as { port: number }

  const http = new GrpcGateway({ services: [greeter], port: 0 })
  await t.rejects(http.listen({ port, host: '127.0.0.1' }), { code: 'EADDRINUSE' })
  t.equal(http.port, 0)

  const grpc = new GrpcGateway({ services: [greeter], port })
  await t.rejects(grpc.listen({ port: 0 }), { code: 'FGG_ERR_LISTEN' })
})

t.test('several gateways on one app, each with its path', async t => {
  const a = new GrpcGateway({ services: [greeter], port: 0, path: '/a' })
  const b = new GrpcGateway({ services: [greeter, kinds], port: 0, path: '/b/' })
  const app = Fastify()
  registerGrpcHttpRoutes(app, [a, b], { basePath: '/api/' })
  t.equal((await app.inject({ method: 'POST', url: '/api/a/greeter/sayhello', payload: { name: 'x' } })).json().message, 'Hello, x!')
  t.equal((await app.inject({ method: 'POST', url: '/api/b/kinds/unary', payload: { text: 'x' } })).json().text, 'x')
  t.equal((await app.inject({ method: 'POST', url: '/api/a/kinds/unary', payload: {} })).statusCode, 404)
  t.match(a.routes().map(({ url }) => url), ['/api/a/greeter/sayhello', '/api/a/test.Greeter/SayHello'])
  await app.close()
})

t.test('two gateways under one path share it, when their services differ', async t => {
  const app = Fastify()
  registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [greeter] })])
  registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [kinds], httpMethods: ['PUT'] })])
  t.equal((await app.inject({ method: 'POST', url: HELLO })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/grpc/kinds/unary' })).statusCode, 200)
  const wrong = await app.inject({ method: 'GET', url: '/grpc/kinds/unary' })
  t.same([wrong.statusCode, wrong.headers.allow], [405, 'OPTIONS, POST, PUT'])
  await app.close()
})

t.test('routes that conflict fail at start and name both RPCs', async t => {
  const app = Fastify()
  registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [greeter] }), new GrpcGateway({ services: [greeter] })])
  await t.rejects(async () => await app.ready(), { code: 'FGG_ERR_DUPLICATE_ROUTE', message: /\/grpc\/greeter\/sayhello.*test\.Greeter\.SayHello of Greeter.*and by test\.Greeter\.SayHello of Greeter/ })
  t.throws(() => new GrpcGateway({ services: [greeter, greeter] }), { code: 'FGG_ERR_DUPLICATE_SERVICE', message: /test\.Greeter is registered twice, by Greeter and by Greeter/ })
})

t.test('the plugin follows the prefix and the hooks of its scope', async t => {
  const app = Fastify()
  app.register(async scope => {
    scope.addHook('onRequest', async (request, reply) => {
      if (request.headers.key === undefined) return await reply.code(401).send({ error: 'key' })
    })
    scope.register(grpcGateway, { gateways: [new GrpcGateway({ services: [greeter] })], prefix: '/v1' })
  }, { prefix: '/api' })
  app.post('/own', async request => request.body)
  const url = `/api/v1${HELLO}`
  t.equal((await app.inject({ method: 'POST', url })).statusCode, 401)
  t.equal((await app.inject({ method: 'POST', url, headers: { key: 'x' } })).statusCode, 200)
  t.same((await app.inject({ method: 'POST', url: '/own', payload: { a: 1 } })).json(), { a: 1 }, 'parsers of the app still work')
  await app.close()
})

t.test('the plugin says what is wrong with its options', async t => {
  const failing = async (options: object, expected: { code: string, message?: RegExp }): Promise<void> => {
    const app = Fastify()
    app.register(grpcGateway, options as never)
    await t.rejects(async () => await app.ready(), expected)
  }
  await failing({}, { code: 'FGG_ERR_OPTION', message: /gateways/ })
  await failing({ gateways: [{}] }, { code: 'FGG_ERR_OPTION', message: /gateways/ })
  await failing({ gateways: [], basePath: 'api' }, { code: 'FGG_ERR_PATH' })
})

t.test('gRPC calls log to the app, unless the gateway has a logger', async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } })
  const broken = implement(Greeter, { SayHello () { throw new Error('why') } })
  const served = await serve(t, { services: [broken] }, { app })
  await served.client(Greeter).call('SayHello', {})
  t.match(JSON.parse(lines[0]!), { rpc: '/test.Greeter/SayHello', err: { message: 'why' } })
})

t.test('starts and stops take their turn', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  await gateway.startup()
  const down = gateway.shutdown()
  await gateway.startup()
  await down
  t.equal(await call(t, gateway), codes.OK, 'a startup after a shutdown wins')
  await Promise.all([gateway.startup(), gateway.shutdown(), gateway.startup()])
  t.equal(await call(t, gateway), codes.OK)

  const again = gateway.shutdown()
  const app = await gateway.listen({ port: 0 })
  await again
  t.equal(await call(t, gateway), codes.OK, 'so does a listen')
  const { port } = app.server.address() as { port: number }
  t.equal((await fetchReply(`http://127.0.0.1:${port}${HELLO}`, { method: 'POST' })).status, 200)
  await gateway.shutdown()

  const listening = gateway.listen({ port: 0 })
  await gateway.shutdown()
  t.equal((await listening).server.listening, false, 'a shutdown after a listen wins')
  t.equal(gateway.port, 0)
})

t.test('a second shutdown may hasten the first', async t => {
  let started = false
  const hang = implement(Greeter, { SayHello () { started = true; return new Promise(() => {}) } })
  const { gateway, client } = await serve(t, { services: [hang], logger: recordingLogger() })
  const open = client(Greeter).call('SayHello', {})
  await until(() => started, 'the call')
  const patient = gateway.shutdown({ graceMs: 60_000 })
  await gateway.shutdown({ graceMs: 0 })
  await patient
  t.match(await open, { code: codes.UNAVAILABLE })
})

t.test('routes() tells the routes of the apps that are open', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0 })
  for (const basePath of ['/a', '/b']) {
    const app = await gateway.listen({ port: 0, basePath })
    t.same(gateway.routes().map(({ url }) => url), [`${basePath}/grpc/greeter/sayhello`, `${basePath}/grpc/test.Greeter/SayHello`])
    await app.close()
  }
  t.same(gateway.routes().length, 2)
})

t.test('missing methods are reported to the app that the gateway is registered with before it starts', async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
  const gateway = new GrpcGateway({ services: [kinds], port: 0 })
  registerGrpcHttpRoutes(app, [gateway])
  await gateway.startup()
  t.match(lines.map(line => JSON.parse(line)), [{ service: 'test.Kinds', missing: ['ServerStream', 'ClientStream', 'Bidi'] }])
  await app.close()
  await gateway.shutdown()
})

t.test('two versions of a service share a gateway when one is given a name', async t => {
  t.throws(() => new GrpcGateway({ services: [kinds, implement({ Unary: { ...Kinds.Unary, path: '/other.Kinds/Unary' } }, {})], protos: [] }), { code: 'FGG_ERR_NO_SCHEMA' })
  const v2 = implement(Greeter, { SayHello: () => ({ message: 'v2' }) }, { name: 'GreeterV2' })
  const app = Fastify()
  registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [v2] })])
  t.equal((await app.inject({ method: 'POST', url: '/grpc/greeterv2/sayhello' })).json().message, 'v2')
  await app.close()
})
