/** Calls over WebSockets: what frames, close codes and headers say, in both subprotocols and both styles of handlers. */
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { connect, type Socket } from 'node:net'
import websocket, { type WebsocketPluginOptions } from '@fastify/websocket'
import { Metadata, ResponderBuilder, ServerInterceptingCall, ServerListenerBuilder, type sendUnaryData, type ServerDuplexStream, type ServerInterceptor, type ServerReadableStream, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { contextOf, GrpcError, GrpcGateway, implement, registerGrpcHttpRoutes, status, type CallContext, type GatewayOptions, type ServiceRegistrar } from '../src/index.ts'
import { Greeter, Kinds, KINDS, recordingLogger, serve, sleep, until, type Kind, type Note, type Served } from './serving.ts'

type Notes = Array<Partial<Note>>
const SUBPROTOCOLS = ['json', 'proto'] as const
/** Every style of handlers with every subprotocol. */
const WAYS = ['grpc/kinds', 'js/kindsservice'].flatMap(service => SUBPROTOCOLS.map(protocol => ({ service, protocol, way: `${service} by ${protocol}` })))

/** An app that takes WebSockets. A second service has a gateway of its own, under `/js`. */
async function serveSockets (t: Test, { services: [service, other], ...options }: GatewayOptions, plugin: WebsocketPluginOptions = {}, prepare: (app: FastifyInstance) => void = () => {}, app: FastifyInstance = Fastify()): Promise<Served> {
  await app.register(websocket, plugin)
  prepare(app)
  const common = { logger: recordingLogger(), port: 0, ...options }
  if (other !== undefined) {
    const second = new GrpcGateway({ ...common, services: [other], path: '/js' })
    registerGrpcHttpRoutes(app, [second])
    t.teardown(() => second.shutdown({ graceMs: 100 }))
  }
  return await serve(t, { ...common, services: [service!] }, { app })
}

interface Target {
  /** The last part of the URL, perhaps with a query. */
  rpc: string
  /** What goes before that. */
  service?: string
  protocol?: typeof SUBPROTOCOLS[number]
  /** The subprotocols that the client names, where they are more than the one. */
  offers?: string[]
  headers?: Record<string, string>
  deflate?: boolean
}

interface Ended {
  messages: Array<{ text: string, n: string }>
  /** Frames that are no messages, all but the last. */
  controls: unknown[]
  /** The last frame, without the request id that each has. */
  status: any
  code: number
  reason: string
}

/** A call from the client's side. */
class Call {
  readonly socket: WebSocket
  readonly messages: Ended['messages'] = []
  readonly controls: unknown[] = []
  readonly ended: Promise<Ended>
  readonly #isBinary: boolean

  constructor (socket: WebSocket, protocol: string) {
    this.socket = socket
    this.#isBinary = protocol === 'proto'
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary !== this.#isBinary) return this.controls.push(JSON.parse(String(data)))
      const { text = '', n = '0' } = isBinary ? Kinds.Bidi.responseDeserialize(data) : JSON.parse(String(data))
      return this.messages.push({ text, n })
    })
    this.ended = new Promise(resolve => socket.on('close', (code, reason) => {
      const { requestId, ...status } = this.controls.pop() as { requestId?: string } ?? {}
      resolve({ messages: this.messages, controls: this.controls, status: requestId === undefined ? undefined : status, code, reason: String(reason) })
    }))
  }

  send (...notes: Notes): this {
    for (const note of notes) this.socket.send(this.#isBinary ? Kinds.Bidi.requestSerialize(note as Note) : JSON.stringify(note))
    return this
  }

  /** No more messages follow. */
  end (): this {
    this.socket.send(this.#isBinary ? '' : Buffer.alloc(0))
    return this
  }
}

function socketOf (t: Test, url: string, { rpc, service = 'grpc/kinds', protocol = 'json', offers = [protocol], headers = {}, deflate = false }: Target): WebSocket {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/${service}/${rpc.toLowerCase()}`, offers, { headers, perMessageDeflate: deflate })
  t.teardown(() => socket.terminate())
  return socket
}

async function open (t: Test, url: string, target: Target): Promise<Call> {
  const socket = socketOf(t, url, target)
  const call = new Call(socket, target.protocol ?? 'json')
  await once(socket, 'open')
  socket.on('error', () => {})
  return call
}

/** A whole call. */
async function callOf (t: Test, url: string, target: Target, notes: Notes): Promise<Ended> {
  const call = (await open(t, url, target)).send(...notes)
  if (/^(client|bidi)/i.test(target.rpc)) call.end()
  return await call.ended
}

/** The answer to an upgrade that is refused. */
async function refusal (t: Test, url: string, target: Target): Promise<{ status: number, headers: IncomingHttpHeaders, json: any }> {
  const socket = socketOf(t, url, target).on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response')
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode, headers: response.headers, json: body === '' ? undefined : JSON.parse(body) }
}

/** A connection that writes what it is given, and nothing else. */
function bare (t: Test, url: string, ...requests: string[]): Socket {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).on('error', () => {})
  t.teardown(() => socket.destroy())
  socket.write(requests.join(''))
  return socket
}
const upgradeOf = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n${UPGRADE}`
const postTo = (path: string): string => `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n`

/** A client that makes its handshake by hand, sends frames as they are given, and answers nothing. */
async function deaf (t: Test, url: string, path: string, ...frames: readonly number[][]): Promise<Socket> {
  const socket = bare(t, url, upgradeOf(path))
  const [head] = await once(socket, 'data')
  if (!String(head).startsWith('HTTP/1.1 101')) throw new Error(String(head))
  for (const frame of frames) socket.write(Buffer.from(frame))
  return socket
}
const UPGRADE = 'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
/** A text frame with `{}`, masked by zeros. */
const EMPTY_OBJECT = [0x81, 0x82, 0, 0, 0, 0, 0x7b, 0x7d]

type Unary = ServerUnaryCall<Note, Partial<Note>>
type Writing = ServerWritableStream<Note, Partial<Note>>
type Reading = ServerReadableStream<Note, Partial<Note>>
type Duplex = ServerDuplexStream<Note, Partial<Note>>
type Callback = sendUnaryData<Partial<Note>>

function grpcJsService (handlers: object): object {
  return class KindsService {
    static addToServer (_instance: KindsService, server: ServiceRegistrar): void {
      server.addService(Kinds, handlers)
    }
  }
}

/** Handlers in the form of `implement`, and the same in that of grpc-js. */
function drained (call: Writing | Duplex): Promise<void> {
  return new Promise(resolve => {
    const goOn = (): void => {
      for (const event of ['drain', 'close']) call.off(event, goOn)
      resolve()
    }
    for (const event of ['drain', 'close']) call.on(event, goOn)
  })
}

function inBothStyles (handlers: { [K in Kind]?: (request: any, context: CallContext) => any }): object[] {
  async function write (call: Writing | Duplex, messages: AsyncIterable<Note>): Promise<void> {
    try {
      for await (const message of messages) {
        if (!call.write(message) && !call.destroyed) await drained(call)
        if (call.destroyed) break
      }
      call.end()
    } catch (error) {
      call.emit('error', error)
    }
  }
  const answer = async (callback: Callback, run: () => unknown): Promise<void> => {
    try {
      callback(null, await run() as Note)
    } catch (error) {
      callback(error as Error)
    }
  }
  const { Unary, ServerStream, ClientStream, Bidi } = handlers
  return [implement(Kinds, handlers), grpcJsService({
    ...Unary && { Unary: (call: Unary, callback: Callback) => answer(callback, () => Unary(call.request, contextOf(call))) },
    ...ServerStream && { ServerStream: (call: Writing) => write(call, ServerStream(call.request, contextOf(call))) },
    ...ClientStream && { ClientStream: (call: Reading, callback: Callback) => answer(callback, () => ClientStream(call, contextOf(call))) },
    ...Bidi && { Bidi: (call: Duplex) => write(call, Bidi(call.iterator({ destroyOnReturn: false }), contextOf(call))) }
  })]
}

const failure = (): Error => new GrpcError(status.NOT_FOUND, 'No such note')
function failed (note: Note): boolean {
  if (note.text === 'fail') throw failure()
  return false
}

/** Unary answers, ServerStream counts to n, ClientStream counts, Bidi echoes. A message `fail` makes them fail. */
const services = [
  implement(Kinds, {
    Unary: note => failed(note) ? {} : { text: `${note.text}!` },
    async * ServerStream (note) {
      for (let n = 1; n <= Number(note.n); n++) yield { text: note.text, n: String(n) }
      failed(note)
    },
    async ClientStream (notes) {
      let last = 0
      for await (const note of notes) if (!failed(note) && Number(note.n) === last + 1) last++
      return { n: String(last) }
    },
    async * Bidi (notes) { for await (const note of notes) if (!failed(note)) yield note }
  }),
  grpcJsService({
    Unary: (call: Unary, callback: Callback) => call.request.text === 'fail' ? callback(failure()) : callback(null, { text: `${call.request.text}!` }),
    ServerStream (call: Writing) {
      for (let n = 1; n <= Number(call.request.n); n++) call.write({ text: call.request.text, n: String(n) })
      if (call.request.text === 'fail') call.emit('error', failure())
      else call.end()
    },
    ClientStream (call: Reading, callback: Callback) {
      let last = 0
      call.on('data', (note: Note) => {
        if (note.text === 'fail') callback(failure())
        else if (Number(note.n) === last + 1) last++
      })
      call.on('end', () => callback(null, { n: String(last) }))
    },
    Bidi (call: Duplex) {
      call.on('data', (note: Note) => note.text === 'fail' ? call.emit('error', failure()) : call.write(note))
      call.on('end', () => call.end())
    }
  })
]

const OK = { status: { code: 0, status: 'OK', trailers: {} }, code: 1000, reason: 'OK', controls: [] }
const FAILED = { status: { code: 5, status: 'NOT_FOUND', trailers: {}, error: { status: 404, title: 'NOT_FOUND', detail: 'No such note', code: 5 } }, code: 4005, reason: 'No such note', controls: [] }
const UNAVAILABLE = { status: { code: 14, status: 'UNAVAILABLE', error: { status: 503 } }, code: 4014, reason: 'The server is shutting down' }
const numbered = (count: number, text = ''): Ended['messages'] => Array.from({ length: count }, (_, i) => ({ text, n: String(i + 1) }))

t.test('RPCs of all four kinds answer, and fail before and after their first message', async t => {
  const { url } = await serveSockets(t, { services })
  const cases: Array<[name: string, rpc: Kind, notes: Notes, ending: object, messages: object[]]> = [
    ['one message', 'Unary', [{ text: 'a' }], OK, [{ text: 'a!', n: '0' }]],
    ['a message without fields', 'Unary', [{}], OK, [{ text: '!', n: '0' }]],
    ['a failure', 'Unary', [{ text: 'fail' }], FAILED, []],
    ['a stream', 'ServerStream', [{ n: '3' }], OK, numbered(3)],
    ['an empty stream', 'ServerStream', [{}], OK, []],
    ['a failure at once', 'ServerStream', [{ text: 'fail' }], FAILED, []],
    ['a failure after a message', 'ServerStream', [{ text: 'fail', n: '1' }], FAILED, numbered(1, 'fail')],
    ['a failure after 5,000', 'ServerStream', [{ text: 'fail', n: '5000' }], FAILED, numbered(5000, 'fail')],
    ['requests', 'ClientStream', numbered(3), OK, [{ text: '', n: '3' }]],
    ['no requests', 'ClientStream', [], OK, [{ text: '', n: '0' }]],
    ['a failure after 5,000', 'ClientStream', [...numbered(5000), { text: 'fail' }], FAILED, []],
    ['both ways', 'Bidi', numbered(3, 'a'), OK, numbered(3, 'a')],
    ['nothing both ways', 'Bidi', [], OK, []],
    ['a failure at once', 'Bidi', [{ text: 'fail' }], FAILED, []],
    ['a failure after a message', 'Bidi', [...numbered(1), { text: 'fail' }], FAILED, numbered(1)],
    ['a failure after 5,000', 'Bidi', [...numbered(5000), { text: 'fail' }], FAILED, numbered(5000)]
  ]
  for (const { way, ...target } of WAYS) {
    for (const [name, rpc, notes, ending, messages] of cases) t.same(await callOf(t, url, { ...target, rpc }, notes), { ...ending, messages }, `${rpc} of ${way}: ${name}`)
    for (const rpc of ['Unary', 'ServerStream']) t.match(await (await open(t, url, { ...target, rpc })).send({}).end().ended, OK, `${rpc} of ${way}: with an end frame that it does not need`)
  }
})

t.test('ten thousand messages each way come in order', async t => {
  const { url } = await serveSockets(t, { services })
  for (const { way, ...target } of WAYS) {
    const [down, up, both] = await Promise.all([
      callOf(t, url, { ...target, rpc: 'ServerStream' }, [{ n: '10000' }]),
      callOf(t, url, { ...target, rpc: 'ClientStream' }, numbered(10_000)),
      callOf(t, url, { ...target, rpc: 'Bidi' }, numbered(10_000, 'x'))
    ])
    t.same([down, up, both].map(({ code }) => code), [1000, 1000, 1000], way)
    t.same(down.messages, numbered(10_000), `server stream of ${way}`)
    t.same(up.messages, [{ text: '', n: '10000' }], `client stream of ${way}`)
    t.same(both.messages, numbered(10_000, 'x'), `bidi of ${way}`)
  }
})

/** Services that tell what becomes of their requests; slow ones do something else between two of them. */
function telling (events: string[], slowly = false): object[] {
  const tellOfAbort = ({ signal }: CallContext): void => signal.addEventListener('abort', () => events.push(`aborted ${(signal.reason as GrpcError).code}`))
  async function * read (notes: AsyncIterable<Note>, context: CallContext): AsyncGenerator<Partial<Note>> {
    let end = 'left'
    tellOfAbort(context)
    try {
      for await (const { text } of notes) {
        events.push(text)
        if (slowly) await sleep(1)
        yield { text }
      }
      end = 'end'
    } catch {
      end = 'rejected'
    } finally {
      events.push(end)
    }
  }
  return inBothStyles({
    async ClientStream (notes, context) {
      for await (const { text } of read(notes, context)) if (text === undefined) return
      return {}
    },
    Bidi: read,
    async * ServerStream (_note, context) {
      tellOfAbort(context)
      try {
        for (;; await sleep(1)) yield {}
      } finally {
        events.push('finally')
      }
    }
  })
}
const withoutAbort = (events: string[]): string[] => events.filter(event => !event.startsWith('aborted'))

t.test('a close in order ends the requests, and all that came before reaches the handler', async t => {
  const texts = Array.from({ length: 40 }, (_, i) => String(i))
  for (const slowly of [false, true]) {
    const events: string[] = []
    const { url } = await serveSockets(t, { services: telling(events, slowly) })
    for (const { way, ...target } of WAYS) {
      for (const rpc of ['ClientStream', 'Bidi']) {
        for (const code of [1000, undefined]) {
          events.length = 0
          const call = await open(t, url, { ...target, rpc })
          call.send(...texts.map(text => ({ text }))).socket.close(code)
          t.match(await call.ended, { code: code ?? 1005, status: undefined })
          await until(() => ['end', 'left', 'rejected'].some(end => events.includes(end)), 'the end of the iteration')
          t.same(withoutAbort(events), [...texts, 'end'], `${rpc} of ${way}, ${slowly ? 'slow' : 'quick'}, close ${code}`)
        }
      }
    }
  }
})

t.test('a client that disappears, or closes with another code than 1000, cancels the call', async t => {
  const events: string[] = []
  const { url } = await serveSockets(t, { services: telling(events) })
  const leave: Record<string, (socket: WebSocket) => void> = {
    'the connection breaks': socket => socket.terminate(),
    'going away': socket => socket.close(1001),
    'a code of its own': socket => socket.close(4321, 'enough'),
    'a close in order, of a client that has nothing more to say': socket => socket.close(1000)
  }
  for (const { way, ...target } of WAYS) {
    for (const [name, goAway] of Object.entries(leave)) {
      for (const rpc of name.startsWith('a close') ? ['ServerStream'] : ['ServerStream', 'ClientStream']) {
        events.length = 0
        const call = (await open(t, url, { ...target, rpc })).send({ text: 'a' })
        await until(() => call.messages.length > 0 || events.includes('a'), 'a message')
        goAway(call.socket)
        const expected = rpc === 'ServerStream' ? ['aborted 1', 'finally'] : ['a', 'aborted 1', 'rejected']
        await until(() => events.length === expected.length, 'the end')
        t.same(events.sort(), expected, `${rpc} of ${way}: ${name}`)
      }
    }
  }
})

t.test('a handler that writes for ever and reads nothing is cancelled after a close in order', async t => {
  let [written, isAborted] = [0, false]
  const { url } = await serveSockets(t, {
    services: inBothStyles({
      async * Bidi (_notes, { signal }) {
        signal.addEventListener('abort', () => { isAborted = true })
        for (;;) yield { text: 'x', n: String(++written) }
      }
    })
  })
  for (const { way, ...target } of WAYS) {
    [written, isAborted] = [0, false]
    const call = (await open(t, url, { ...target, rpc: 'Bidi' })).send({})
    await until(() => call.messages.length > 0, 'a message')
    call.socket.close(1000)
    t.match(await call.ended, { code: 1000 }, way)
    await t.resolves(until(() => isAborted, 'the cancellation'), way)
    t.ok(await standstill(() => written) > 0, `${way} stops to write`)
  }
})

t.test('a client that leaves is noticed while a message of it is unread', async t => {
  const log: string[] = []
  let read = (): void => {}
  const { url } = await serveSockets(t, {
    services: inBothStyles({
      async * Bidi (notes, { signal }) {
        await new Promise<void>(resolve => {
          read = resolve
          signal.addEventListener('abort', () => { log.push('aborted'); resolve() })
        })
        for await (const { text } of notes) log.push(text)
        log.push('end')
        yield {}
      }
    })
  })
  const leave: Record<string, (socket: WebSocket & { _socket?: Socket }) => void> = {
    'the connection breaks': socket => socket.terminate(),
    'the connection ends': socket => socket._socket!.end(),
    'a close in order': socket => socket.close(1000)
  }
  for (const { way, ...target } of WAYS) {
    for (const [name, goAway] of Object.entries(leave)) {
      log.length = 0
      const call = await open(t, url, { ...target, rpc: 'Bidi' })
      let isAnswered = false
      call.socket.on('pong', () => { isAnswered = true })
      call.send({ text: 'unread' }).socket.ping()
      await until(() => isAnswered, 'the pong, which shows that the message is there')
      goAway(call.socket)
      if (name === 'a close in order') {
        t.match(await call.ended, { code: 1000 }, `${way}: ${name} is answered`)
        t.same(log, [], `${way}: ${name} leaves the handler its time`)
        read()
        await until(() => log.includes('end'), 'the end of the requests')
        t.same(withoutAbort(log), ['unread', 'end'], `${way}: ${name} loses nothing`)
      } else {
        await t.resolves(until(() => log.includes('aborted'), 'the cancellation'), `${way}: ${name}`)
      }
    }
  }
})

/** Never answers on its own. */
function hanging (log: string[] = []): object {
  const hang = ({ signal }: CallContext): Promise<never> => new Promise((_resolve, reject) => {
    log.push('began')
    signal.addEventListener('abort', () => { log.push('aborted'); reject(signal.reason) })
  })
  return implement(Kinds, {
    Unary: (_note, context) => hang(context),
    async * ServerStream (_note, context) { yield { text: 'a' }; await hang(context) },
    ClientStream: (_notes, context) => hang(context),
    async * Bidi (_notes, context) { await hang(context) }
  })
}

t.test('what a client does wrong ends its call with a status', async t => {
  const { url } = await serveSockets(t, { services, limits: { messageBytes: 1000 } })
  const [empty, long] = [Buffer.alloc(0), 'x'.repeat(1000)]
  const cases: Record<typeof SUBPROTOCOLS[number], Array<[name: string, rpc: string, frames: Array<string | Buffer>, code: number, error: object]>> = {
    json: [
      ['no JSON', 'Unary', ['{bad'], 3, { title: 'INVALID_ARGUMENT' }],
      ['an empty text', 'Unary', [''], 3, { title: 'INVALID_ARGUMENT' }],
      ['no object', 'Bidi', ['[]'], 3, { title: 'INVALID_ARGUMENT' }],
      ['an unknown field', 'Bidi', ['{"nope":1}'], 3, { details: [{ fieldViolations: [{ field: 'nope' }] }] }],
      ['a value of the wrong type', 'ClientStream', ['{}', '{"notes":[{"n":"x"}]}'], 3, { detail: /^Message 2 of the request: /, details: [{ fieldViolations: [{ field: 'notes[0].n' }] }] }],
      ['no JSON after a message', 'Bidi', ['{}', '{bad'], 3, { detail: /^Message 2 of the request: / }],
      ['no JSON at first', 'ClientStream', ['{bad', '{}'], 3, { detail: /^Message 1 of the request: / }],
      ['a binary frame with something in it', 'Bidi', [Buffer.from('{}')], 3, { detail: /text frames/ }],
      ['a message that is too large', 'Bidi', [`{"text":"${long}"}`], 8, { detail: /larger than 1000 bytes/ }],
      ['no message', 'Unary', [empty], 12, { detail: /no request message/ }],
      ['no message', 'ServerStream', [empty], 12, { detail: /no request message/ }]
    ],
    proto: [
      ['no protobuf', 'Unary', [Buffer.from([0x0a, 0xff])], 3, { title: 'INVALID_ARGUMENT' }],
      ['no protobuf after two messages', 'Bidi', [empty, empty, Buffer.from([0x0a, 0xff])], 3, { detail: /^Message 3 of the request: / }],
      ['a text frame with something in it', 'Bidi', ['{}'], 3, { detail: /binary frames/ }],
      ['a message that is too large', 'Bidi', [Kinds.Unary.requestSerialize({ text: long, n: '0', notes: [] })], 8, { detail: /larger than 1000 bytes/ }],
      ['no message', 'Unary', [''], 12, { detail: /no request message/ }]
    ]
  }
  for (const { way, ...target } of WAYS) {
    for (const [name, rpc, frames, code, error] of cases[target.protocol]) {
      const call = await open(t, url, { ...target, rpc })
      for (const frame of frames) call.socket.send(frame)
      const ended = await call.ended
      t.match(ended, { status: { code, trailers: {}, error }, code: 4000 + code, reason: /./ }, `${rpc} of ${way}: ${name}`)
      t.ok(ended.status.error.detail.startsWith(ended.reason), ended.reason)
    }
  }
  const quiet = await serveSockets(t, { services: [hanging()] })
  for (const protocol of SUBPROTOCOLS) {
    for (const rpc of ['Unary', 'ServerStream']) t.match(await (await open(t, quiet.url, { rpc, protocol })).send({}, {}).ended, { code: 4003, reason: 'The RPC takes one request message' })
    for (const rpc of ['ClientStream', 'Bidi']) t.match(await (await open(t, quiet.url, { rpc, protocol })).send({}).end().send({}).ended, { code: 4003, reason: 'A message came after the end of the requests' })
  }
})

t.test('the reason of the close is what fits of the status message', async t => {
  const { url } = await serveSockets(t, { services: [implement(Kinds, { Unary: ({ text }) => { throw new GrpcError(status.ABORTED, text) } })] })
  for (const text of ['x'.repeat(123), 'x'.repeat(124), 'é'.repeat(200), `abc${'€'.repeat(100)}`, '😀'.repeat(100), `a${'😀'.repeat(100)}`]) {
    const ended = await callOf(t, url, { rpc: 'Unary' }, [{ text }])
    t.match(ended, { code: 4010, status: { error: { detail: text } } })
    t.ok(text.startsWith(ended.reason), `${ended.reason} is the beginning`)
    t.ok(Buffer.byteLength(ended.reason) <= 123 && Buffer.byteLength(ended.reason) > 119, `of ${Buffer.byteLength(ended.reason)} bytes`)
  }
})

t.test('errors have the form of the gateway', async t => {
  const forms = {
    problem: { status: 404, title: 'NOT_FOUND', detail: 'No such note', code: 5 },
    'google.rpc': { code: 5, message: 'No such note', details: [] },
    'aip-193': { code: 404, message: 'No such note', status: 'NOT_FOUND' }
  } as const
  for (const [format, error] of Object.entries(forms)) {
    const { url } = await serveSockets(t, { services, errors: { format: format as keyof typeof forms } })
    for (const protocol of SUBPROTOCOLS) t.same(await callOf(t, url, { rpc: 'Bidi', protocol }, [{ text: 'fail' }]), { ...FAILED, messages: [], status: { ...FAILED.status, error } }, format)
  }
})

t.test('metadata comes from the upgrade, goes out in frames before and after the messages', async t => {
  const seen: object[] = []
  const initial = new Metadata()
  initial.set('greeting', 'hi')
  const { url } = await serveSockets(t, {
    services: inBothStyles({
      async * Bidi (notes, context) {
        const { metadata, protocol, http, requestId, trailers } = context
        seen.push({ keys: Object.keys(metadata.getMap()).filter(key => key.startsWith('sec-')), tenant: metadata.get('tenant'), protocol, template: http?.template, url: http?.url, requestId })
        trailers.add('counted', '1')
        trailers.add('counted', '2')
        trailers.set('sum-bin', Buffer.from('sum'))
        context.sendHeaders(initial)
        yield * notes
      }
    })
  })
  for (const { way, ...target } of WAYS) {
    seen.length = 0
    const call = await open(t, url, { ...target, rpc: 'Bidi?n=1', headers: { tenant: 'acme', 'x-request-id': 'r-1' } })
    await until(() => call.controls.length > 0, 'the headers, before any message')
    t.match(await call.send({}).end().ended, { ...OK, controls: [{ headers: { greeting: ['hi'] } }], messages: [{ n: '1' }], status: { trailers: { 'grpc-trailer-counted': ['1', '2'], 'grpc-trailer-sum-bin': ['c3Vt'] } } }, way)
    t.same(seen, [{ keys: [], tenant: ['acme'], protocol: 'websocket', template: `/${target.service}/bidi`, url: `/${target.service}/bidi?n=1`, requestId: 'r-1' }], way)
  }
})

t.test('the query is bound to the first message, or is it', async t => {
  const { url } = await serveSockets(t, { services })
  const events: string[] = []
  const other = await serveSockets(t, { services: telling(events) })
  const cases: Array<[rpc: string, notes: Notes, outcome: unknown[]]> = [
    ['Bidi?text=q', [{ n: '1' }, { n: '2' }], [1000, 'q1', '2']],
    ['Bidi?text=q&n=7', [], [1000, 'q7']],
    ['Unary?text=q', [], [1000, 'q!0']],
    ['Unary?text=q', [{}], [1000, 'q!0']],
    ['Bidi?', [{ n: '1' }], [1000, '1']],
    ...['nope=1', 'n=x', 'n=1&n=2'].map((query): [string, Notes, unknown[]] => [`Bidi?${query}`, [{}], [4003]])
  ]
  for (const { way, ...target } of WAYS) {
    for (const [rpc, notes, outcome] of cases) {
      const { messages, code } = await (await open(t, url, { ...target, rpc })).send(...notes).end().ended
      t.same([code, ...messages.map(({ text, n }) => `${text}${n}`)], outcome, `${rpc} of ${way} with ${notes.length} messages`)
    }
    events.length = 0
    ;(await open(t, other.url, { ...target, rpc: 'ClientStream?text=q' })).socket.close(1000)
    await until(() => events.includes('end'), 'the end of the requests')
    t.same(withoutAbort(events), ['q', 'end'], `${way}: when a close in order ends the requests`)
  }
  t.match(await callOf(t, url, { rpc: 'Bidi?text=q' }, [{ text: 'a' }]), { code: 4003, status: { error: { details: [{ fieldViolations: [{ field: 'text' }] }] } } }, 'a field that both have')
})

t.test('a token among the subprotocols is authorization for hooks and handlers', async t => {
  const { url } = await serveSockets(t, {
    services: [implement(Kinds, { Unary: (_note, { metadata, http }) => ({ text: metadata.get('authorization').join(), n: String(http!.rawHeaders.filter(name => name.toLowerCase() === 'authorization').length) }) })]
  }, {}, app => app.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization !== 'Bearer secret') return await reply.code(401).header('www-authenticate', 'Bearer').send({ problem: 'who?' })
  }))
  const authorization = 'Bearer secret'
  const accepted: Array<[offers: string[], headers: Record<string, string>, echoed: string]> = [
    [['json', 'bearer.secret'], {}, 'json'],
    [['bearer.secret', 'json'], {}, 'json'],
    [['Bearer', 'secret'], {}, 'Bearer'],
    [['Bearer', 'secret', 'proto'], {}, 'proto'],
    [['proto', 'bearer.secret'], {}, 'proto'],
    [['json', 'bearer.other'], { authorization }, 'json'],
    [['graphql-ws', 'proto'], { authorization }, 'proto'],
    [[], { authorization }, '']
  ]
  for (const [offers, headers, echoed] of accepted) {
    const call = await open(t, url, { rpc: 'Unary', offers, headers, protocol: echoed === 'proto' ? 'proto' : 'json' })
    if (!t.equal(call.socket.protocol, echoed, offers.join())) continue
    t.match(await call.send({}).ended, { ...OK, messages: [{ text: authorization, n: '1' }] }, offers.join())
  }
  const refused: Array<[offers: string[], headers: Record<string, string>, answer: object]> = [
    [['json'], {}, { status: 401, headers: { 'www-authenticate': 'Bearer' }, json: { problem: 'who?' } }],
    [['json', 'bearer.wrong'], {}, { status: 401 }],
    [['json', 'Bearer', 'wrong'], {}, { status: 401 }],
    [['json', 'Bearer'], {}, { status: 401 }],
    [['json', 'bearer.secret'], { authorization: 'Bearer wrong' }, { status: 401 }],
    [['bearer.secret'], {}, { status: 400, json: { title: 'INVALID_ARGUMENT' } }],
    [['graphql-ws'], { authorization }, { status: 400, json: { title: 'INVALID_ARGUMENT', details: [{ fieldViolations: [{ field: 'sec-websocket-protocol' }] }] } }]
  ]
  for (const [offers, headers, answer] of refused) t.match(await refusal(t, url, { rpc: 'Unary', offers, headers }), answer, offers.join())
})

