/** How many calls may run at once, who waits, who is refused, and that every ending gives its place back. */
import websocket from '@fastify/websocket'
import { Metadata, ServerInterceptingCall, ServerListenerBuilder, status as codes, type ServerInterceptor } from '@grpc/grpc-js'
import Fastify from 'fastify'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { GrpcGateway, implement, loadProto, type CallContext, type GatewayOptions, type LimitOptions } from '../src/index.ts'
import { Admission, CallLimit, type LimitedCall } from '../src/call/admission.ts'
import { callOverHttp, Greeter, Kinds, KINDS, recordingLogger, serve, until, type Kind, type Note, type Outcome, type Served } from './serving.ts'

type Ended = Pick<Outcome, 'code' | 'details'>
interface Held { name: string, context: CallContext, finish (): void, fail (error: unknown): void }

/** A service whose calls go on until they are told to end. They are known by the metadata `name`. */
function holding () {
  const held: Held[] = []
  const hold = async (context: CallContext): Promise<Partial<Note>> => {
    const name = String(context.metadata.get('name')[0])
    await new Promise<void>((resolve, reject) => held.push({ name, context, finish: resolve, fail: reject }))
    return { text: name }
  }
  const service = implement(Kinds, {
    Unary: (_note, context) => hold(context),
    async * ServerStream (_note, context) { yield await hold(context) },
    ClientStream: (_notes, context) => hold(context),
    async * Bidi (_notes, context) { yield await hold(context) }
  })
  const names = (): string[] => held.map(({ name }) => name)
  const started = async (count: number): Promise<Held> => {
    await until(() => held.length >= count, `${count} calls, not ${names().join()}`)
    return held[count - 1]!
  }
  return { service, held, names, started }
}

function later<T> (): { promise: Promise<T>, resolve (value: T): void } {
  let resolve!: (value: T) => void
  return { promise: new Promise<T>(_resolve => { resolve = _resolve }), resolve: value => resolve(value) }
}

interface Asking { name?: string, signal?: AbortSignal, timeoutMs?: number }
type Way = (served: Served, kind: Kind, asking?: Asking) => Promise<Ended>

const streamsOf = (kind: Kind) => ({ requestStream: Kinds[kind].requestStream, responseStream: Kinds[kind].responseStream })

const ways: Record<'gRPC' | 'HTTP' | 'WebSocket', Way> = {
  async gRPC (served, kind, { name = 'x', signal, timeoutMs } = {}) {
    const metadata = new Metadata()
    metadata.set('name', name)
    return await served.client(Kinds).call(kind, {}, { metadata, ...signal && { signal }, ...timeoutMs && { deadline: Date.now() + timeoutMs } })
  },
  async HTTP ({ url }, kind, { name = 'x', signal, timeoutMs } = {}) {
    const headers = { name, ...timeoutMs && { 'grpc-timeout': `${timeoutMs}m` } }
    return await callOverHttp(`${url}/grpc/kinds/${kind.toLowerCase()}`, streamsOf(kind), {}, { headers, ...signal && { signal } })
  },
  async WebSocket ({ url }, kind, { name = 'x', signal, timeoutMs } = {}) {
    const headers = { name, ...timeoutMs && { 'grpc-timeout': `${timeoutMs}m` } }
    const socket = new WebSocket(`${url}/grpc/kinds/${kind.toLowerCase()}`, { headers })
    signal?.addEventListener('abort', () => socket.terminate())
    socket.on('open', () => socket.send('{}'))
    socket.on('error', () => {})
    const [code, reason] = await new Promise<[number, Buffer]>(resolve => socket.on('close', (...close) => resolve(close)))
    return { code: code === 1000 ? codes.OK : code >= 4000 ? code - 4000 : codes.CANCELLED, details: String(reason) }
  }
}
const WAYS = Object.keys(ways) as Array<keyof typeof ways>

async function serveAll (t: Test, options: GatewayOptions): Promise<Served> {
  const app = Fastify()
  await app.register(websocket)
  return await serve(t, { logger: recordingLogger(), ...options }, { app })
}

const refused = (queued: number, most = queued): Ended => ({
  code: codes.RESOURCE_EXHAUSTED,
  details: `Request dropped due to backpressure (num_queued_requests=${queued}, max_queued_requests=${most}).`
})

