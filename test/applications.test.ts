/** Applications: routed by metadata and by path, composed, limited, replaced while they serve; Ray's own cases by their ids. */
import { fork } from 'node:child_process'
import { Metadata, status as codes, type ClientWritableStream } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { loadProto, status, GrpcError, type BidiStreamingMethod, type CallContext, type ClientStreamingMethod, type ServerStreamingMethod, type UnaryMethod } from '../src/index.ts'
import { deployment, requestContext, Serve, type BoundDeployment, type DeploymentHandle, type RequestContext, type ServeOptions } from '../src/serving/index.ts'
import { callOverHttp, fetchReply, grpcClient, recordingLogger, sleep, until, type CallOptions, type HttpReply, type Outcome } from './serving.ts'
import { Models } from './applications/models.ts'

interface Message { name: string, origin: string, num: string }
interface Reply { greeting?: string, num?: string | number }

interface Definitions {
  UserDefinedService: {
    __call__: UnaryMethod<Message, Reply>
    Multiplexing: UnaryMethod<object, Reply>
    Streaming: ServerStreamingMethod<Message, Reply>
    ClientStreaming: ClientStreamingMethod<Message, Reply>
    BidiStreaming: BidiStreamingMethod<Message, Reply>
  }
  ImageClassificationService: { Predict: UnaryMethod<{ url: string }, { classes: string[], probabilities: number[] }> }
}

const { UserDefinedService, ImageClassificationService } = loadProto<Definitions>(new URL('../protos/ray/user_defined_protos.proto', import.meta.url))
const { RayServeAPIService } = loadProto(new URL('../protos/ray/serve.proto', import.meta.url)) as { RayServeAPIService: object }

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Trailing metadata over gRPC, a header over HTTP. */
const requestIdOf = ({ trailers, metadata }: Outcome): unknown => trailers.get('request_id')[0] ?? metadata.get('x-request-id')[0]

/** What Ray's guide deploys as app1. */
class UserDefined {
  __call__ ({ name, origin, num }: Message): Reply {
    return { greeting: `Hello ${name} from ${origin}`, num: String(Number(num) * 2) }
  }

  Multiplexing (_request: object, { multiplexedModelId }: RequestContext): Reply {
    return { greeting: `Method2 called model, loading model: ${multiplexedModelId}` }
  }

  * Streaming ({ name, origin, num }: Message): Generator<Reply> {
    for (let i = 0; i < 10; i++) yield { greeting: `${i}: Hello ${name} from ${origin}`, num: String(Number(num) * 2 + i) }
  }

  async ClientStreaming (messages: AsyncIterable<Message>): Promise<Reply> {
    let count = 0
    let total = 0
    for await (const { num } of messages) {
      count++
      total += Number(num)
    }
    return { greeting: `Received ${count} messages`, num: String(total * 2) }
  }

  async * BidiStreaming (messages: AsyncIterable<Message>): AsyncGenerator<Reply> {
    for await (const { name, origin, num } of messages) {
      if (origin === 'slow') await sleep(50)
      yield { greeting: `Hello ${name}`, num: String(Number(num) * 2) }
    }
  }
}

type Call = (method: string, requests: object | object[], metadata?: Record<string, string>, options?: CallOptions) => Promise<Outcome>

interface Running {
  serve: Serve
  url: string
  /** Over gRPC. */
  call: Call
  /** Over each protocol, by its name. Over HTTP, headers name the application, as metadata do. */
  calls: ReadonlyArray<readonly [protocol: string, call: Call]>
  ask (definition: object, method: string, request?: object, metadata?: Record<string, string>): Promise<Outcome>
  post (path: string, body?: object, headers?: Record<string, string>): Promise<HttpReply>
}