t.test('what a client offers is not repeated where it is refused, because it may be a token', async t => {
  const { url } = await serveSockets(t, { services })
  for (const offers of [['bearer.hush'], ['BEARER.hush'], ['graphql-ws', 'bearer.hush'], ['bearer.hush', 'chat'], ['hush'], ['hush', 'bearer.x']]) {
    const answer = await refusal(t, url, { rpc: 'Unary', offers })
    t.match(answer, { status: 400, json: { details: [{ fieldViolations: [{ field: 'sec-websocket-protocol' }] }] } }, offers.join())
    t.notMatch(JSON.stringify(answer), /hush/i, offers.join())
  }
})

t.test('a token is what follows Bearer, which no subprotocol of the gateway is', async t => {
  const { url } = await serveSockets(t, { services: [implement(Kinds, { Unary: (_note, { metadata }) => ({ text: metadata.get('authorization').join() }) })] })
  const cases: Array<[offers: string[], text: string]> = [
    [['Bearer', 'tok'], 'Bearer tok'],
    [['bearer', 'tok'], 'Bearer tok'],
    [['Bearer', 'json', 'tok'], 'Bearer tok'],
    [['bearer', 'json'], ''],
    [['json', 'bearer'], ''],
    [['Bearer'], '']
  ]
  for (const [offers, text] of cases) {
    const call = await open(t, url, { rpc: 'Unary', offers })
    t.ok([offers[0], 'json'].includes(call.socket.protocol), `${offers.join()} agrees on ${call.socket.protocol}`)
    t.match(await call.send({}).ended, { ...OK, messages: [{ text }] }, offers.join())
  }
  t.equal((await open(t, url, { rpc: 'Unary', offers: ['Bearer', 'tok'] })).socket.protocol, 'Bearer')
})