/** Resolves when so many calls wait. */
async function waiting ({ gateway }: Pick<Served, 'gateway'>, count: number): Promise<void> {
  await until(() => gateway.load.waiting === count, `${count} calls that wait, not ${gateway.load.waiting}`)
}

for (const way of WAYS) {
  t.test(`over ${way}, a call of any kind above concurrentCalls is refused, and its handler does not run`, async t => {
    const { service, started, names } = holding()
    const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 1 } })
    for (const [i, kind] of KINDS.entries()) {
      const first = ways[way](served, kind, { name: kind })
      const { finish } = await started(i + 1)
      for (const other of KINDS) t.match(await ways[way](served, other), refused(0), `${other} beside ${kind}`)
      finish()
      t.match(await first, { code: codes.OK })
    }
    t.same(names(), KINDS)
  })

  t.test(`over ${way}, calls above concurrentCalls wait in the order in which they come`, async t => {
    const { service, held, started, names } = holding()
    const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 2, queuedCalls: 3 } })
    const calls: Array<Promise<Ended>> = []
    for (const [i, kind] of ([...KINDS, 'Unary'] as const).entries()) {
      calls.push(ways[way](served, kind, { name: String(i) }))
      await until(() => held.length === Math.min(i + 1, 2), 'those that run')
      // Refused only once the others are in the queue.
      if (i >= 2 && i < 4) await waiting(served, i - 1)
    }
    await waiting(served, 3)
    t.match(await ways[way](served, 'Unary'), refused(3))
    for (let i = 0; i < 5; i++) (await started(i + 1)).finish()
    t.match(await Promise.all(calls), calls.map(() => ({ code: codes.OK })))
    t.same(names(), ['0', '1', '2', '3', '4'])
  })

  for (const how of ['cancelled', 'past its deadline'] as const) {
    t.test(`over ${way}, a call that waits leaves the queue when it is ${how}`, async t => {
      const { service, started, names } = holding()
      const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 1, queuedCalls: 1 } })
      const first = ways[way](served, 'Unary', { name: 'first' })
      const { finish } = await started(1)
      for (const kind of KINDS) {
        const abort = new AbortController()
        const second = ways[way](served, kind, { name: 'second', ...how === 'cancelled' ? { signal: abort.signal } : { timeoutMs: 100 } })
        if (how === 'cancelled') {
          await waiting(served, 1)
          abort.abort()
        }
        t.match(await second, { code: how === 'cancelled' ? codes.CANCELLED : codes.DEADLINE_EXCEEDED }, kind)
        await waiting(served, 0)
      }
      const third = ways[way](served, 'Unary', { name: 'third' })
      await waiting(served, 1)
      finish()
      const next = await started(2)
      next.finish()
      t.match(await Promise.all([first, third]), [{ code: codes.OK }, { code: codes.OK }])
      t.same(names(), ['first', 'third'], 'the handlers of the others never ran')
    })
  }

  t.test(`over ${way}, every ending of a call gives its place back`, async t => {
    const { service, held, started } = holding()
    const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 1 } })
    let count = 0
    for (const kind of KINDS) {
      const endings: Record<string, (held: Held, abort: AbortController) => unknown> = {
        OK: ({ finish }) => finish(),
        thrown: ({ fail }) => fail(new Error('broken')),
        'another code': ({ context, finish }) => { context.setCode(codes.ABORTED); finish() },
        cancelled: (_held, abort) => abort.abort()
      }
      for (const [name, end] of Object.entries(endings)) {
        const abort = new AbortController()
        const call = ways[way](served, kind, { signal: abort.signal })
        const begun = await started(++count)
        end(begun, abort)
        await call
        if (name === 'cancelled') await until(() => begun.context.signal.aborted, 'the cancellation')
        t.pass(`${kind}, ${name}`)
      }
      t.match(await ways[way](served, kind, { timeoutMs: 100 }), { code: codes.DEADLINE_EXCEEDED })
      // On a busy machine the handler may not even have begun.
      count = held.length
    }
  })
}

t.test('gateway.load says how many calls run and how many wait, on all protocols together', async t => {
  const { service, held, started } = holding()
  const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 1, queuedCalls: 2 } })
  t.same(served.gateway.load, { running: 0, waiting: 0 })
  const calls = WAYS.map(way => ways[way](served, 'Unary', { name: way }))
  await waiting(served, 2)
  t.same(served.gateway.load, { running: 1, waiting: 2 })
  t.match(await ways.HTTP(served, 'Unary'), refused(2))
  for (let i = 0; i < 3; i++) (await started(i + 1)).finish()
  await Promise.all(calls)
  t.same(held.map(({ name }) => name).sort(), [...WAYS].sort())
  await until(() => served.gateway.load.running === 0, 'the end of all')
})

