/** The acceptance cases of model-serving systems and of the gRPC tutorial, by their ids. */
import { Metadata, status as codes, type ClientWritableStream } from '@grpc/grpc-js'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import {
  GrpcGateway, GrpcError, implement, loadProto, registerGrpcHttpRoutes, status, type BidiStreamingMethod, type CallContext, type ClientStreamingMethod,
  type GatewayOptions, type ServerStreamingMethod, type ServiceRegistrar, type UnaryMethod
} from '../src/index.ts'
import { RouteGuide, RouteGuideService } from '../examples/route-guide/service.ts'
import { features } from '../examples/route-guide/geography.ts'
import { GreeterService as HelloService, Greeter as Hello } from '../examples/helloworld.ts'
import { callOverHttp, Greeter, grpcClient, Kinds, recordingLogger, serve, sleep, until, type HttpCallOptions, type MethodStreams, type Outcome } from './serving.ts'

class GreeterService {
  async SayHello ({ name }: { name: string }, context: CallContext): Promise<{ message: string }> {
    if (name === 'error') context.abort(status.INVALID_ARGUMENT, 'Invalid request')
    return { message: `Hello, ${name}!` }
  }

  helper (): string {
    return 'not an RPC'
  }

  static addToServer (instance: GreeterService, server: ServiceRegistrar): void {
    server.implement(Greeter, instance)
  }
}

const SAY_HELLO = '/grpc/greeterservice/sayhello'

t.test('A1 the RPC answers JSON over HTTP', async t => {
  const { post } = await serve(t, { services: [GreeterService] })
  const { status, text, headers } = await post(SAY_HELLO, { name: 'World' })
  t.equal(status, 200)
  t.equal(text, '{"message":"Hello, World!"}')
  t.match(headers.get('content-type'), 'application/json')
})

t.test('A2 a status error becomes an HTTP error', async t => {
  const { post } = await serve(t, { services: [GreeterService] })
  const { status, json } = await post(SAY_HELLO, { name: 'error' })
  t.equal(status, 400)
  t.equal(json.detail, 'Invalid request')
})

t.test('A3, A4 the same service answers over gRPC', async t => {
  const { client } = await serve(t, { services: [GreeterService] })
  const greeter = client(Greeter)
  t.match(await greeter.call('SayHello', { name: 'GRPC' }), { code: codes.OK, messages: [{ message: 'Hello, GRPC!' }] })
  t.match(await greeter.call('SayHello', { name: 'error' }), { code: codes.INVALID_ARGUMENT, details: 'Invalid request' })
})

t.test('A5 a service that reads attributes of its request works over HTTP', async t => {
  const service = implement(Greeter, {
    SayHello (request) {
      return { message: 'Hello, ' + request.name + '!' }
    }
  })
  const { post } = await serve(t, { services: [service] })
  t.match(await post('/grpc/greeter/sayhello', { name: 'World' }), { status: 200, json: { message: 'Hello, World!' } })
})

t.test('A6 two services of one gateway answer on both protocols', async t => {
  const notes = implement(Kinds, { Unary: ({ text }) => ({ text: text.toUpperCase() }) })
  const { post, client } = await serve(t, { services: [GreeterService, notes] })
  t.match(await post(SAY_HELLO, { name: 'a' }), { json: { message: 'Hello, a!' } })
  t.match(await post('/grpc/kinds/unary', { text: 'b' }), { json: { text: 'B' } })
  t.match(await client(Greeter).call('SayHello', { name: 'a' }), { messages: [{ message: 'Hello, a!' }] })
  t.match(await client(Kinds).call('Unary', { text: 'b' }), { messages: [{ text: 'B' }] })
})

t.test('A7 exposeHttp: false leaves gRPC alone', async t => {
  const { post, client } = await serve(t, { services: [GreeterService], exposeHttp: false })
  t.equal((await post(SAY_HELLO, { name: 'a' })).status, 404)
  t.match(await client(Greeter).call('SayHello', { name: 'a' }), { code: codes.OK })
})

t.test('A8 basePath moves the routes', async t => {
  const { post } = await serve(t, { services: [GreeterService] }, { basePath: '/api/v1' })
  t.equal((await post(`/api/v1${SAY_HELLO}`, {})).status, 200)
  t.equal((await post(SAY_HELLO, {})).status, 404)
})