t.test('a token is found on every spelling of a URL that the router takes', async t => {
  const { url } = await serveSockets(t, { services: [implement(Kinds, { Unary: (_note, { metadata }) => ({ text: metadata.get('authorization').join() }) })] }, {}, () => {}, Fastify({ routerOptions: { caseSensitive: false, ignoreTrailingSlash: true } }))
  const spellings: Array<Pick<Target, 'service' | 'rpc'>> = [{ rpc: 'un%61ry' }, { service: 'GRPC/Kinds', rpc: 'unary' }, { service: 'Grpc/%4Binds', rpc: 'unary' }, { rpc: 'unary/' }, { rpc: 'unary?n=1' }, { rpc: 'unary/?n=1' }]
  for (const spelling of spellings) {
    const call = await open(t, url, { ...spelling, offers: ['json', 'bearer.tok'] })
    t.match(await call.send({}).ended, { ...OK, messages: [{ text: 'Bearer tok' }] }, call.socket.url)
  }
})

/** Waits until a count that has begun to grow stands still. */
async function standstill (count: () => number): Promise<number> {
  let [last, times] = [-1, 0]
  await until(() => {
    times = count() === last && last > 0 ? times + 1 : 0
    last = count()
    return times > 20
  }, 'the count to stop')
  return last
}