t.test('clients that are refused are told when to come again, as retryAfterMs says', async t => {
  const cases: Array<[LimitOptions, string | null, string | undefined, object[]]> = [
    [{}, '1', '1000', [{ retryDelay: '1s' }]],
    [{ retryAfterMs: 2500 }, '3', '2500', [{ retryDelay: '2.500s' }]],
    [{ retryAfterMs: 0 }, null, undefined, []]
  ]
  for (const [limits, header, pushback, details] of cases) {
    const { service, started } = holding()
    const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 1, ...limits } })
    const first = ways.gRPC(served, 'Unary')
    const { finish } = await started(1)
    for (const rpc of ['unary', 'serverstream']) {
      const { status, headers, json } = await served.post(`/grpc/kinds/${rpc}`, {})
      t.match([status, json.title, json.detail], [429, 'RESOURCE_EXHAUSTED', refused(0).details])
      t.match(json.details ?? [], details)
      t.equal(json.details?.length ?? 0, details.length)
      t.equal(headers.get('retry-after'), header)
      t.notOk([...headers.keys()].some(name => name.startsWith('grpc-')), 'nothing of gRPC')
    }
    const { trailers } = await served.client(Kinds).call('Bidi', {})
    t.same(trailers.get('grpc-retry-pushback-ms'), pushback === undefined ? [] : [pushback])
    t.equal(trailers.get('grpc-status-details-bin').length, details.length)
    finish()
    await first
  }
})

t.test('the methods of a service share its limit, a method has one of its own, and that of the gateway counts too', async t => {
  const { service, started } = holding()
  const greeting = later<{ message: string }>()
  const greeter = implement(Greeter, { SayHello: () => greeting.promise })
  const served = await serveAll(t, {
    services: [service, greeter],
    limits: { concurrentCalls: 4 },
    methods: { 'test.Kinds.*': { limits: { concurrentCalls: 3, queuedCalls: 1 } }, 'test.Kinds.Bidi': { limits: { concurrentCalls: 1 } } }
  })
  const bidi = ways.gRPC(served, 'Bidi')
  await started(1)
  t.match(await ways.HTTP(served, 'Bidi'), refused(0), 'of the method')
  const others = [ways.gRPC(served, 'Unary'), ways.HTTP(served, 'ServerStream')]
  await started(3)
  const queued = ways.WebSocket(served, 'ClientStream', { name: 'queued' })
  await waiting(served, 1)
  t.match(await ways.gRPC(served, 'Unary'), refused(1), 'of the service')
  const hello = served.post('/grpc/greeter/sayhello', {})
  await until(() => served.gateway.load.running === 4, 'a call of the other service')
  t.match(await served.post('/grpc/greeter/sayhello', {}), { status: 429, json: { detail: refused(0).details } }, 'of the gateway')
  for (let i = 0; i < 3; i++) (await started(i + 1)).finish()
  const { name, finish } = await started(4)
  t.equal(name, 'queued')
  finish()
  greeting.resolve({ message: 'hello' })
  t.match(await Promise.all([bidi, ...others, queued]), Array(4).fill({ code: codes.OK }))
  t.match(await hello, { status: 200 })
})

t.test('a call that has waited for its service waits for the gateway too, rather than be refused', async t => {
  const { service, started } = holding()
  const greetings: Array<() => void> = []
  const greeter = implement(Greeter, { SayHello: ({ name }) => new Promise(resolve => greetings.push(() => resolve({ message: name }))) })
  const served = await serveAll(t, { services: [service, greeter], limits: { concurrentCalls: 2, queuedCalls: 1 }, methods: { 'test.Kinds.*': { limits: { concurrentCalls: 1, queuedCalls: 1 } } } })
  const hello = (name: string) => served.client(Greeter).call('SayHello', { name })
  const first = ways.gRPC(served, 'Unary')
  const { finish } = await started(1)
  const running = hello('runs')
  await until(() => greetings.length === 1, 'the other service')
  const second = ways.gRPC(served, 'Unary', { name: 'second' })
  await waiting(served, 1)
  const queued = hello('waits for the gateway')
  await waiting(served, 2)
  finish()
  await until(() => greetings.length === 2, 'the call that waited for the gateway only')
  t.same(served.gateway.load, { running: 2, waiting: 1 })
  t.match(await hello('refused'), refused(1))
  greetings[0]!()
  const { name, finish: finishSecond } = await started(2)
  t.equal(name, 'second')
  finishSecond()
  greetings[1]!()
  t.match(await Promise.all([first, second, running, queued]), Array(4).fill({ code: codes.OK }))
})