t.test('A9 a method that is not listed gets 405 and Allow', async t => {
  const { request } = await serve(t, { services: [GreeterService], httpMethods: ['POST'] })
  const { status, json, headers } = await request(SAY_HELLO)
  t.equal(status, 405)
  t.equal(json.detail, 'Method GET not allowed.')
  t.match(headers.get('allow'), /\bPOST\b/)
})

t.test('A10 isSecure needs credentials', async t => {
  t.throws(() => new GrpcGateway({ services: [GreeterService], isSecure: true }), { code: 'FGG_ERR_CREDENTIALS', message: /isSecure.*serverCredentials/ })
})

t.test('A11 a path starts with a slash', async t => {
  t.throws(() => new GrpcGateway({ services: [GreeterService], path: 'grpc' }), { code: 'FGG_ERR_PATH', message: /Paths must start with '\/'/ })
})

t.test('A12 a service needs its hook', async t => {
  class Hookless {}
  t.throws(() => new GrpcGateway({ services: [Hookless] }), { code: 'FGG_ERR_SERVICE', message: /Hookless.*addToServer/ })
})

t.test('A13 a taken port is named, and never shared', async t => {
  const first = await serve(t, { services: [GreeterService] })
  const second = new GrpcGateway({ services: [implement(Greeter, { SayHello: () => ({ message: 'wrong' }) })], port: first.gateway.port })
  await t.rejects(second.startup(), { code: 'FGG_ERR_LISTEN', message: new RegExp(`127\\.0\\.0\\.1:${first.gateway.port}.*EADDRINUSE`) })
  t.match(await first.client(Greeter).call('SayHello', { name: 'a' }), { messages: [{ message: 'Hello, a!' }] })
})

t.test('A14 a gateway restarts, and finishes open calls when it is shut down', async t => {
  let open = 0
  const slow = implement(Greeter, {
    async SayHello () {
      open++
      await sleep(300)
      return { message: 'done' }
    }
  })
  const gateway = new GrpcGateway({ services: [slow], port: 0 })
  for (const round of [1, 2]) {
    await gateway.startup()
    const client = grpcClient(Greeter, gateway.address)
    const call = client.call('SayHello', {})
    await until(() => open === round, 'the call')
    await gateway.shutdown({ graceMs: 5000 })
    t.match(await call, { code: codes.OK, messages: [{ message: 'done' }] }, `round ${round}`)
    client.raw.close()
  }
})

