/** What a handler knows and can do through its context, on both protocols. */
import { Metadata, status as codes } from '@grpc/grpc-js'
import t from 'tap'
import { GrpcError, implement, status, type CallContext, type GatewayOptions } from '../src/index.ts'
import { Greeter, serve, sleep, until, type Outcome, type Served } from './serving.ts'

const PATH = '/grpc/greeter/sayhello'

function greeter (say: (context: CallContext, name: string) => unknown): object {
  return implement(Greeter, { SayHello: async ({ name }, context) => ({ message: String(await say(context, name)) }) })
}

/** The status of one call over each protocol. */
async function both (served: Served, options: { name?: string, timeout?: number, headers?: Record<string, string> } = {}): Promise<{ grpc: Outcome, http: { status: number, json: { code: number, detail: string, message: string }, headers: Headers } }> {
  const { name = '', timeout, headers = {} } = options
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(headers)) metadata.set(key, value)
  const deadline = timeout === undefined ? {} : { deadline: Date.now() + timeout }
  return {
    grpc: await served.client(Greeter).call('SayHello', { name }, { metadata, ...deadline }),
    http: await served.post(PATH, { name }, { ...headers, ...timeout === undefined ? {} : { 'grpc-timeout': `${timeout}m` } })
  }
}

t.test('it tells method, protocol, peer, metadata and request id', async t => {
  const contexts: Record<string, object> = {}
  const served = await serve(t, {
    services: [greeter(context => {
      const { method, protocol, peer, metadata, requestId, http, application, multiplexedModelId, deadline, authContext } = context
      contexts[protocol] = { method: method.fullName, peer, x: metadata.get('x'), requestId, http, application, multiplexedModelId, deadline, remaining: context.timeRemaining(), authContext }
    })]
  })
  await both(served, { headers: { x: '1', 'x-request-id': 'rid-1', application: 'app1', multiplexed_model_id: 'm9' } })
  const common = { method: 'test.Greeter.SayHello', peer: /^127\.0\.0\.1:\d+$/, x: ['1'], requestId: 'rid-1', application: 'app1', multiplexedModelId: 'm9', deadline: undefined, remaining: Infinity, authContext: {} }
  t.match(contexts.grpc, { ...common, http: undefined })
  t.match(contexts.http, { ...common, http: { method: 'POST', template: PATH, url: PATH } })
})

t.test('a request id is made where the client has none, and answered over HTTP', async t => {
  const ids: string[] = []
  const served = await serve(t, { services: [greeter(({ requestId, requestId: again }) => ids.push(requestId, again))] })
  const { http } = await both(served)
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  for (const id of ids) t.match(id, uuid)
  t.equal(http.headers.get('x-request-id'), ids[2])
  t.equal(ids[2], ids[3])
  t.not(ids[0], ids[2])
})

t.test('its logger says which RPC and request a line belongs to', async t => {
  const lines: object[] = []
  const logger = { debug () {}, warn () {}, error () {}, info: (fields: object) => lines.push(fields), child: (bound: object) => ({ ...logger, info: (fields: object) => lines.push({ ...bound, ...fields }) }) }
  const served = await serve(t, { services: [greeter(({ log }) => log.info({ a: 1 }, 'hello'))], logger: logger as never })
  lines.length = 0
  await both(served, { headers: { 'x-request-id': 'rid-2' } })
  t.match(lines, [{ a: 1, rpc: '/test.Greeter/SayHello', requestId: 'rid-2' }, { a: 1, rpc: '/test.Greeter/SayHello', requestId: 'rid-2' }])
})

t.test('setCode and setDetails end the call with an error, and the returned message is dropped', async t => {
  const served = await serve(t, {
    services: [greeter(context => {
      context.trailers.set('num', '0')
      context.setCode(status.INVALID_ARGUMENT)
      context.setDetails('foo not found')
    })]
  })
  const { grpc, http } = await both(served)
  t.match(grpc, { code: codes.INVALID_ARGUMENT, details: 'foo not found', messages: [] })
  t.same(grpc.trailers.get('num'), ['0'])
  t.match(http, { status: 400, json: { detail: 'foo not found' } })
  t.equal(http.headers.get('grpc-trailer-num'), '0')
})

t.test('setDetails without a code goes with OK', async t => {
  const served = await serve(t, { services: [greeter(context => { context.setCode(status.OK); context.setDetails('foo found.') })] })
  const { grpc, http } = await both(served)
  t.match(grpc, { code: codes.OK, details: 'foo found.' })
  t.equal(http.status, 200)
})