t.test('nothing is read of a call that waits, and an interceptor that reads ahead loses nothing', async t => {
  const { service, started } = holding()
  const texts: string[] = []
  const other = implement(Greeter, { async SayHello ({ name }) { texts.push(name); return { message: name } } })
  const read: string[] = []
  const eager = { is: false }
  const interceptor: ServerInterceptor = ({ path }, call) => new ServerInterceptingCall(call, {
    start (next) {
      next(new ServerListenerBuilder()
        .withOnReceiveMetadata((metadata, next) => {
          next(metadata)
          if (eager.is) call.startRead()
        })
        .withOnReceiveMessage((message, next) => {
          read.push(path)
          next(message)
        }).build())
    }
  })
  const served = await serveAll(t, { services: [service, other], interceptors: [interceptor], limits: { concurrentCalls: 1, queuedCalls: 1 } })
  for (const is of [false, true]) {
    eager.is = is
    const count = is ? 2 : 1
    const first = ways.gRPC(served, 'ClientStream')
    const { finish } = await started(count)
    read.length = 0
    const hello = served.client(Greeter).call('SayHello', { name: `read ahead: ${is}` })
    await waiting(served, 1)
    if (is) await until(() => read.length === 1, 'the message')
    t.same(read, is ? ['/test.Greeter/SayHello'] : [])
    finish()
    t.match(await Promise.all([first, hello]), [{ code: codes.OK }, { code: codes.OK, messages: [{ message: `read ahead: ${is}` }] }])
  }
  t.same(texts, ['read ahead: false', 'read ahead: true'])
})

t.test('health is told when all places are taken', async t => {
  const { service, started } = holding()
  const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 1 } })
  const call = ways.gRPC(served, 'Unary')
  const { finish } = await started(1)
  const { Health } = loadProto(new URL('../protos/grpc/health/v1/health.proto', import.meta.url))
  t.match(await served.client(Health!).call('Check', {}), { code: codes.OK, messages: [{ status: 'SERVING' }] })
  t.match(await served.request('/readyz'), { status: 200 })
  finish()
  await call
})

t.test('a shutdown waits for calls that wait, and ends them at the grace limit', async t => {
  const { service, started, names } = holding()
  const served = await serveAll(t, { services: [service], limits: { concurrentCalls: 1, queuedCalls: 9 } })
  const first = ways.gRPC(served, 'Unary', { name: 'first' })
  const { finish } = await started(1)
  const second = ways.HTTP(served, 'Unary', { name: 'second' })
  await waiting(served, 1)
  const rest = WAYS.map(way => ways[way](served, 'Bidi', { name: way }))
  await waiting(served, 4)
  const down = served.gateway.shutdown({ graceMs: 200 })
  finish()
  await started(2)
  t.match(await Promise.all([first, second, ...rest]), [{ code: codes.OK }, ...Array(4).fill({ code: codes.UNAVAILABLE, details: 'The server is shutting down' })])
  await down
  t.same(names(), ['first', 'second'])
  t.same(served.gateway.load, { running: 0, waiting: 0 })
})

t.test('10,000 calls may run at once by default, and any number with 0', async t => {
  for (const [limits, count, most] of [[{}, 10_001, 10_000], [{ concurrentCalls: 0 }, 20, 20]] as const) {
    const waits = later<Partial<Note>>()
    const service = implement(Kinds, { Unary: () => waits.promise })
    const { app, gateway } = await serveAll(t, { services: [service], limits })
    const calls = Array.from({ length: count }, () => app.inject({ method: 'POST', url: '/grpc/kinds/unary' }))
    await until(() => gateway.load.running === most, `${most} calls, not ${gateway.load.running}`)
    waits.resolve({})
    const statuses = (await Promise.all(calls)).map(({ statusCode }) => statusCode)
    t.equal(statuses.filter(status => status === 200).length, most)
    t.equal(statuses.filter(status => status === 429).length, count - most)
  }
})