t.test('A15 there is one instance: what gRPC changes, HTTP sees', async t => {
  class CounterService {
    #count = 0
    SayHello (): { message: string } {
      return { message: String(++this.#count) }
    }

    static addToServer (instance: CounterService, server: ServiceRegistrar): void {
      server.implement(Greeter, instance)
    }
  }
  const { post, client } = await serve(t, { services: [CounterService] })
  await client(Greeter).call('SayHello', {})
  t.equal((await post('/grpc/counterservice/sayhello', {})).json.message, '2')
})

t.test('A16 bad bodies are refused, no body is an empty message', async t => {
  const { post, request } = await serve(t, { services: [GreeterService], httpMethods: ['GET'] })
  for (const body of ['{bad', '[1]', '{"name":{"a":1}}']) {
    t.match(await post(SAY_HELLO, body), { status: 400, json: { title: 'INVALID_ARGUMENT', code: 3 } }, body)
  }
  t.equal((await post(SAY_HELLO)).json.message, 'Hello, !')
  t.equal((await request(`${SAY_HELLO}?name=World`)).json.message, 'Hello, World!')
})

t.test('A17 trailing metadata become headers', async t => {
  const service = implement(Greeter, {
    SayHello (_request, context) {
      context.trailers.set('cost', '7')
      return { message: '' }
    }
  })
  const { post } = await serve(t, { services: [service] })
  t.equal((await post('/grpc/greeter/sayhello', {})).headers.get('grpc-trailer-cost'), '7')
})

t.test('A18 a stream comes over HTTP as one JSON message a line', async t => {
  const { post } = await serve(t, { services: [implement(Kinds, { * ServerStream ({ text }) { for (let n = 1; n <= 3; n++) yield { text, n: String(n) } } })] })
  const { status, text, headers } = await post('/grpc/kinds/serverstream', { text: 'a' })
  t.equal(status, 200)
  t.equal(headers.get('content-type'), 'application/x-ndjson')
  t.equal(text, '{"text":"a","n":"1"}\n{"text":"a","n":"2"}\n{"text":"a","n":"3"}\n')
})

t.test('A19 64-bit integers keep every digit or are refused', async t => {
  const { post } = await serve(t, { services: [implement(Kinds, { Unary: note => note })] })
  t.equal((await post('/grpc/kinds/unary', '{"n":"9007199254740993"}')).text, '{"n":"9007199254740993"}')
  t.match(await post('/grpc/kinds/unary', '{"n":9007199254740993}'), { status: 400, json: { detail: /^n: / } })
})

t.test('A20 a method that is no RPC is not exposed', async t => {
  const { post } = await serve(t, { services: [GreeterService] })
  t.match(await post('/grpc/greeterservice/helper', {}), { status: 404, json: { title: 'NOT_FOUND' } })
})

t.test('A21 an unexpected throw tells clients the same on both protocols, and nothing of its cause', async t => {
  const { post, client } = await serve(t, { services: [implement(Greeter, { SayHello () { throw new Error('secret') } })] })
  t.match(await client(Greeter).call('SayHello', {}), { code: codes.INTERNAL, details: 'Internal error' })
  t.match(await post('/grpc/greeter/sayhello', {}), { status: 500, json: { title: 'INTERNAL', detail: 'Internal error' } })
})

t.test('A22 a route tells its RPC, from which documents are made', async t => {
  const app = Fastify()
  const rpcs: unknown[] = []
  app.addHook('onRoute', ({ url, config }) => { if (config?.grpc !== undefined) rpcs.push([url, config.grpc.rpc]) })
  registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [GreeterService] })])
  await app.ready()
  t.has(rpcs, [[SAY_HELLO, '/test.Greeter/SayHello']])
  await app.close()
})

/** Runs a case over gRPC and over HTTP, against a service of its own each time. */
function overBoth (name: string, options: (t: Test) => GatewayOptions, run: (t: Test, call: UserDefinedCall) => Promise<void>): void {
  t.test(name, async t => {
    await t.test('over gRPC', async t => {
      const { client } = await serve(t, options(t))
      const { call } = client(UserDefinedService)
      await run(t, async (method, requests, { headers = {}, signal } = {}) => await call(method, requests as object[], { metadata: Metadata.fromHttp2Headers(headers), ...(signal === undefined ? {} : { signal }) }))
    })
    await t.test('over HTTP', async t => {
      const { url } = await serve(t, options(t))
      await run(t, async (method, requests, options) => await callOverHttp(`${url}/grpc/userdefinedservice/${method.toLowerCase()}`, UserDefinedService[method], requests, options))
    })
  })
}

interface UserDefinedMessage { name: string, foo: string, num: string }
interface UserDefinedResponse { greeting: string, numX2: string | number }
type Response = Partial<UserDefinedResponse>

interface UserDefinedDefinition {
  Call: UnaryMethod<UserDefinedMessage, Response>
  Streaming: ServerStreamingMethod<UserDefinedMessage, Response>
  ClientStreaming: ClientStreamingMethod<UserDefinedMessage, Response>
  BidiStreaming: BidiStreamingMethod<UserDefinedMessage, Response>
}

const { UserDefinedService } = loadProto<{ UserDefinedService: UserDefinedDefinition }>(new URL('fixtures/user_defined.proto', import.meta.url))
const USER_DEFINED_KINDS = ['Call', 'Streaming', 'ClientStreaming', 'BidiStreaming'] as const
type UserDefinedCall = (method: typeof USER_DEFINED_KINDS[number], requests: object | object[], options?: HttpCallOptions) => Promise<Outcome>

const userDefined = implement(UserDefinedService, {
  async * Streaming ({ name, foo, num }) {
    for (let i = 0; i < 10; i++) yield { greeting: `${i}: Hello ${name} from ${foo}`, numX2: Number(num) * 2 + i }
  },
  async ClientStreaming (messages) {
    let [count, sum] = [0, 0]
    for await (const { num } of messages) {
      count++
      sum += Number(num)
    }
    return { greeting: `Received ${count} messages`, numX2: sum * 2 }
  },
  async * BidiStreaming (messages) {
    for await (const { name, num } of messages) yield { greeting: `Hello ${name}`, numX2: Number(num) * 2 }
  }
})