t.test('a throw after setCode is INTERNAL, unless errors.keepCode', async t => {
  const service = greeter(context => {
    context.setCode(status.DATA_LOSS)
    context.setDetails('lost')
    throw new Error('secret')
  })
  const strict = await both(await serve(t, { services: [service] }))
  t.match([strict.grpc, strict.http.json], [{ code: codes.INTERNAL, details: 'Internal error' }, { code: 13, detail: 'Internal error' }])
  const kept = await both(await serve(t, { services: [service], errors: { keepCode: true } }))
  t.match([kept.grpc, kept.http.json], [{ code: codes.DATA_LOSS, details: 'lost' }, { code: 15, detail: 'lost' }])
})

t.test('a GrpcError after setCode keeps its own status', async t => {
  const served = await serve(t, {
    errors: { keepCode: true },
    services: [greeter(context => {
      context.setCode(status.DATA_LOSS)
      throw new GrpcError(status.ABORTED, 'mine')
    })]
  })
  const { grpc, http } = await both(served)
  t.match([grpc, http.json], [{ code: codes.ABORTED, details: 'mine' }, { code: 10, detail: 'mine' }])
})

t.test('abort throws the status', async t => {
  const served = await serve(t, { services: [greeter(context => context.abort(status.UNAVAILABLE, 'later'))] })
  const { grpc, http } = await both(served)
  t.match([grpc, http.status], [{ code: codes.UNAVAILABLE, details: 'later' }, 503])
})

t.test('headers and trailers travel with success and with errors, -bin included', async t => {
  const served = await serve(t, {
    services: [greeter((context, name) => {
      const metadata = new Metadata()
      metadata.add('a', '1')
      metadata.add('a', '2')
      metadata.add('raw-bin', Buffer.from([255, 0]))
      context.sendHeaders(metadata)
      context.trailers.set('t', '3')
      context.trailers.set('t-bin', Buffer.from([1]))
      if (name === 'error') {
        const own = new Metadata()
        own.set('why', 'name')
        throw new GrpcError(status.ABORTED, 'no', { metadata: own })
      }
    })]
  })
  for (const name of ['ok', 'error']) {
    const { grpc, http } = await both(served, { name })
    t.same(grpc.metadata.get('a').join(', '), '1, 2')
    t.same(grpc.metadata.get('raw-bin'), [Buffer.from([255, 0])])
    t.same([grpc.trailers.get('t'), grpc.trailers.get('t-bin')], [['3'], [Buffer.from([1])]])
    t.same([http.headers.get('a'), http.headers.get('raw-bin')], ['1, 2', '/wA='])
    t.same([http.headers.get('grpc-trailer-t'), http.headers.get('grpc-trailer-t-bin')], ['3', 'AQ=='])
    if (name === 'error') t.same([grpc.trailers.get('why'), http.headers.get('grpc-trailer-why')], [['name'], 'name'])
  }
})

t.test('a deadline ends a blocked call on both protocols', async t => {
  const reasons: unknown[] = []
  const remaining: number[] = []
  const served = await serve(t, {
    services: [greeter(context => {
      remaining.push(context.timeRemaining())
      t.type(context.deadline, Date)
      return new Promise(() => context.signal.addEventListener('abort', () => reasons.push(context.signal.reason)))
    })]
  })
  const { grpc, http } = await both(served, { timeout: 100 })
  t.match(grpc, { code: codes.DEADLINE_EXCEEDED })
  t.match(http, { status: 504, json: { title: 'DEADLINE_EXCEEDED', detail: /^Deadline exceeded: the call timed out after 0\.\d+s\.$/ } })
  await until(() => reasons.length === 2, 'both aborts')
  // A client of gRPC cancels at its own deadline, which may be before the server's.
  for (const { code } of reasons as GrpcError[]) t.ok([codes.DEADLINE_EXCEEDED, codes.CANCELLED].includes(code), codes[code])
  t.ok((reasons as GrpcError[]).some(({ code }) => code === codes.DEADLINE_EXCEEDED), 'over HTTP, the deadline is the server\'s')
  for (const ms of remaining) t.ok(ms > 0 && ms <= 100, `${ms} ms remain`)
})