async function running (t: Test, applications: Record<string, BoundDeployment> = {}, options: Partial<ServeOptions> = {}): Promise<Running> {
  const serve = new Serve({ definitions: [UserDefinedService, ImageClassificationService], port: 0, logger: recordingLogger(), ...options })
  const app = await serve.listen({ port: 0, host: '127.0.0.1', fastify: { logger: false } })
  const url = `http://127.0.0.1:${(app.server.address() as { port: number }).port}`
  for (const [name, application] of Object.entries(applications)) await serve.run(application, { name, routePrefix: `/${name}` })
  t.teardown(() => serve.shutdown({ graceMs: 100 }))
  const ask: Running['ask'] = async (definition, method, request = {}, metadata = {}) => {
    const client = grpcClient(definition, serve.gateway.address)
    return await client.call(method, request, { metadata: Metadata.fromHttp2Headers(metadata) }).finally(() => client.raw.close())
  }
  const call: Call = async (method, requests, metadata = {}, options = {}) => {
    const client = grpcClient(UserDefinedService, serve.gateway.address)
    return await client.call(method, requests, { ...options, metadata: Metadata.fromHttp2Headers(metadata) }).finally(() => client.raw.close())
  }
  const callByHttp: Call = async (method, requests, metadata = {}, { signal } = {}) =>
    await callOverHttp(`${url}/userdefinedservice/${method.toLowerCase()}`, UserDefinedService[method as 'Streaming'], requests, { headers: metadata, ...signal === undefined ? {} : { signal } })
  return {
    serve,
    url,
    ask,
    call,
    calls: [['gRPC', call], ['HTTP', callByHttp]],
    post: async (path, body = {}, headers = {}) => await fetchReply(url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
  }
}

const app1 = deployment(UserDefined).bind()
const foo = { name: 'foo', origin: 'bar', num: '30' }

t.test('B1 a call of __call__, with a request id in the trailers', async t => {
  const { call, post } = await running(t, { app1 })
  const { messages, code, trailers } = await call('__call__', foo, { application: 'app1' })
  t.same([code, messages], [codes.OK, [{ greeting: 'Hello foo from bar', num: '60' }]])
  t.match(trailers.get('request_id')[0], UUID)
  for (const path of ['/app1', '/app1/', '/app1/userdefinedservice/__call__', '/app1/userdefinedprotos.UserDefinedService/__call__']) {
    const { status, text, headers } = await post(path, foo)
    t.same([status, text], [200, '{"greeting":"Hello foo from bar","num":"60"}'], path)
    t.match(headers.get('x-request-id'), UUID)
  }
})

t.test('B2 the model and the request id that metadata name', async t => {
  const { call, post } = await running(t, { app1 })
  const { messages, trailers } = await call('Multiplexing', {}, { application: 'app1', request_id: '123', multiplexed_model_id: '999' })
  t.same(messages, [{ greeting: 'Method2 called model, loading model: 999' }])
  t.same(trailers.getMap(), { request_id: '123' })
  const { json, headers } = await post('/app1/userdefinedservice/multiplexing', {}, { 'request-id': 'x', request_id: '124', serve_multiplexed_model_id: '998' })
  t.equal(json.greeting, 'Method2 called model, loading model: 998')
  t.equal(headers.get('x-request-id'), '124')
})

t.test('B3 a response that streams', async t => {
  const { call, url } = await running(t, { app1 })
  const expected = Array.from({ length: 10 }, (_, i) => ({ greeting: `${i}: Hello foo from bar`, num: String(60 + i) }))
  t.same((await call('Streaming', foo)).messages, expected)
  t.same((await callOverHttp(`${url}/app1/userdefinedservice/streaming`, { requestStream: false, responseStream: true }, foo)).messages, expected)
})

t.test('B4 Healthz and ListApplications', async t => {
  const { ask, serve, url } = await running(t, { app1 })
  t.same((await ask(RayServeAPIService, 'ListApplications')).messages, [{ applicationNames: ['app1'] }])
  await serve.run(app1, { name: 'app2', routePrefix: '/app2' })
  t.same((await ask(RayServeAPIService, 'ListApplications')).messages, [{ applicationNames: ['app1', 'app2'] }])
  t.same((await ask(RayServeAPIService, 'Healthz')).messages, [{ message: 'success' }])
  t.match(await fetchReply(`${url}/-/healthz`), { status: 200, text: 'success' })
  t.equal((await fetchReply(`${url}/-/routes`)).text, '{"/app1":"app1","/app2":"app2"}')
  await serve.delete('app1')
  await serve.delete('app2')
  t.same((await ask(RayServeAPIService, 'Healthz')).messages, [{ message: 'success' }], 'also when all are deleted')
})

const PING = 'Ping /ray.serve.RayServeAPIService/ListApplications for available applications.'

t.test('B5 B6 calls that name no application, or one that there is not, are NOT_FOUND', async t => {
  const { calls, post, serve } = await running(t, { app1 })
  for (const [protocol, call] of calls) t.equal((await call('__call__', foo)).code, codes.OK, `one application needs no name over ${protocol}`)
  await serve.run(app1, { name: 'app2', routePrefix: '/app2' })
  for (const [method, request] of [['__call__', foo], ['Streaming', foo], ['ClientStreaming', [foo]], ['BidiStreaming', [foo]]] as const) {
    for (const [metadata, details] of [[{}, `Application metadata not set. ${PING}`], [{ application: 'zzz' }, `Application 'zzz' not found. ${PING}`]] as const) {
      for (const [protocol, call] of calls) {
        const outcome = await call(method, request as object, metadata)
        t.same([outcome.code, outcome.details], [codes.NOT_FOUND, details], `${method} over ${protocol}`)
        t.match(requestIdOf(outcome), UUID)
      }
    }
  }
  t.match(await post('/userdefinedservice/__call__', foo), { status: 404, json: { title: 'NOT_FOUND', detail: `Application metadata not set. ${PING}` } })
  for (const name of ['application', 'grpc-metadata-application']) t.match(await post('/userdefinedservice/__call__', foo, { [name]: 'app2' }), { status: 200 }, name)
})

t.test('a wrong name is NOT_FOUND with one application too, unless it is said to be lenient', async t => {
  const strict = await running(t, { app1 })
  t.match(await strict.call('__call__', foo, { application: 'nope' }), { code: codes.NOT_FOUND, details: `Application 'nope' not found. ${PING}` })
  const lenient = await running(t, { app1 }, { strictApplication: false })
  t.equal((await lenient.call('__call__', foo, { application: 'nope' })).code, codes.OK)
})

t.test('B7 B8 codes, details and trailers that a deployment sets', async t => {
  const seen = new Set<string>()
  class Codes {
    __call__ ({ name }: Message, context: CallContext): Reply {
      context.trailers.set('num', '0')
      if (!seen.has(name)) {
        seen.add(name)
        context.setCode(status.INVALID_ARGUMENT)
        context.setDetails(`${name} not found, adding to nums.`)
      }
      return { greeting: name }
    }

    * Streaming (_request: Message, context: CallContext): Generator<Reply> {
      yield { greeting: 'first' }
      context.trailers.set('foo', 'bar')
      context.setCode(status.DATA_LOSS)
      context.setDetails('lost')
    }
  }
  const { calls } = await running(t, { app1: deployment(Codes).bind() })
  for (const [protocol, call] of calls) {
    const first = await call('__call__', { ...foo, name: protocol })
    t.same([first.code, first.details, first.trailers.get('num'), first.messages], [codes.INVALID_ARGUMENT, `${protocol} not found, adding to nums.`, ['0'], []])
    t.match(requestIdOf(first), UUID)
    const second = await call('__call__', { ...foo, name: protocol })
    t.same([second.code, second.trailers.get('num'), second.messages.length], [codes.OK, ['0'], 1])
    const outcome = await call('Streaming', foo)
    t.match([outcome.code, outcome.details, outcome.messages], [codes.DATA_LOSS, 'lost', [{ greeting: 'first' }]])
    t.same(outcome.trailers.get('foo'), ['bar'])
  }
})

t.test('B9 B10 what a deployment throws is INTERNAL, or its own code, with the request id', async t => {
  class Throwing {
    __call__ (_request: Message, context: CallContext): Reply {
      context.setCode(status.DATA_LOSS)
      throw new Error('test error')
    }

    Multiplexing (): Reply { throw new Error('test error') }
    async * Streaming (): AsyncGenerator<Reply> { throw new Error('test error') }
    async ClientStreaming (): Promise<Reply> { throw new Error('test error') }
    async * BidiStreaming (): AsyncGenerator<Reply> { throw new Error('test error') }
  }
  const application = deployment(Throwing).bind()
  const internal = await running(t, { app1: application }, { errors: { expose: 'message' } })
  for (const [method, request] of [['__call__', foo], ['Multiplexing', {}], ['Streaming', foo], ['ClientStreaming', [foo]], ['BidiStreaming', [foo]]] as const) {
    for (const [protocol, call] of internal.calls) {
      const outcome = await call(method, request as object)
      t.equal(outcome.code, codes.INTERNAL, `${method} over ${protocol}`)
      t.match(outcome.details, 'test error')
      t.match(requestIdOf(outcome), UUID)
    }
  }
  const kept = await running(t, { app1: application }, { errors: { expose: 'message', keepCode: true } })
  for (const [protocol, call] of kept.calls) t.match(await call('__call__', foo), { code: codes.DATA_LOSS, details: 'test error' }, protocol)
  t.match((await (await running(t, { app1: application })).call('Multiplexing', {})).details, 'Internal error', 'by default, clients are told nothing')
})

class Waiting {
  aborted: string[] = []
  async #wait (signal: AbortSignal): Promise<never> {
    return await new Promise((_resolve, reject) => signal.addEventListener('abort', () => {
      this.aborted.push(String((signal.reason as Error).message))
      reject(new GrpcError(status.ABORTED, 'over'))
    }))
  }

  async __call__ (_request: Message, { signal }: RequestContext): Promise<Reply> { return await this.#wait(signal) }
  async * Streaming (_request: Message, { signal }: RequestContext): AsyncGenerator<Reply> { yield await this.#wait(signal) }
  async ClientStreaming (_messages: AsyncIterable<Message>, { signal }: RequestContext): Promise<Reply> { return await this.#wait(signal) }
  async * BidiStreaming (_messages: AsyncIterable<Message>, { signal }: RequestContext): AsyncGenerator<Reply> { yield await this.#wait(signal) }
}

t.test('B11 B12 deadlines and cancellation reach the deployment, through handles too', async t => {
  const ended: string[] = []
  let begun = 0
  class Inner {
    async wait (_request: object, { signal }: RequestContext): Promise<Reply> {
      begun++
      return await new Promise((_resolve, reject) => signal.addEventListener('abort', () => {
        ended.push((signal.reason as Error).message)
        reject(new GrpcError(status.ABORTED, 'over'))
      }))
    }
  }
  class Outer {
    readonly #inner: DeploymentHandle<Inner>
    constructor (inner: DeploymentHandle<Inner>) { this.#inner = inner }
    async __call__ (): Promise<Reply> { return await this.#inner.wait({}) }
  }
  const timed = await running(t, { app1: deployment(Waiting).bind(), app2: deployment(Outer).bind(deployment(Inner).bind()) }, { timeout: { default: 100, max: 100 } })
  for (const [method, request] of [['__call__', foo], ['Streaming', foo], ['ClientStreaming', [foo]], ['BidiStreaming', [foo]]] as const) {
    for (const [protocol, call] of timed.calls) {
      const { code, details } = await call(method, request as object, { application: 'app1' })
      t.equal(code, codes.DEADLINE_EXCEEDED, `${method} over ${protocol}`)
      t.match(details, 'timed out after 0.1s.')
    }
  }
  t.equal((await timed.call('__call__', foo, { application: 'app2' })).code, codes.DEADLINE_EXCEEDED)
  await until(() => ended.length === 1, 'the inner deployment to hear of the deadline')

  const { calls } = await running(t, { app2: deployment(Outer).bind(deployment(Inner).bind()) })
  for (const [i, [protocol, call]] of calls.entries()) {
    const abort = new AbortController()
    const outcome = call('__call__', foo, {}, { signal: abort.signal })
    await until(() => begun === i + 2, 'the call')
    abort.abort()
    t.equal((await outcome).code, codes.CANCELLED, protocol)
    await until(() => ended.length === i + 2, 'the inner deployment to hear of the cancellation')
  }
})

t.test('B13 a name of 6,000,000 characters arrives', async t => {
  const { serve, post } = await running(t, { app1 })
  const client = grpcClient(UserDefinedService, serve.gateway.address)
  const name = 'x'.repeat(6_000_000)
  const answer = await new Promise<Reply>((resolve, reject) => (client.raw as unknown as { __call__: (...args: unknown[]) => void }).__call__({ ...foo, name }, (error: Error | null, reply: Reply) => error === null ? resolve(reply) : reject(error)))
    .catch((error: Error) => error.message).finally(() => client.raw.close())
  t.match(answer, /larger than max \(\d+ vs 4194304\)/, 'as a client of grpc-js says whose own limit is lower')
  t.equal((await post('/app1', { ...foo, name })).json.greeting, `Hello ${name} from bar`)
})

t.test('B14 B15 B16 request streams', async t => {
  const { calls } = await running(t, { app1 })
  const numbered = (nums: number[], origin = ''): object[] => nums.map((num, i) => ({ name: `user_${i}`, origin, num: String(num) }))
  for (const [protocol, call] of calls) {
    const replies = async (method: string, requests: object[]): Promise<unknown[]> =>
      (await call(method, requests)).messages.map(message => [(message as Reply).greeting, Number((message as Reply).num ?? 0)])
    t.same(await replies('ClientStreaming', numbered([1, 2, 3, 4, 5])), [['Received 5 messages', 30]], protocol)
    t.same(await replies('ClientStreaming', []), [['Received 0 messages', 0]])
    t.same(await replies('BidiStreaming', numbered([0, 10, 20])), [0, 20, 40].map((num, i) => [`Hello user_${i}`, num]))
    t.same(await replies('BidiStreaming', []), [])
    const twenty = Array.from({ length: 20 }, (_, i) => i)
    t.same(await replies('BidiStreaming', numbered(twenty, 'slow')), twenty.map(i => [`Hello user_${i}`, 2 * i]), 'in order, and none is lost')
  }
})

t.test('B17 a client that breaks off in the middle of its stream leaves nothing behind', async t => {
  const ended: string[] = []
  class Reading {
    async ClientStreaming (messages: AsyncIterable<Message>): Promise<Reply> {
      const names: string[] = []
      try {
        for await (const { name } of messages) names.push(name)
        return {}
      } finally {
        ended.push(names.join())
      }
    }
  }
  const { serve, url } = await running(t, { app1: deployment(Reading).bind() })
  const { raw } = grpcClient(UserDefinedService, serve.gateway.address)
  t.teardown(() => raw.close())
  const call = (raw as unknown as { ClientStreaming (callback: (error: { code: number } | null) => void): ClientWritableStream<object> }).ClientStreaming(error => ended.push(`client: ${error?.code}`))
  call.write({ name: 'a' })
  await until(() => serve.status().app1!.deployments.Reading!.ongoing === 1, 'the first message')
  call.cancel()
  await until(() => ended.length === 2, 'both ends')
  t.ok(ended.includes(`client: ${codes.CANCELLED}`))

  ended.length = 0
  const outcome = await callOverHttp(`${url}/app1/userdefinedservice/clientstreaming`, UserDefinedService.ClientStreaming, (async function * () {
    yield { name: 'b' }
    await until(() => serve.status().app1!.deployments.Reading!.ongoing === 1, 'the first message')
    throw new Error('broken off')
  })())
  t.equal(outcome.code, codes.CANCELLED)
  await until(() => ended.length === 1, 'the end')
  t.equal(serve.status().app1!.deployments.Reading!.ongoing, 0)
})

t.test('B18 B26 deployments are composed by handles', async t => {
  class Mango { price = 3; cost ({ amount }: { amount: number }): number { return amount * this.price } }
  class Stand {
    readonly #handles: ReadonlyArray<DeploymentHandle<Mango>>
    constructor (...handles: Array<DeploymentHandle<Mango>>) { this.#handles = handles }
    async __call__ ({ num }: Message): Promise<Reply> {
      const costs = await Promise.all(this.#handles.map(async handle => await handle.cost({ amount: Number(num) })))
      return { greeting: requestContext()!.requestId, num: String(costs.reduce((sum, cost) => sum + cost, 0)) }
    }
  }
  class Orange extends Mango { override price = 2 }
  const mango = deployment(Mango).bind()
  const { call, serve } = await running(t, { app1, market: deployment(Stand).bind(mango, deployment(Orange).bind(), mango) })
  t.same((await call('__call__', { num: '4' }, { application: 'market', request_id: 'mine' })).messages, [{ greeting: 'mine', num: '32' }])
  t.same(Object.keys(serve.status().market!.deployments), ['Mango', 'Orange', 'Stand'], 'what is bound once is made once')
})

t.test('handles stream, and ask for other models; functions are deployments too', async t => {
  const words = async function * ({ text }: { text: string }, { multiplexedModelId, requestId }: RequestContext): AsyncGenerator<string> {
    for (const word of text.split(' ')) yield `${word} ${multiplexedModelId} ${requestId} ${requestContext()!.requestId}`
  }
  const left: string[] = []
  class Ingress {
    readonly #words: DeploymentHandle<typeof words>
    constructor (handle: DeploymentHandle<typeof words>) { this.#words = handle }
    async * Streaming ({ name }: Message): AsyncGenerator<Reply> {
      try {
        for await (const greeting of this.#words.options({ stream: true, multiplexedModelId: 'm1' })({ text: name })) yield { greeting }
      } finally {
        left.push('left')
      }
    }

    async __call__ ({ name }: Message): Promise<Reply> { return { greeting: String(await this.#words({ text: name })) } }
  }
  const { call } = await running(t, { app1: deployment(Ingress).bind(deployment(words).bind()) }, { errors: { expose: 'message' } })
  t.same((await call('Streaming', { name: 'a b' }, { request_id: 'r' })).messages.map(message => (message as Reply).greeting), ['a m1 r r', 'b m1 r r'])
  t.same(left, ['left'])
  t.match(await call('__call__', foo), { code: codes.INTERNAL, details: /Method '__call__' returned a generator. Call it by handle.options\(\{ stream: true \}\)/ })
})

t.test('B19 more requests than may run wait, more than may wait are refused', async t => {
  let release = (): void => {}
  const released = new Promise<void>(resolve => { release = resolve })
  let begun = 0
  class Slow {
    async __call__ (): Promise<Reply> {
      begun++
      await released
      return { greeting: 'done' }
    }
  }
  const { call, calls, serve } = await running(t, { app1: deployment(Slow, { maxOngoingRequests: 1, maxQueuedRequests: 1 }).bind() })
  const deployments = (): unknown => serve.status().app1!.deployments.Slow
  const first = call('__call__', foo)
  await until(() => begun === 1, 'the first')
  const second = call('__call__', foo)
  await until(() => serve.status().app1!.deployments.Slow!.queued === 1, 'the second to wait')
  t.same(deployments(), { replicas: 1, ongoing: 1, queued: 1 })
  for (const [protocol, call] of calls) {
    for (const { code, details, metadata } of await Promise.all(Array.from({ length: 5 }, async () => await call('__call__', foo)))) {
      t.same([code, details], [codes.RESOURCE_EXHAUSTED, 'Request dropped due to backpressure (num_queued_requests=1, max_queued_requests=1).'], protocol)
      if (protocol === 'HTTP') t.same(metadata.get('retry-after'), ['1'])
    }
  }
  release()
  t.same([(await first).code, (await second).code], [codes.OK, codes.OK])
  t.same(deployments(), { replicas: 1, ongoing: 0, queued: 0 })
})

t.test('a request that is given up while it waits leaves the queue', async t => {
  class Slow { async __call__ (_request: Message, { signal }: RequestContext): Promise<Reply> { return await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new GrpcError(status.ABORTED, 'over')))) } }
  const { call, serve } = await running(t, { app1: deployment(Slow, { maxOngoingRequests: 1 }).bind() })
  const running1 = new AbortController()
  const waiting = new AbortController()
  const outcomes = [call('__call__', foo, {}, { signal: running1.signal }), call('__call__', foo, {}, { signal: waiting.signal })]
  const { ongoing, queued } = { ongoing: () => serve.status().app1!.deployments.Slow!.ongoing, queued: () => serve.status().app1!.deployments.Slow!.queued }
  await until(() => ongoing() === 1 && queued() === 1, 'one to wait')
  waiting.abort()
  await until(() => queued() === 0, 'it to leave')
  running1.abort()
  await until(() => ongoing() === 0, 'the other to end')
  t.same((await Promise.all(outcomes)).map(({ code }) => code), [codes.CANCELLED, codes.CANCELLED])
})

t.test('B20 B21 health in the words of Ray, while it drains and before there is any application', async t => {
  const { ask, call, serve, url } = await running(t)
  const paths = ['/-/healthz', '/-/routes']
  const expect = async (problem: string): Promise<void> => {
    for (const method of ['Healthz', 'ListApplications']) {
      const { code, details } = await ask(RayServeAPIService, method)
      t.same([code, details], [codes.UNAVAILABLE, problem], method)
    }
    for (const path of paths) {
      const { status, text, headers } = await fetchReply(url + path)
      t.match([status, text, headers.get('content-type')], [503, problem, 'text/plain'], path)
    }
  }
  await expect('Route table is not populated yet.')
  await serve.run(app1, { name: 'app1', routePrefix: '/app1' })
  t.equal((await fetchReply(`${url}/-/routes`)).text, '{"/app1":"app1"}')
  const drained = serve.drain({ minMs: 60_000 })
  await expect('This node is being drained.')
  t.equal((await call('__call__', foo)).code, codes.OK, 'calls go on')
  serve.undrain()
  t.equal(await drained, false)
  t.same((await ask(RayServeAPIService, 'Healthz')).messages, [{ message: 'success' }])
  const { status, text } = await fetchReply(`${url}/nope?x=1`)
  t.same([status, text], [404, 'Path \'/nope\' not found. Ping http://.../-/routes for available routes.'])
})

t.test('B22 request ids over HTTP', async t => {
  const { post, url } = await running(t, { app1 })
  t.equal((await post('/app1', foo, { 'x-request-id': 'rid-1' })).headers.get('x-request-id'), 'rid-1')
  t.match((await post('/app1', foo)).headers.get('x-request-id'), UUID)
  t.ok((await fetchReply(`${url}/-/healthz`)).status === 200)
})

t.test('B27 methods that a deployment has not, and that no service has', async t => {
  class Small { sayHello (): Reply { return {} } }
  const { calls, post } = await running(t, { app1: deployment(Small).bind() })
  for (const [protocol, call] of calls) t.match(await call('__call__', foo), { code: codes.UNIMPLEMENTED, details: 'Tried to call a method \'__call__\' that does not exist. Available methods: [\'sayHello\']' }, protocol)
  t.match(await post('/app1', foo), { status: 501 })
})

t.test('the longest prefix wins, by whole segments; the root takes the rest', async t => {
  class Named {
    readonly #name: string
    constructor (name: string) { this.#name = name }
    __call__ (): Reply { return { greeting: this.#name } }
  }
  const { serve, post } = await running(t)
  const named = (name: string): BoundDeployment => deployment(Named).bind(name)
  for (const [name, routePrefix] of [['a', '/a'], ['ab', '/a/b'], ['hidden', null]] as const) await serve.run(named(name), { name, routePrefix })
  const greeting = async (path: string, headers = {}): Promise<unknown> => {
    const { status, json } = await post(path, foo, headers)
    return status === 200 ? json.greeting : status
  }
  t.same(await Promise.all(['/a', '/a/b', '/a/b/', '/a?x=1', '/ab', '/a/b/userdefinedservice/__call__', '/hidden'].map(path => greeting(path))), ['a', 'ab', 'ab', 'a', 404, 'ab', 404])
  t.equal(await greeting('/userdefinedservice/__call__', { application: 'hidden' }), 'hidden')
  await serve.run(named('root'), { name: 'root' })
  t.same(await Promise.all(['/', '/a', '/userdefinedservice/__call__'].map(path => greeting(path))), ['root', 'a', 'root'])
  await serve.delete('ab')
  t.equal(await greeting('/a/b/userdefinedservice/__call__'), 404)
})

t.test('an application is replaced and deleted while it works, and loses no request', async t => {
  const disposed: string[] = []
  class Versioned {
    readonly #version: string
    constructor (version: string) { this.#version = version }
    async __call__ ({ num }: Message): Promise<Reply> {
      await new Promise(resolve => setTimeout(resolve, Number(num)))
      return { greeting: this.#version }
    }

    dispose (): void { disposed.push(this.#version) }
  }
  const version = (name: string): never => deployment(Versioned).bind(name) as never
  const { call, serve } = await running(t, { app1: version('1') })
  const slow = call('__call__', { num: '200' })
  await until(() => serve.status().app1!.deployments.Versioned!.ongoing === 1, 'the call')
  await serve.run(version('2'), { name: 'app1', routePrefix: '/app1' })
  t.match((await call('__call__', { num: '0' })).messages, [{ greeting: '2' }])
  t.match((await slow).messages, [{ greeting: '1' }], 'what had begun is finished')
  await until(() => disposed.length === 1, 'the old one to be disposed of')
  t.same(disposed, ['1'])

  class Broken { constructor () { throw new Error('no such model') } }
  await t.rejects(serve.run(deployment(Broken).bind(), { name: 'app1', routePrefix: '/app1' }), { message: 'no such model' })
  t.match(serve.status().app1, { status: 'RUNNING', message: 'no such model' })
  t.match((await call('__call__', { num: '0' })).messages, [{ greeting: '2' }], 'the one before goes on')
  await t.rejects(serve.run(deployment(Broken).bind(), { name: 'broken', routePrefix: null }), { message: 'no such model' })
  t.match(serve.status().broken, { status: 'DEPLOY_FAILED', routePrefix: null, message: 'no such model', deployments: {} })

  t.equal(await serve.delete('app1'), true)
  t.equal(await serve.delete('app1'), false)
  t.same(disposed, ['1', '2'])
  await serve.run(version('3'), { name: 'app3', routePrefix: '/app3' })
  t.match(await call('__call__', foo, { application: 'app1' }), { code: codes.NOT_FOUND })
  await serve.shutdown()
  t.same([disposed, serve.status()], [['1', '2', '3'], {}], 'a shutdown disposes of all')
})

t.test('what cannot be deployed is refused', async t => {
  const { serve } = await running(t, { app1 })
  await t.rejects(serve.run(app1, { name: '' }), { code: 'FGG_ERR_APPLICATION', message: 'Application names must be nonempty.' })
  await t.rejects(serve.run(app1, { name: 'other', routePrefix: '/app1/' }), { code: 'FGG_ERR_APPLICATION', message: 'Found duplicate applications for route prefix "/app1". Please ensure each application\'s route_prefix is unique.' })
  await t.rejects(serve.run(app1, { name: 'other', routePrefix: 'x' }), { code: 'FGG_ERR_APPLICATION', message: /must be plain paths that start with '\/'/ })
  await t.rejects(serve.run(UserDefined as never), { code: 'FGG_ERR_APPLICATION', message: /deployment\(…\)\.bind\(…\)/ })
  t.throws(() => deployment(7 as never), { message: 'A deployment must be a class or a function' })
  t.throws(() => deployment(UserDefined, { maxOngoingRequests: 0 }), { message: /`maxOngoingRequests`/ })
  t.throws(() => deployment(UserDefined, { replicas: 2 }), { message: /needs `module`/ })
})

t.test('in threads too, no model is taken away from a request that uses it', async t => {
  let models!: DeploymentHandle<Models>
  class Ingress {
    constructor (handle: DeploymentHandle<Models>) { models = handle }
    __call__ (): Reply { return {} }
  }
  const module = new URL('applications/models.ts', import.meta.url)
  await running(t, { app1: deployment(Ingress).bind(deployment(Models, { replicas: 1, maxOngoingRequests: 3, module }).bind()) })
  const of = (multiplexedModelId: string): DeploymentHandle<Models> => models.options({ multiplexedModelId })
  const stream = of('held').options({ stream: true }).holdInStream({})[Symbol.asyncIterator]()
  t.equal((await stream.next()).value, 'first')
  const unary = of('held').hold({})
  t.same(await of('a').touch({}), ['held', 'a'])
  await models.leave({})
  t.equal(await unary, 'a gone', 'held is still there')
  t.same(await of('b').touch({}), ['b'], 'until the request is over')

  const streamed = stream.next()
  await until(async () => (await models.loaded({})).includes('held'), 'the stream to go on')
  t.same(await of('c').touch({}), ['held', 'c'])
  await models.leave({})
  t.equal((await streamed).value, 'held,b,c gone', 'b has made room for held, which is still there')
  t.equal((await stream.next()).done, true)
  t.same(await of('d').touch({}), ['d'], 'until the stream is over')
})

t.test('replicas in threads have the same handles: they compute at once, stream, hear of cancellation, and come back when they die', async t => {
  // Threads start ten times as fast in a process without tap's loaders.
  const child = fork(new URL('applications/threads.ts', import.meta.url), { execArgv: ['--import', 'tsx'], env: { ...process.env, NODE_OPTIONS: '' } })
  t.teardown(() => child.kill('SIGKILL'))
  const seen = await new Promise<Record<string, any>>((resolve, reject) => {
    child.once('message', message => resolve(message as Record<string, unknown>))
    child.once('exit', code => reject(new Error(`The process has ended with ${code}`)))
  })
  t.equal(seen.replicas, 2)
  t.ok(seen.greetings.every((greeting: string) => /^hello rid \d+$/.test(greeting)), 'the request id goes along')
  t.equal(new Set(seen.greetings).size, 2, 'both threads have worked')
  t.same(seen.streamed, ['1', '2', '3', '4', '5'])
  t.match(seen.refused, { code: codes.NOT_FOUND, details: 'nobody' })
  t.match(seen.failedStream, { code: codes.INTERNAL, details: 'cannot count to -1' })
  t.match(seen.died, { code: codes.UNAVAILABLE, details: 'A replica of Counter ended while it worked on the request' })
  t.equal(seen.afterDeath, codes.OK, 'another thread has taken its place')
  t.match(seen.cancelled, { code: codes.CANCELLED, heard: true })
  t.equal(seen.failing, 'no such greeting')
  t.match(seen.notCloned, /An argument of Counter cannot be sent to threads/)
  t.match(seen.notExported, /exports no Nobody/)
})