overBoth('B3 ten messages stream in order', () => ({ services: [userDefined] }), async (t, call) => {
  const { code, messages } = await call('Streaming', { name: 'foo', foo: 'bar', num: 30 })
  t.equal(code, codes.OK)
  t.same(messages, Array.from({ length: 10 }, (_, i) => ({ greeting: `${i}: Hello foo from bar`, numX2: String(60 + i) })))
})

overBoth('B8 a code that the handler sets ends the call, with its trailers, after what it has sent', () => ({
  services: [implement(UserDefinedService, {
    Call (_request, context) { loseData(context) },
    async * Streaming (_request, context) {
      yield { greeting: 'first' }
      loseData(context)
    }
  })]
}), async (t, call) => {
  for (const [method, messages] of [['Call', []], ['Streaming', [{ greeting: 'first' }]]] as const) {
    const outcome = await call(method, {})
    t.match(outcome, { code: codes.DATA_LOSS, details: 'lost' }, method)
    t.match(outcome.messages, messages)
    t.same(outcome.trailers.get('foo'), ['bar'])
    t.same(outcome.trailers.get('num'), ['0'])
  }
})

function loseData (context: CallContext): void {
  context.setCode(status.DATA_LOSS)
  context.setDetails('lost')
  context.trailers.set('foo', 'bar')
  context.trailers.set('num', '0')
}

overBoth('B10 a throw is INTERNAL with its message where that is wanted, on all kinds, and trailers still come', () => ({
  errors: { expose: 'message' },
  logger: recordingLogger(),
  services: [implement(UserDefinedService, Object.fromEntries(USER_DEFINED_KINDS.map(kind => [kind, (_request: unknown, context: CallContext) => {
    context.trailers.set('request_id', '123')
    throw new Error(`test error in ${kind}`)
  }])))]
}), async (t, call) => {
  for (const kind of USER_DEFINED_KINDS) {
    const outcome = await call(kind, [{}])
    t.match(outcome, { code: codes.INTERNAL, details: `test error in ${kind}` })
    t.same(outcome.trailers.get('request_id'), ['123'])
  }
})

overBoth('B11 the deadline of the gateway ends all kinds, blocked before or after the first message', () => ({
  timeout: { max: 100 },
  services: [implement(UserDefinedService, {
    Call: async () => await new Promise(() => {}),
    ClientStreaming: async () => await new Promise(() => {}),
    async * Streaming () {
      yield { greeting: 'first' }
      await new Promise(() => {})
    },
    async * BidiStreaming (messages) {
      for await (const { name } of messages) yield { greeting: name }
      await new Promise(() => {})
    }
  })]
}), async (t, call) => {
  const sent = { Call: [], ClientStreaming: [], Streaming: [{ greeting: 'first' }], BidiStreaming: [{ greeting: 'a' }] }
  for (const kind of USER_DEFINED_KINDS) {
    const outcome = await call(kind, [{ name: 'a' }])
    t.match(outcome, { code: codes.DEADLINE_EXCEEDED, details: /timed out after 0\.1s\.$/ }, kind)
    t.match(outcome.messages, sent[kind])
  }
})

/** Of one test: what handlers have seen of the end of their calls. */
const endings = new Map<Test, string[]>()

overBoth('B12 a client that cancels aborts the signal of every kind', t => {
  const seen: string[] = []
  endings.set(t, seen)
  const watch = async (kind: string, { signal }: CallContext): Promise<void> => {
    seen.push(`${kind} started`)
    await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
    seen.push(`${kind} aborted`)
  }
  return {
    services: [implement(UserDefinedService, {
      Call: async (_request, context) => await watch('Call', context),
      ClientStreaming: async (_messages, context) => await watch('ClientStreaming', context),
      async * Streaming (_request, context) {
        yield {}
        await watch('Streaming', context)
      },
      async * BidiStreaming (_messages, context) {
        yield {}
        await watch('BidiStreaming', context)
      }
    })]
  }
}, async (t, call) => {
  const seen = endings.get(t)!
  for (const kind of USER_DEFINED_KINDS) {
    const abort = new AbortController()
    const outcome = call(kind, [{}], { signal: abort.signal })
    await until(() => seen.includes(`${kind} started`), `the start of ${kind}`)
    abort.abort()
    t.equal((await outcome).code, codes.CANCELLED)
    await until(() => seen.includes(`${kind} aborted`), `the abort of ${kind}`)
  }
})