t.test('a client that does not read makes the handler wait', async t => {
  let written = 0
  const { url } = await serveSockets(t, { services: inBothStyles({ async * ServerStream () { for (;;) yield { text: 'x'.repeat(50_000), n: String(++written) } } }) })
  for (const { way, ...target } of WAYS) {
    written = 0
    const call = (await open(t, url, { ...target, rpc: 'ServerStream' })).send({})
    call.socket.pause()
    const before = await standstill(() => written)
    t.ok(before < 1000, `${way} stopped after ${before} messages`)
    call.socket.resume()
    await until(() => written > before + 20, 'the handler to go on')
    call.socket.terminate()
    const { messages } = await call.ended
    t.same(messages.map(({ n }) => n), numbered(messages.length).map(({ n }) => n), `${way} loses nothing`)
  }
})

t.test('a handler that does not read makes the client wait, and loses nothing', async t => {
  let [gate, openGate] = [Promise.resolve(), () => {}]
  const { url } = await serveSockets(t, {
    services: inBothStyles({
      async ClientStream (notes) {
        let last = 0
        await gate
        for await (const { n } of notes) if (Number(n) === last + 1) last++
        return { n: String(last) }
      }
    })
  })
  for (const { way, ...target } of WAYS) {
    gate = new Promise(resolve => { openGate = resolve })
    const call = (await open(t, url, { ...target, rpc: 'ClientStream' })).send(...numbered(2000, 'x'.repeat(10_000))).end()
    const waiting = await standstill(() => call.socket.bufferedAmount)
    t.ok(waiting > 5_000_000, `${way} left ${waiting} of 20,000,000 bytes with the client`)
    openGate()
    t.match(await call.ended, { ...OK, messages: [{ n: '2000' }] }, way)
  }
})