t.test('limits that cannot work are refused, and named', async t => {
  const { service } = holding()
  const wrong: Array<[GatewayOptions['limits'] & object, RegExp]> = [
    [{ concurrentCalls: -1 }, /`limits`.*`concurrentCalls` must be a whole number, 0 to/],
    [{ queuedCalls: 1.5 }, /`queuedCalls` must be a whole number, 0 to/],
    [{ retryAfterMs: 2 ** 31 }, /`retryAfterMs` must be a whole number, 0 to 2147483647/],
    [{ concurrentCalls: 0, queuedCalls: 1 }, /`queuedCalls` has no effect without `concurrentCalls`/]
  ]
  for (const [limits, message] of wrong) t.throws(() => new GrpcGateway({ services: [service], limits }), { code: 'FGG_ERR_OPTION', message })
  const ofMethods: Array<[object, RegExp]> = [
    [{ queuedCalls: 1 }, /`methods`.*`queuedCalls` has no effect without `concurrentCalls` \(at test\.Kinds\.\*\)/],
    [{ messageBytes: 1 }, /`methods`.*has no member `messageBytes`/]
  ]
  for (const [limits, message] of ofMethods) t.throws(() => new GrpcGateway({ services: [service], methods: { 'test.Kinds.*': { limits } } }), { code: 'FGG_ERR_OPTION', message })
})

/** A call that is let in, waits, or is refused. */
class FakeCall implements LimitedCall {
  passed = 0
  isWaiting = false
  readonly #admission: Admission
  readonly #begun: FakeCall[]

  constructor (admission: Admission, begun: FakeCall[]) {
    this.#admission = admission
    this.#begun = begun
  }

  goOn (): void {
    const admitted = this.#admission.enter(this)
    if (admitted === true) this.#begun.push(this)
    else if (admitted !== 'waits') throw new Error('A call that has waited was refused')
  }
}

t.test('whatever begins, ends and is cancelled: no limit is exceeded, nobody overtakes, and all places are free in the end', async t => {
  const limit = fc.record({ most: fc.integer({ min: 1, max: 4 }), mostWaiting: fc.integer({ min: 0, max: 4 }) })
  const step = fc.record({ begins: fc.boolean(), method: fc.nat(2), which: fc.nat(100) })
  fc.assert(fc.property(fc.array(limit, { minLength: 5, maxLength: 5 }), fc.array(step, { maxLength: 200 }), (limits, steps) => {
    const [gateway, service, ...own] = limits.map(({ most, mostWaiting }) => new CallLimit(most, mostWaiting, 0))
    const all = [gateway!, service!, ...own]
    // Two methods of a service, and one of another service without a limit of its own.
    const admissions = [new Admission([own[0]!, service!, gateway!]), new Admission([own[1]!, service!, gateway!]), new Admission([own[2]!, gateway!])]
    const open = new Map<FakeCall, number>()
    const begun: FakeCall[] = []
    const came: FakeCall[][] = [[], [], []]

    function check (): void {
      for (const [i, { most }] of limits.entries()) {
        const { running, waiting } = all[i]!
        if (running < 0 || running > most) throw new Error(`${running} calls run, of at most ${most}`)
        if (waiting > 0 && running < most) throw new Error('A call waits for nothing')
      }
      // Of each method, those that have begun are those that came first.
      for (const calls of came) {
        const flags = calls.filter(call => open.has(call)).map(call => begun.includes(call))
        if (flags.indexOf(false) !== -1 && flags.lastIndexOf(true) > flags.indexOf(false)) throw new Error('A call has overtaken another')
      }
    }

    for (const { begins, method, which } of steps) {
      if (begins) {
        const call = new FakeCall(admissions[method]!, begun)
        const admitted = admissions[method]!.enter(call)
        if (admitted === true) begun.push(call)
        if (admitted === true || admitted === 'waits') {
          open.set(call, method)
          came[method]!.push(call)
        } else if (call.passed !== 0) throw new Error('A call that was refused keeps a place')
      } else if (open.size > 0) {
        const [call, ofMethod] = [...open][which % open.size]!
        open.delete(call)
        admissions[ofMethod]!.leave(call)
        admissions[ofMethod]!.leave(call)
      }
      check()
    }
    for (const [call, method] of open) admissions[method]!.leave(call)
    if (all.some(({ running, waiting }) => running !== 0 || waiting !== 0)) throw new Error('A place is not free')
  }), { numRuns: 1000 })
  t.pass('1,000 random runs')
})