t.test('x-request-timeout-seconds is a deadline too; grpc-timeout is preferred, and 0 is none', async t => {
  const served = await serve(t, { services: [greeter(context => Math.ceil(context.timeRemaining() / 1000))] })
  const remaining = async (headers: Record<string, string>): Promise<string> => (await served.post(PATH, {}, headers)).json.message
  t.equal(await remaining({ 'x-request-timeout-seconds': '3.5' }), '4')
  t.equal(await remaining({ 'x-request-timeout-seconds': '3', 'grpc-timeout': '9S' }), '9')
  t.equal(await remaining({ 'x-request-timeout-seconds': '0' }), 'Infinity')
  t.equal(await remaining({ 'grpc-timeout': '2H' }), '7200')
  t.equal(await remaining({ 'grpc-timeout': '99999999H' }), '359999996400', 'past what a timer can hold')
  for (const value of ['9', '9x', '-1S', '123456789S', '1.5S', '']) {
    t.match(await served.post(PATH, {}, { 'grpc-timeout': value }), { status: 400, json: { detail: /^grpc-timeout: / } }, value)
  }
  t.match(await served.post(PATH, {}, { 'x-request-timeout-seconds': 'soon' }), { status: 400 })
})

t.test('timeout.default and timeout.max bound calls on both protocols, per method too', async t => {
  const hang = greeter(context => context.timeRemaining() > 1000 ? 'plenty' : new Promise(() => {}))
  const check = async (options: Partial<GatewayOptions>, asked: number | undefined, expected: 'plenty' | 'exceeded'): Promise<void> => {
    const { grpc, http } = await both(await serve(t, { services: [hang], ...options }), asked === undefined ? {} : { timeout: asked })
    const outcome = [grpc.code, http.status]
    t.same(outcome, expected === 'plenty' ? [codes.OK, 200] : [codes.DEADLINE_EXCEEDED, 504], JSON.stringify({ ...options, asked }))
  }
  await check({}, undefined, 'plenty')
  await check({ timeout: { default: 50 } }, undefined, 'exceeded')
  await check({ timeout: { default: 50 } }, 60_000, 'plenty')
  await check({ timeout: { max: 50 } }, undefined, 'exceeded')
  await check({ timeout: { max: 50 } }, 60_000, 'exceeded')
  await check({ timeout: { max: 50 }, methods: { 'test.Greeter.SayHello': { timeout: { max: 60_000 } } } }, undefined, 'plenty')
  await check({ methods: { 'test.Greeter.*': { timeout: { default: 50 } } } }, undefined, 'exceeded')
})

t.test('the signal aborts when the client goes away', async t => {
  const reasons: Record<string, unknown> = {}
  const started: string[] = []
  const served = await serve(t, {
    services: [greeter(({ signal, protocol }) => {
      started.push(protocol)
      return new Promise(() => signal.addEventListener('abort', () => { reasons[protocol] = signal.reason }))
    })]
  })
  const stop = new AbortController()
  const calls = [
    served.client(Greeter).call('SayHello', {}, { signal: stop.signal }),
    fetch(served.url + PATH, { method: 'POST', signal: stop.signal }).catch(() => {})
  ]
  await until(() => started.length === 2, 'both calls')
  stop.abort()
  await Promise.all(calls)
  await until(() => Object.keys(reasons).length === 2, 'both aborts')
  t.match(reasons, { grpc: { code: codes.CANCELLED }, http: { code: codes.CANCELLED } })
})

t.test('the signal does not abort after success', async t => {
  const signals: AbortSignal[] = []
  const served = await serve(t, { services: [greeter(({ signal }) => signals.push(signal))] })
  const { grpc } = await both(served)
  t.equal(grpc.code, codes.OK)
  await sleep(50)
  t.same(signals.map(({ aborted }) => aborted), [false, false])
})

t.test('details are cut at 4096 characters, and hold no half of a character', async t => {
  const served = await serve(t, { services: [greeter((_context, name) => { throw new GrpcError(status.ABORTED, name) })] })
  for (const name of ['x'.repeat(5000), '😀'.repeat(2500), 'a\ud800b']) {
    const { grpc, http } = await both(served, { name: name.toWellFormed() })
    t.equal(grpc.details, http.json.detail)
    t.ok(grpc.details.length <= 4096)
    t.equal(grpc.details.endsWith('... [truncated]'), name.length > 4096)
    t.equal(grpc.details, grpc.details.toWellFormed())
  }
})

t.test('details of success may be any text', async t => {
  const served = await serve(t, { services: [greeter((context, name) => context.setDetails(name === 'half' ? 'ab\ud83d' : 'x'.repeat(5000)))] })
  for (const name of ['half', 'long']) {
    const { grpc, http } = await both(served, { name })
    t.equal(grpc.code, codes.OK)
    t.ok(grpc.details.length <= 4096)
    t.equal(http.status, 200)
  }
})