t.test('messages of one tick are one write, with the status', async t => {
  const { url } = await serveSockets(t, { services: inBothStyles({ ServerStream: () => numbered(100) }) })
  for (const { way, ...target } of WAYS) {
    const call = await open(t, url, { ...target, rpc: 'ServerStream' })
    let segments = 0
    ;(call.socket as unknown as { _socket: Socket })._socket.on('data', () => segments++)
    t.match(await call.send({}).ended, { ...OK, messages: { length: 100 } })
    t.ok(segments <= 3, `${way} took ${segments} segments`)
  }
})

t.test('clients are pinged, and those that do not answer are cancelled', async t => {
  const events: string[] = []
  const { url } = await serveSockets(t, { services: telling([]), streams: { heartbeatMs: 20, idleMs: 0 } })
  const pinged = await open(t, url, { rpc: 'ClientStream' })
  let pings = 0
  pinged.socket.on('ping', () => pings++)
  await until(() => pings >= 3, 'three pings')

  const strict = await serveSockets(t, { services: telling(events), streams: { heartbeatMs: 20, idleMs: 500 } })
  const patient = await open(t, strict.url, { rpc: 'ClientStream' })
  for (const [rpc, frames, expected] of [['clientstream', [], ['aborted 1', 'rejected']], ['clientstream', [EMPTY_OBJECT], ['', 'aborted 1', 'rejected']], ['serverstream', [EMPTY_OBJECT], ['aborted 1', 'finally']]] as const) {
    events.length = 0
    const socket = await deaf(t, strict.url, `/grpc/kinds/${rpc}`, ...frames)
    await once(socket.resume(), 'close')
    await until(() => events.length === expected.length, 'the cancellation')
    t.same(events, expected, `${rpc} after ${frames.length} messages`)
  }
  t.match(await patient.end().ended, OK, 'who answers pings is kept')
})