overBoth('B14 messages of a client stream are counted, none at all too', () => ({ services: [userDefined] }), async (t, call) => {
  const five = [1, 2, 3, 4, 5].map(num => ({ num }))
  t.same((await call('ClientStreaming', five)).messages, [{ greeting: 'Received 5 messages', numX2: '30' }])
  t.match(await call('ClientStreaming', []), { code: codes.OK, messages: [{ greeting: 'Received 0 messages' }] })
})

overBoth('B15 a bidirectional stream answers each message, and none with none', () => ({ services: [userDefined] }), async (t, call) => {
  const users = [0, 1, 2].map(i => ({ name: `user_${i}`, num: 10 * i }))
  t.match(await call('BidiStreaming', users), {
    code: codes.OK,
    messages: [{ greeting: 'Hello user_0' }, { greeting: 'Hello user_1', numX2: '20' }, { greeting: 'Hello user_2', numX2: '40' }]
  })
  t.match(await call('BidiStreaming', []), { code: codes.OK, messages: [] })
})

overBoth('B16 a handler that takes its time gets every message, in order', () => ({
  services: [implement(UserDefinedService, {
    async * BidiStreaming (messages) {
      for await (const { name } of messages) {
        await sleep(50)
        yield { greeting: name }
      }
    }
  })]
}), async (t, call) => {
  const names = Array.from({ length: 20 }, (_, i) => `message ${i}`)
  const { messages } = await call('BidiStreaming', names.map(name => ({ name })))
  t.same(messages.map(message => (message as Response).greeting), names)
})

t.test('B17 a client that fails in the middle of its stream leaves nothing behind', async t => {
  const seen: string[] = []
  const service = implement(UserDefinedService, {
    async ClientStreaming (messages) {
      try {
        for await (const { name } of messages) seen.push(name)
        return { greeting: 'whole' }
      } catch (error) {
        seen.push((error as Error).message)
        throw error
      } finally {
        seen.push('cleaned up')
      }
    }
  })
  const { client, url } = await serve(t, { services: [service] })

  const raw = client(UserDefinedService).raw as unknown as { ClientStreaming (callback: () => void): ClientWritableStream<object> }
  const stream = raw.ClientStreaming(() => {}).on('error', () => {})
  stream.write({ name: 'a' })
  await until(() => seen.length === 1, 'the first message over gRPC')
  stream.cancel()
  await until(() => seen.includes('cleaned up'), 'the end over gRPC')
  seen.length = 0

  async function * failing (): AsyncIterable<object> {
    yield { name: 'a' }
    await until(() => seen.length === 1, 'the first message over HTTP')
    throw new Error('The client failed')
  }
  t.match(await callOverHttp(`${url}/grpc/userdefinedservice/clientstreaming`, UserDefinedService.ClientStreaming, failing()), { details: 'The client failed' })
  await until(() => seen.length === 3, 'the end over HTTP')
  t.same(seen, ['a', 'The client cancelled the call', 'cleaned up'])
})

t.test('E1 SayHello and SayHelloAgain', async t => {
  const { client } = await serve(t, { services: [HelloService] })
  const hello = client(Hello)
  t.match(await hello.call('SayHello', { name: 'you' }), { messages: [{ message: 'Hello, you!' }] })
  t.match(await hello.call('SayHelloAgain', { name: 'you' }), { messages: [{ message: 'Hello again, you!' }] })
})