t.test('a quiet client that is well is not taken for one that is gone', async t => {
  const waiting = inBothStyles({ async * ServerStream () { for (const note of numbered(4)) { yield note; await sleep(100) } } })
  for (const streams of [{ heartbeatMs: 0, idleMs: 50 }, { heartbeatMs: 20, idleMs: 100 }]) {
    const { url } = await serveSockets(t, { services: waiting, streams })
    await Promise.all(WAYS.map(async ({ way, ...target }) => {
      t.match(await callOf(t, url, { ...target, rpc: 'ServerStream' }, [{}]), { ...OK, messages: numbered(4) }, `${way} with ${JSON.stringify(streams)}`)
    }))
  }
})

t.test('a handler that is slow to read is not taken for a client that is gone', async t => {
  const { url } = await serveSockets(t, { services: [implement(Kinds, { async * Bidi (notes) { await sleep(900); yield * notes } })], streams: { heartbeatMs: 50, idleMs: 400 } })
  t.match(await callOf(t, url, { rpc: 'Bidi' }, numbered(5)), { ...OK, messages: numbered(5) })
})

t.test('a deadline ends calls', async t => {
  const { url } = await serveSockets(t, { services: [hanging()] })
  const short = await serveSockets(t, { services: [hanging()], timeout: { default: 50 } })
  await Promise.all(SUBPROTOCOLS.flatMap(protocol => KINDS.map(async rpc => {
    const expected = { status: { code: 4, status: 'DEADLINE_EXCEEDED', error: { code: 4, detail: 'Deadline exceeded' } }, code: 4004, reason: 'Deadline exceeded' }
    t.match(await (await open(t, url, { rpc, protocol, headers: { 'grpc-timeout': '50m' } })).send({}).ended, expected, `${rpc} with grpc-timeout`)
    t.match(await (await open(t, short.url, { rpc, protocol })).ended, expected, `${rpc} with timeout.default, of a client that sends nothing`)
  })))
  for (const headers of [{ 'grpc-timeout': 'soon' }, { 'x-bin': '***' }]) t.match(await refusal(t, url, { rpc: 'Unary', headers }), { status: 400, json: { title: 'INVALID_ARGUMENT' } })
})

t.test('a shutdown ends calls, and takes no new ones', async t => {
  const log: string[] = []
  const { url, gateway } = await serveSockets(t, { services: [hanging(log)] })
  const calls = await Promise.all(KINDS.map(async rpc => (await open(t, url, { rpc })).send({})))
  await until(() => log.length === 4, 'the handlers')
  const over = gateway.shutdown()
  t.match(await refusal(t, url, { rpc: 'Unary' }), { status: 503, json: { title: 'UNAVAILABLE' } })
  t.equal(calls[0]!.socket.readyState, WebSocket.OPEN, 'open calls have their grace')
  await gateway.shutdown({ graceMs: 50 })
  await over
  for (const { ended } of calls) t.match(await ended, UNAVAILABLE)
  t.equal(log.filter(event => event === 'aborted').length, 4)
  await gateway.startup()
  await t.resolves(open(t, url, { rpc: 'Unary' }), 'a new startup takes calls again')
})

t.test('the closing of the app ends calls with a status, and waits for no client', async t => {
  const clients: Record<string, (url: string) => Promise<unknown>> = {
    listens: async url => (await open(t, url, { rpc: 'Unary' })).send({}).ended,
    'does not read': async url => (await open(t, url, { rpc: 'Unary' })).send({}).socket.pause(),
    'does not answer': async url => await deaf(t, url, '/grpc/kinds/unary', EMPTY_OBJECT)
  }
  await Promise.all(Object.entries(clients).map(async ([name, connect]) => {
    const log: string[] = []
    const { url, gateway, app } = await serveSockets(t, { services: [hanging(log)] })
    const connected = connect(url)
    await until(() => log.includes('began'), 'the handler')
    let isClosed = false
    app.close().then(() => { isClosed = true })
    await gateway.shutdown({ graceMs: 50 })
    t.ok(log.includes('aborted'), `a client that ${name}`)
    if (name === 'listens') t.match(await connected, UNAVAILABLE)
    await t.resolves(until(() => isClosed, 'the app to close', 8000), `a client that ${name} does not keep the app open`)
  }))
})

t.test('clients that neither read nor answer do not keep the app open', async t => {
  const log: string[] = []
  const endless = inBothStyles({
    async * ServerStream (_note, { signal }) {
      log.push('began')
      signal.addEventListener('abort', () => log.push('aborted'))
      for (;;) yield { text: 'x'.repeat(50_000) }
    }
  })
  for (const [service, path] of [[hanging(log), 'unary'], [endless[0]!, 'serverstream'], [endless[1]!, 'serverstream']] as const) {
    log.length = 0
    const { url, gateway, app } = await serveSockets(t, { services: [service] })
    const [{ template }] = gateway.routes().map(({ url }) => ({ template: url })) as [{ template: string }]
    const clients = await Promise.all([1, 2, 3].map(async () => (await deaf(t, url, template.replace(/[^/]+$/, path), EMPTY_OBJECT)).pause()))
    await until(() => log.length === clients.length, 'the handlers')
    let isClosed = false
    app.close().then(() => { isClosed = true })
    await gateway.shutdown({ graceMs: 50 })
    t.equal(log.filter(event => event === 'aborted').length, clients.length, `${template}: the calls are cancelled`)
    await t.resolves(until(() => isClosed, 'the app to close', 8000), `${template}: the app closes`)
  }
})

/** What a connection has received, when the server has closed it. */
async function received (socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}

t.test('an upgrade of what is no URL is refused, and its connection closed', async t => {
  const { url, app } = await serveSockets(t, { services })
  for (const path of ['/grpc/%zz', '/%', '/grpc/kinds/unary%', '/grpc/%c3%28']) t.match(await received(bare(t, url, upgradeOf(path))), /^HTTP\/1\.1 400 /, path)
  await t.resolves(app.close())
})

t.test('an upgrade behind a request that is open ends both', async t => {
  const ways: Record<string, (url: string) => Promise<Socket>> = {
    'at once': async url => bare(t, url, postTo('/grpc/kinds/serverstream'), upgradeOf('/grpc/kinds/serverstream')),
    'after the response has begun': async url => {
      const socket = bare(t, url, postTo('/grpc/kinds/serverstream'))
      await once(socket, 'data')
      socket.write(upgradeOf('/grpc/kinds/serverstream'))
      return socket
    }
  }
  for (const [name, connect] of Object.entries(ways)) {
    const log: string[] = []
    const { url, app } = await serveSockets(t, { services: [hanging(log)] })
    const socket = (await connect(url)).resume()
    if (!socket.closed) await once(socket, 'close')
    await until(() => log.filter(event => event === 'began').length === log.filter(event => event === 'aborted').length, 'the cancellation')
    t.ok(log.length <= 2, `${name}: ${log.join()}`)
    let isClosed = false
    app.close().then(() => { isClosed = true })
    await t.resolves(until(() => isClosed, 'the app to close', 5000), `${name}: the app closes`)
  }
  const { url } = await serveSockets(t, { services })
  const socket = bare(t, url, postTo('/grpc/kinds/unary'))
  await once(socket, 'data')
  await sleep(20)
  socket.write(upgradeOf('/grpc/kinds/unary'))
  t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 101 /, 'behind one that is over it is served')
})

t.test('an upgrade that comes while the app closes does not keep it open', async t => {
  const { url, app, gateway } = await serveSockets(t, { services: [hanging()] })
  const socket = bare(t, url, 'GET /grpc/kinds/unary HTTP/1.1\r\nhost: a\r\n').resume()
  await once(app.server, 'connection')
  let isClosed = false
  app.close().then(() => { isClosed = true })
  socket.write(UPGRADE)
  await gateway.shutdown({ graceMs: 50 })
  await t.resolves(until(() => isClosed, 'the app to close'))
})