t.test('E2–E5 RouteGuide', async t => {
  const { client } = await serve(t, { services: [RouteGuideService] })
  const guide = client(RouteGuide)
  const points = features.map(({ location }) => location!)

  t.test('E2 GetFeature', async t => {
    t.match(await guide.call('GetFeature', { latitude: 409146138, longitude: -746188906 }),
      { messages: [{ name: 'Berkshire Valley Management Area Trail, Jefferson, NJ, USA' }] })
    t.same((await guide.call('GetFeature', {})).messages, [{ name: '', location: { latitude: 0, longitude: 0 } }])
  })

  t.test('E3 ListFeatures, whichever way the corners lie', async t => {
    const lo = { latitude: 400000000, longitude: -750000000 }
    const hi = { latitude: 420000000, longitude: -730000000 }
    for (const rectangle of [{ lo, hi }, { lo: hi, hi: lo }]) {
      const { messages } = await guide.call('ListFeatures', rectangle)
      t.equal(messages.length, 100)
      t.equal(messages.filter(feature => (feature as { name: string }).name !== '').length, 64)
    }
  })

  t.test('E4 RecordRoute', async t => {
    t.match(await guide.call('RecordRoute', points.slice(0, 3)), { messages: [{ pointCount: 3, featureCount: 3, distance: 92589 }] })
    t.match(await guide.call('RecordRoute', points.slice(0, 5)), { messages: [{ pointCount: 5, distance: 266396 }] })
  })

  t.test('E5 RouteChat', async t => {
    const note = (message: string, latitude: number, longitude: number): object => ({ message, location: { latitude, longitude } })
    const { messages } = await guide.call('RouteChat', [
      note('First message', 0, 0), note('Second message', 0, 1), note('Third message', 1, 0), note('Fourth message', 0, 0), note('Fifth message', 1, 0)
    ])
    t.same(messages.map(reply => (reply as { message: string }).message), ['First message', 'Third message'])
  })
})

t.test('E8 each of E2–E5 over HTTP', async t => {
  const { url } = await serve(t, { services: [RouteGuideService] })
  const call = (method: keyof typeof RouteGuide & string, requests: object | object[]): Promise<Outcome> =>
    callOverHttp(`${url}/grpc/routeguideservice/${method.toLowerCase()}`, RouteGuide[method] as MethodStreams, requests)
  const points = features.map(({ location }) => location!)
  const note = (message: string, latitude: number, longitude: number): object => ({ message, location: { latitude, longitude } })

  t.match(await call('GetFeature', { latitude: 409146138, longitude: -746188906 }), { messages: [{ name: 'Berkshire Valley Management Area Trail, Jefferson, NJ, USA' }] })
  const { messages } = await call('ListFeatures', { lo: { latitude: 400000000, longitude: -750000000 }, hi: { latitude: 420000000, longitude: -730000000 } })
  t.equal(messages.length, 100)
  t.equal(messages.filter(feature => (feature as { name?: string }).name !== undefined).length, 64)
  t.match(await call('RecordRoute', points.slice(0, 3)), { messages: [{ pointCount: 3, featureCount: 3, distance: 92589 }] })
  t.match(await call('RouteChat', [
    note('First message', 0, 0), note('Second message', 0, 1), note('Third message', 1, 0), note('Fourth message', 0, 0), note('Fifth message', 1, 0)
  ]), { code: codes.OK, messages: [{ message: 'First message' }, { message: 'Third message' }] })
})

t.test('E6 a deadline ends a blocked call and aborts its signal', async t => {
  let reason: unknown
  const blocked = implement(Greeter, {
    SayHello: (_request, { signal }) => new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reason = signal.reason
        reject(signal.reason)
      })
    })
  })
  const { client } = await serve(t, { services: [blocked] })
  const start = Date.now()
  t.match(await client(Greeter).call('SayHello', {}, { deadline: start + 300 }), { code: codes.DEADLINE_EXCEEDED })
  t.ok(Date.now() - start >= 290)
  await until(() => reason !== undefined, 'the abort')
  t.match(reason, { code: codes.DEADLINE_EXCEEDED })
  t.ok(reason instanceof GrpcError)
})

t.test('E7 -bin metadata keep their bytes', async t => {
  const echo = implement(Greeter, {
    SayHello (_request, { metadata, trailers }) {
      for (const value of metadata.get('data-bin')) trailers.add('data-bin', value)
      return { message: '' }
    }
  })
  const { client } = await serve(t, { services: [echo] })
  const bytes = Buffer.from([0, 1, 2, 253, 254, 255])
  const metadata = new Metadata()
  metadata.add('data-bin', bytes)
  const { trailers } = await client(Greeter).call('SayHello', {}, { metadata })
  t.same(trailers.get('data-bin'), [bytes])
})

t.test('definitions of loadProto serve grpc-js clients', async t => {
  t.match(Object.keys(loadProto(new URL('fixtures/test.proto', import.meta.url))), ['test.Greeter', 'test.Kinds'])
})