t.test('routes answer HTTP as they do without WebSockets', async t => {
  const answers = async (takesSockets: boolean, httpMethods: Array<'GET'>): Promise<unknown> => {
    const options: GatewayOptions = { services: [services[0]!], httpMethods }
    const { url, gateway, request } = takesSockets ? await serveSockets(t, options) : await serve(t, options)
    if (takesSockets) t.match(await callOf(t, url, { rpc: 'Unary' }, [{}]), OK)
    return [gateway.routes(), ...await Promise.all(['unary', 'serverstream'].flatMap(rpc => ['GET', 'HEAD', 'OPTIONS', 'PUT'].map(async method => {
      const { status, headers, text } = await request(`/grpc/kinds/${rpc}?text=a&n=1`, { method })
      return [rpc, method, status, headers.get('allow'), text]
    })))]
  }
  const alone = await answers(true, [])
  t.same(alone, await answers(false, []), 'with POST alone')
  t.match(alone, { 1: ['unary', 'GET', 405, 'OPTIONS, POST'], 2: ['unary', 'HEAD', 405, 'OPTIONS, POST'] })
  const withGet = await answers(true, ['GET'])
  t.same(withGet, await answers(false, ['GET']), 'with GET')
  t.match(withGet, { 1: ['unary', 'GET', 200, null, '{"text":"a!"}'], 2: ['unary', 'HEAD', 200] })
})

t.test('an upgrade where no WebSockets are taken is an ordinary request', async t => {
  const { url, post } = await serve(t, { services: [services[0]!] })
  t.match(await refusal(t, url, { rpc: 'Unary' }), { status: 405 })
  t.match(await refusal(t, url, { rpc: 'None' }), { status: 404 })
  t.match(await post('/grpc/kinds/unary', {}), { status: 200 })
})

t.test('the upgrades of other routes are none of the gateway', async t => {
  const { url } = await serveSockets(t, { services }, {}, app => app.register(async scope => {
    scope.get('/echo', { websocket: true }, socket => { socket.on('message', (data: Buffer) => socket.send(`${socket.protocol} ${String(data)}`)) })
  }))
  t.match(await refusal(t, url, { rpc: 'None' }), { status: 404 })
  const echo = new WebSocket(`${url.replace('http', 'ws')}/echo`, ['chat', 'bearer.x'])
  t.teardown(() => echo.terminate())
  await once(echo, 'open')
  echo.send('a')
  t.equal(String((await once(echo, 'message'))[0]), 'chat a')
})

t.test('listen registers WebSockets, and cuts off messages above the limit', async t => {
  const gateway = new GrpcGateway({ services: [services[0]!], port: 0, limits: { messageBytes: 1000 }, logger: recordingLogger() })
  t.teardown(() => gateway.shutdown({ graceMs: 0 }))
  const app = await gateway.listen({ webSocket: true, port: 0, host: '127.0.0.1', fastify: { logger: false } })
  const url = app.listeningOrigin
  for (const protocol of SUBPROTOCOLS) {
    t.match(await callOf(t, url, { rpc: 'Bidi', protocol }, numbered(3)), { ...OK, messages: numbered(3) }, protocol)
    const { code } = await callOf(t, url, { rpc: 'Bidi', protocol }, [{ text: 'x'.repeat(5000) }])
    t.ok([1006, 1009].includes(code), `${protocol}: ${code}`)
  }
})

t.test('interceptors run for WebSockets', async t => {
  const shout: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, new ResponderBuilder()
    .withStart(next => next(new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, forward) => metadata.get('user').length > 0 ? forward(metadata) : call.sendStatus({ code: status.UNAUTHENTICATED, details: 'Who?' }))
      .withOnReceiveMessage((note: Note, forward) => forward({ ...note, text: note.text.toUpperCase() }))
      .build()))
    .withSendMessage((note: Note, next) => next({ ...note, text: `<${note.text}>` }))
    .withSendStatus((ending, next) => {
      const metadata = ending.metadata ?? new Metadata()
      metadata.set('seen', 'yes')
      next({ ...ending, metadata })
    })
    .build())
  const { url } = await serveSockets(t, { services, interceptors: [shout] })
  for (const { way, ...target } of WAYS) {
    const headers = { user: 'ada' }
    t.match(await callOf(t, url, { ...target, rpc: 'Bidi', headers }, [{ text: 'a' }, { text: 'b' }]), { ...OK, messages: [{ text: '<A>' }, { text: '<B>' }], status: { trailers: { 'grpc-trailer-seen': ['yes'] } } }, way)
    t.match(await callOf(t, url, { ...target, rpc: 'Unary', headers }, [{ text: 'a' }]), { ...OK, messages: [{ text: '<A!>' }] }, way)
    for (const rpc of KINDS) t.match(await (await open(t, url, { ...target, rpc })).ended, { code: 4016, reason: 'Who?', messages: [] }, `${rpc} of ${way}`)
  }
})

t.test('injectWS of @fastify/websocket needs no port', async t => {
  const app = Fastify()
  await app.register(websocket)
  registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [services[0]!] })])
  await app.ready()
  t.teardown(() => app.close())
  for (const protocol of SUBPROTOCOLS) {
    let call: Call | undefined
    await app.injectWS('/grpc/kinds/bidi', { headers: { 'sec-websocket-protocol': `${protocol}, bearer.x` } }, { onInit: socket => { call = new Call(socket, protocol) } })
    t.match(await call!.send({ text: 'a' }, { text: 'b' }).end().ended, { ...OK, messages: [{ text: 'a' }, { text: 'b' }] }, protocol)
  }
})

t.test('gateways of different services on one app take WebSockets', async t => {
  const app = Fastify()
  await app.register(websocket)
  const second = new GrpcGateway({ services: [implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello ${name}` }) })], logger: recordingLogger() })
  registerGrpcHttpRoutes(app, [second])
  t.teardown(() => second.shutdown({ graceMs: 0 }))
  const { url } = await serve(t, { services: [services[0]!] }, { app })
  t.match(await callOf(t, url, { rpc: 'Unary', offers: ['json', 'bearer.x'] }, [{ text: 'a' }]), { ...OK, messages: [{ text: 'a!' }] })
  const greeter = socketOf(t, url, { rpc: 'SayHello', service: 'grpc/greeter', offers: ['bearer.x', 'json'] })
  await once(greeter, 'open')
  greeter.send('{"name":"Ada"}')
  t.equal(String((await once(greeter, 'message'))[0]), '{"message":"Hello Ada"}')
})

t.test('messages may be compressed', async t => {
  const { url } = await serveSockets(t, { services }, { options: { perMessageDeflate: { threshold: 0 } } })
  for (const { way, ...target } of WAYS) {
    const call = await open(t, url, { ...target, rpc: 'Bidi', deflate: true })
    t.match(call.socket.extensions, /permessage-deflate/)
    t.match(await call.send(...numbered(200, 'x'.repeat(100))).end().ended, { ...OK, messages: numbered(200, 'x'.repeat(100)) }, way)
    t.match(await callOf(t, url, { ...target, rpc: 'ServerStream', deflate: true }, [{ n: '300' }]), { ...OK, messages: numbered(300) }, way)
  }
})
