/** What bounds a call in time, a message in size and a connection in both, on every protocol. */
import { once } from 'node:events'
import { Agent, request as http1, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { connect as http2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import websocket from '@fastify/websocket'
import { Metadata, ServerInterceptingCall, status as codes, type ClientDuplexStream, type ServerInterceptor, type StatusObject } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { GrpcError, GrpcGateway, implement, loadProto, type CallContext, type GatewayOptions, type ServerStreamingMethod, type UnaryMethod } from '../src/index.ts'
import { FLAG, frame, FRAME, headerBlock, opening } from './hostile/raw.ts'
import { Kinds, KINDS, recordingLogger, serve, sleep, until, type Kind, type Note, type Outcome, type Served } from './serving.ts'

type Ended = Pick<Outcome, 'code' | 'details'>

/** A call from the client's side, whose messages go one by one. */
interface Open {
  send (text: string): void
  /** How many messages have come. */
  received: number
  ended: Promise<Ended>
}

type Way = (t: Test, served: Served, kind: Kind) => Open

const ways: Record<'gRPC' | 'HTTP' | 'WebSocket', Way> = {
  gRPC (_t, served, kind) {
    const { requestStream, responseStream } = Kinds[kind]
    const start = (served.client(Kinds).raw as unknown as Record<string, (...args: unknown[]) => ClientDuplexStream<unknown, unknown>>)[kind]!
    const client = served.client(Kinds).raw
    const call = start.call(client, ...requestStream ? [] : [{}], new Metadata(), ...responseStream ? [] : [() => {}])
    call.on('error', () => {})
    const open: Open = {
      received: 0,
      send: text => { call.write({ text }) },
      ended: new Promise(resolve => call.on('status', ({ code, details }: StatusObject) => resolve({ code, details })))
    }
    if (responseStream) call.on('data', () => { open.received++ })
    return open
  },
  HTTP (t, { url }, kind) {
    const { requestStream } = Kinds[kind]
    const request = http1(`${url}/grpc/kinds/${kind.toLowerCase()}`, { method: 'POST', headers: requestStream ? { 'content-type': 'application/x-ndjson' } : {} })
    t.teardown(() => request.destroy())
    request.on('error', () => {})
    if (requestStream) request.flushHeaders()
    else request.end()
    const open: Open = {
      received: 0,
      send: text => { request.write(`${JSON.stringify({ text })}\n`) },
      ended: new Promise(resolve => request.on('response', async response => {
        let text = ''
        for await (const chunk of response) {
          text += chunk
          open.received = text.split('\n').length - 1
        }
        const { code = codes.OK, detail = 'OK' } = response.statusCode === 200 ? JSON.parse(text.trim().split('\n').at(-1)!).error ?? {} : JSON.parse(text)
        resolve({ code, details: detail })
      }))
    }
    return open
  },
  WebSocket (t, { url }, kind) {
    const socket = new WebSocket(`${url}/grpc/kinds/${kind.toLowerCase()}`)
    t.teardown(() => socket.terminate())
    const { requestStream } = Kinds[kind]
    const opened = once(socket, 'open')
    const send = async (text: string): Promise<void> => {
      await opened
      socket.send(JSON.stringify({ text }))
    }
    if (!requestStream) send('')
    const open: Open = {
      received: 0,
      send,
      ended: new Promise(resolve => socket.on('close', (code, reason) => resolve({ code: code === 1000 ? codes.OK : code - 4000, details: String(reason) })))
    }
    socket.on('message', (_data, isBinary) => { if (!isBinary) open.received++ })
    return open
  }
}
const WAYS = Object.keys(ways) as Array<keyof typeof ways>
const STREAMS = KINDS.filter(kind => kind !== 'Unary')

async function serveAll (t: Test, options: GatewayOptions, app: FastifyInstance = Fastify()): Promise<Served> {
  await app.register(websocket)
  return await serve(t, { logger: recordingLogger(), ...options }, { app })
}

/** A service that answers nothing, and remembers what has come. */
function silent () {
  const contexts: CallContext[] = []
  const texts: string[] = []
  const wait = async (context: CallContext): Promise<Partial<Note>> => {
    contexts.push(context)
    await new Promise((_resolve, reject) => context.signal.addEventListener('abort', () => reject(context.signal.reason)))
    return {}
  }
  const read = async (notes: AsyncIterable<Note>): Promise<void> => {
    try {
      for await (const { text } of notes) texts.push(text)
    } catch {}
  }
  const service = implement(Kinds, {
    Unary: (_note, context) => wait(context),
    async * ServerStream (_note, context) { yield await wait(context) },
    async ClientStream (notes, context) { read(notes); return await wait(context) },
    async * Bidi (notes, context) { read(notes); yield await wait(context) }
  })
  return { service, contexts, texts }
}

/** Sends something again and again, until the test ends. */
function trickle (t: Test, stream: Writable, chunk = ' '): void {
  const timer = setInterval(() => { if (stream.writable) stream.write(chunk) }, 20)
  t.teardown(() => clearInterval(timer))
}

/** A client of HTTP/2 that does what none does. */
function raw (t: Test, url: string): ClientHttp2Session {
  const session = http2(url)
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  return session
}

const GRPC = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' }

/** Headers and trailers of a response over gRPC. */
async function grpcEnd (stream: ClientHttp2Stream): Promise<Record<string, unknown>> {
  const end: Record<string, unknown> = {}
  stream.on('response', headers => { Object.assign(end, headers) })
  stream.on('trailers', trailers => { Object.assign(end, trailers) })
  stream.on('error', () => {})
  stream.resume()
  await until(() => end['grpc-status'] !== undefined, 'the status')
  return end
}

for (const way of WAYS) {
  t.test(`over ${way}, a stream without messages ends after streamIdleMs, and its handler hears of it`, async t => {
    const { service, contexts } = silent()
    const served = await serveAll(t, { services: [service], limits: { streamIdleMs: 150 } })
    const expected = { code: codes.DEADLINE_EXCEEDED, details: 'Deadline exceeded: no message of the stream went either way for 0.15s.' }
    for (const [i, kind] of STREAMS.entries()) {
      t.match(await ways[way](t, served, kind).ended, expected, kind)
      t.match(contexts[i]!.signal.reason, expected, kind)
    }
    t.same(served.gateway.load, { running: 0, waiting: 0 })
  })

  t.test(`over ${way}, every message of a stream, in either direction, is a sign of life`, async t => {
    const { service, texts } = silent()
    const served = await serveAll(t, { services: [service], limits: { streamIdleMs: 400 } })
    const upload = ways[way](t, served, 'ClientStream')
    for (let i = 0; i < 8; i++) {
      upload.send(String(i))
      await sleep(100)
    }
    t.same(texts, ['0', '1', '2', '3', '4', '5', '6', '7'])
    t.match(await upload.ended, { code: codes.DEADLINE_EXCEEDED })
    const slow = implement(Kinds, {
      async * ServerStream () {
        for (let i = 0; i < 8; i++) {
          yield { text: String(i) }
          await sleep(100)
        }
      }
    })
    const other = await serveAll(t, { services: [slow], limits: { streamIdleMs: 400 } })
    const stream = ways[way](t, other, 'ServerStream')
    t.match(await stream.ended, { code: codes.OK })
    t.equal(stream.received, 8)
  })

  t.test(`over ${way}, a stream ends after streamLifeMs, however busy it is`, async t => {
    const service = implement(Kinds, {
      async * ServerStream () {
        for (;;) {
          yield {}
          await sleep(10)
        }
      }
    })
    const served = await serveAll(t, { services: [service], limits: { streamLifeMs: 200 } })
    const stream = ways[way](t, served, 'ServerStream')
    t.match(await stream.ended, { code: codes.DEADLINE_EXCEEDED, details: 'Deadline exceeded: the stream was open for 0.2s.' })
    t.ok(stream.received > 3)
  })

  t.test(`over ${way}, limits of streams can differ from method to method, and do not hold for unary calls`, async t => {
    const { service, contexts } = silent()
    const served = await serveAll(t, {
      services: [service],
      limits: { streamIdleMs: 100 },
      methods: { 'test.Kinds.*': { limits: { streamLifeMs: 150, streamIdleMs: 0 } }, 'test.Kinds.Bidi': { limits: { streamLifeMs: 0 } } }
    })
    const [unary, download, bidi] = (['Unary', 'ServerStream', 'Bidi'] as const).map(kind => ways[way](t, served, kind))
    t.match(await download!.ended, { code: codes.DEADLINE_EXCEEDED, details: 'Deadline exceeded: the stream was open for 0.15s.' })
    t.match(await ways[way](t, served, 'ServerStream').ended, { code: codes.DEADLINE_EXCEEDED }, 'and again')
    t.equal(served.gateway.load.running, 2, 'the others go on')
    t.equal(contexts.filter(({ signal }) => signal.aborted).length, 2)
    await served.gateway.shutdown({ graceMs: 0 })
    t.match(await Promise.all([unary!.ended, bidi!.ended]), [{ code: codes.UNAVAILABLE }, { code: codes.UNAVAILABLE }])
  })
}

t.test('health is watched for longer than streams may be', async t => {
  const { service } = silent()
  const served = await serveAll(t, { services: [service], limits: { streamIdleMs: 100, streamLifeMs: 200 } })
  const { Health } = loadProto(new URL('../protos/grpc/health/v1/health.proto', import.meta.url))
  const abort = new AbortController()
  const watch = served.client(Health!).call('Watch', {}, { signal: abort.signal })
  for (let i = 0; i < 3; i++) await ways.gRPC(t, served, 'Bidi').ended
  abort.abort()
  t.match(await watch, { code: codes.CANCELLED, messages: [{ status: 'SERVING' }] })
})

t.test('bytes that make no whole message keep no stream alive', async t => {
  const { service, texts } = silent()
  const served = await serveAll(t, { services: [service], limits: { streamIdleMs: 200 } })
  const request = http1(`${served.url}/grpc/kinds/clientstream`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' } })
  request.on('error', () => {})
  trickle(t, request)
  const [response] = await once(request, 'response')
  t.equal(response.statusCode, 504)
  request.destroy()

  const stream = raw(t, `http://${served.gateway.address}`).request({ ...GRPC, ':path': '/test.Kinds/ClientStream' })
  stream.write(Buffer.of(0, 0, 0, 4, 0))
  trickle(t, stream, 'x')
  t.match(await grpcEnd(stream), { 'grpc-status': '4' })
  t.same(texts, [])
})

t.test('over gRPC, a request message that does not arrive within requestMs is DEADLINE_EXCEEDED', async t => {
  const { service, contexts } = silent()
  const served = await serveAll(t, { services: [service], limits: { requestMs: 150 } })
  const session = raw(t, `http://${served.gateway.address}`)
  for (const kind of ['Unary', 'ServerStream']) {
    const nothing = session.request({ ...GRPC, ':path': `/test.Kinds/${kind}` }, { endStream: false })
    const half = session.request({ ...GRPC, ':path': `/test.Kinds/${kind}` })
    half.write(Buffer.of(0, 0, 0, 0, 9, 10, 7))
    for (const end of [nothing, half].map(grpcEnd)) {
      const { 'grpc-status': code, 'grpc-message': message } = await end
      t.same([code, decodeURIComponent(String(message))], ['4', 'Deadline exceeded: the request did not arrive within 0.15s.'], kind)
    }
  }
  t.equal(contexts.length, 0, 'no handler has run')
  t.same(served.gateway.load, { running: 0, waiting: 0 })
})

t.test('over HTTP, a body that does not arrive within requestMs is 408, and its connection is not kept', async t => {
  const { service, contexts } = silent()
  const { url } = await serveAll(t, { services: [service], limits: { requestMs: 150 } })
  for (const rpc of ['unary', 'serverstream']) {
    const request = http1(`${url}/grpc/kinds/${rpc}`, { method: 'POST', headers: { 'content-length': 1000 } })
    request.on('error', () => {})
    trickle(t, request)
    const closed = new Promise(resolve => request.on('socket', socket => socket.on('close', resolve)))
    const [response] = await once(request, 'response')
    let text = ''
    for await (const chunk of response) text += chunk
    t.match([response.statusCode, response.headers.connection], [408, 'close'])
    t.match(JSON.parse(text), { title: 'DEADLINE_EXCEEDED', detail: 'The request body did not arrive within 0.15s' })
    await closed
  }
  const { url: other } = await serveAll(t, { services: [service], limits: { requestMs: 150 } }, Fastify({ http2: true }) as unknown as FastifyInstance)
  const stream = raw(t, other).request({ ':method': 'POST', ':path': '/grpc/kinds/unary' })
  trickle(t, stream)
  stream.on('error', () => {}).resume()
  const [headers] = await once(stream, 'response')
  t.equal(headers[':status'], 408)
  await until(() => stream.closed, 'the end of the stream')
  t.equal(contexts.length, 0, 'no handler has run')
})

t.test('over a WebSocket, a request that does not arrive within requestMs closes it', async t => {
  const { service } = silent()
  const { url } = await serveAll(t, { services: [service], limits: { requestMs: 150 } })
  const socket = new WebSocket(`${url}/grpc/kinds/unary`)
  const [code, reason] = await once(socket, 'close')
  t.same([code, String(reason)], [4004, 'Deadline exceeded: the request did not arrive within 0.15s.'])
})

t.test('a response that the client does not take ends its call after streamIdleMs', async t => {
  const service = implement(Kinds, { Unary: () => ({ text: 'x'.repeat(100_000) }), async * ServerStream () { for (;;) yield { text: 'x'.repeat(100_000) } } })
  const served = await serveAll(t, { services: [service], limits: { streamIdleMs: 150 } })
  const session = http2(`http://${served.gateway.address}`, { settings: { initialWindowSize: 0 } })
  t.teardown(() => session.destroy())
  for (const kind of ['Unary', 'ServerStream']) {
    const stream = session.request({ ...GRPC, ':path': `/test.Kinds/${kind}` })
    stream.on('error', () => {})
    stream.end(Buffer.of(0, 0, 0, 0, 0))
    await once(stream, 'response')
    t.equal(served.gateway.load.running, 1)
    await until(() => served.gateway.load.running === 0, 'the end')
  }
})

const LARGE = 'x'.repeat(16_000_000)

/** A service with answers that are larger than what the system keeps on the way. */
const large = implement(Kinds, { Unary: () => ({ text: LARGE }), async * ServerStream () { for (;;) yield { text: LARGE } } })

async function listen (t: Test, http2: boolean, limits: GatewayOptions['limits'], service = large, methods: GatewayOptions['methods'] = {}): Promise<{ gateway: GrpcGateway, app: FastifyInstance, port: number }> {
  const gateway = new GrpcGateway({ services: [service], port: 0, logger: recordingLogger(), limits, methods })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', signals: false, fastify: { http2 } })
  t.teardown(() => gateway.shutdown({ graceMs: 0 }))
  return { gateway, app, port: (app.server.address() as AddressInfo).port }
}

/** Sends bytes and reads nothing. */
function unreading (t: Test, port: number, text: string | Buffer): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}).pause()
  socket.write(text)
  return socket
}

/** How many connections a server has. */
async function connections ({ server }: FastifyInstance): Promise<number> {
  return await new Promise((resolve, reject) => server.getConnections((error, count) => error == null ? resolve(count) : reject(error)))
}

for (const kind of ['Unary', 'ServerStream'] as const) {
  t.test(`${kind}: a client that takes nothing of its answer does not keep it for longer than streamIdleMs`, async t => {
    const limits = { streamIdleMs: 300, keepaliveMs: 0 }
    const { app, port, gateway } = await listen(t, false, limits)
    unreading(t, port, `POST /grpc/test.Kinds/${kind} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}`)
    await once(app.server, 'connection')
    while (await connections(app) > 0) await sleep(20)
    t.pass('over HTTP/1.1, its connection is ended')

    const overHttp2 = await listen(t, true, limits)
    const asked = [[gateway.port, { ...GRPC, ':path': `/test.Kinds/${kind}` }, Buffer.alloc(5)], [overHttp2.port, { ':method': 'POST', ':path': `/grpc/test.Kinds/${kind}`, 'content-type': 'application/json' }, '{}']] as const
    for (const [port, headers, body] of asked) {
      const session = http2(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 0 } })
      session.on('error', () => {})
      t.teardown(() => session.destroy())
      const stream = session.request(headers).on('error', () => {})
      stream.end(body)
      await once(stream, 'close')
      t.equal(stream.rstCode, 8, 'over HTTP/2, its stream is ended')
      t.notOk(session.closed, 'and others of the connection go on')
    }

    const frames = Buffer.concat([
      opening(),
      frame(FRAME.settings, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff]),
      frame(FRAME.windowUpdate, 0, 0, [0x7f, 0, 0, 0]),
      frame(FRAME.headers, FLAG.endHeaders, 1, headerBlock([[':method', 'POST'], [':scheme', 'http'], [':path', `/grpc/test.Kinds/${kind}`], [':authority', 'a'], ['content-type', 'application/json']])),
      frame(FRAME.data, FLAG.endStream, 1, Buffer.from('{}'))
    ])
    unreading(t, overHttp2.port, frames)
    const [session] = await once(overHttp2.app.server, 'session')
    await until(() => session.destroyed, 'the end of a connection that is not read')
  })
}

t.test('a WebSocket message of more than twice messageBytes is not read, whatever @fastify/websocket allows', async t => {
  const { service, contexts } = silent()
  const { url } = await serveAll(t, { services: [service], limits: { messageBytes: 1000 } }, Fastify())
  for (const perMessageDeflate of [false, true]) {
    const socket = new WebSocket(`${url}/grpc/kinds/bidi`, { perMessageDeflate })
    await once(socket, 'open')
    socket.on('error', () => {}).send(Buffer.alloc(2001, ' '), { binary: false, fin: false })
    const [code] = await once(socket, 'close')
    t.equal(code, 1009, 'before the message ends')
  }
  t.ok(contexts.length <= 2)
})

t.test('JSON that nests 100,000 levels deep is INVALID_ARGUMENT wherever it comes', async t => {
  const { service } = silent()
  const served = await serveAll(t, { services: [service], httpMethods: ['GET', 'POST'] })
  const deep = '{"notes":['.repeat(100_000)
  const bodies = { open: deep, closed: deep + ']}'.repeat(100_000) }
  for (const [name, body] of Object.entries(bodies)) {
    t.match(await served.request('/grpc/kinds/unary', { method: 'POST', body, headers: { 'content-type': 'application/json' } }), { status: 400, json: { code: codes.INVALID_ARGUMENT } }, `${name}, unary`)
    t.match(await served.request('/grpc/kinds/clientstream', { method: 'POST', body: `${body}\n`, headers: { 'content-type': 'application/x-ndjson' } }), { status: 400 }, `${name}, lines`)
    t.match(await served.request('/grpc/kinds/clientstream', { method: 'POST', body: `[${body}]`, headers: { 'content-type': 'application/json' } }), { status: 400 }, `${name}, array`)
    for (const kind of ['unary', 'bidi']) {
      const socket = new WebSocket(`${served.url}/grpc/kinds/${kind}`)
      await once(socket, 'open')
      socket.send(body)
      t.equal((await once(socket, 'close'))[0], 4003, `${name}, WebSocket, ${kind}`)
    }
  }
})

t.test('queries that nest deeper than json.nestingLimit are INVALID_ARGUMENT', async t => {
  interface Tree { text: string, n: Tree | null }
  const { Trees } = loadProto<{ Trees: { Unary: UnaryMethod<Tree, Tree>, ServerStream: ServerStreamingMethod<Tree, Tree> } }>(new URL('fixtures/tree.proto', import.meta.url))
  const trees = implement(Trees, { Unary: tree => tree, * ServerStream (tree) { yield tree } })
  const { request } = await serve(t, { services: [trees], httpMethods: ['GET'] })
  for (const method of ['unary', 'serverstream']) {
    for (const [depth, status] of [[99, 200], [100, 400], [7000, 400]] as const) {
      const reply = await request(`/grpc/trees/${method}?${'n.'.repeat(depth)}text=x`)
      t.equal(reply.status, status, `${method}, ${depth} levels`)
      if (status === 400) t.match(reply.json, { code: codes.INVALID_ARGUMENT, detail: /messages nest deeper than 100 levels/ })
    }
  }
})

t.test('a client that does not close its side of a connection is cut off after streamIdleMs', async t => {
  const { gateway, port } = await listen(t, true, { streamIdleMs: 200, connectionIdleMs: 200 })
  for (const to of [gateway.port, port]) {
    const socket = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true })
    let isReset = false
    socket.on('error', () => { isReset = true }).resume()
    socket.write(opening())
    await once(socket, 'end')
    trickle(t, socket)
    await until(() => isReset, 'the end')
  }
})

t.test('clients that take their answers slowly get all of them', async t => {
  const service = implement(Kinds, { Unary: () => ({ text: LARGE }), async * ServerStream () { yield { text: LARGE } } })
  const limits = { streamIdleMs: 1000 }
  // A message has a limit of its own for all of it.
  const methods = { 'test.Kinds.*': { limits: { streamIdleMs: 0 } } }
  const { port, gateway } = await listen(t, false, limits, service, methods)
  const overHttp2 = await listen(t, true, limits, service, methods)
  async function slowly (stream: Readable): Promise<number> {
    let bytes = 0
    stream.on('data', chunk => {
      bytes += chunk.length
      stream.pause()
      setTimeout(() => stream.resume(), 2)
    })
    await Promise.race([once(stream, 'end'), once(stream, 'close')])
    return bytes
  }
  const began = performance.now()
  await Promise.all((['Unary', 'ServerStream'] as const).map(async kind => {
    const path = `/grpc/test.Kinds/${kind}`
    const request = http1({ port, host: '127.0.0.1', path, method: 'POST' }).end()
    const [response] = await once(request, 'response') as [IncomingMessage]
    t.ok(await slowly(response) > LARGE.length, `${kind} over HTTP/1.1`)
    for (const [to, headers, body] of [[gateway.port, { ...GRPC, ':path': `/test.Kinds/${kind}` }, Buffer.alloc(5)], [overHttp2.port, { ':method': 'POST', ':path': path }, '']] as const) {
      const stream = raw(t, `http://127.0.0.1:${to}`).request(headers)
      stream.end(body)
      t.ok(await slowly(stream) > LARGE.length, `${kind} ${headers[':path']}`)
    }
  }))
  t.ok(performance.now() - began > limits.streamIdleMs, 'in more than the limit')
})

t.test('streamIdleMs ends no answer that waits for its handler, and no connection that is kept alive', async t => {
  const service = implement(Kinds, { async Unary () { await sleep(600); return {} } })
  for (const isHttp2 of [false, true]) {
    const { port } = await listen(t, isHttp2, { streamIdleMs: 100 }, service)
    if (isHttp2) {
      const session = raw(t, `http://127.0.0.1:${port}`)
      for (let i = 0; i < 2; i++) {
        const stream = session.request({ ':method': 'POST', ':path': '/grpc/test.Kinds/Unary' })
        t.match(await once(stream.end(), 'response'), [{ ':status': 200 }])
        stream.resume()
        await sleep(300)
      }
      continue
    }
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    const sockets = new Set()
    for (let i = 0; i < 2; i++) {
      const request = http1({ port, host: '127.0.0.1', path: '/grpc/test.Kinds/Unary', method: 'POST', agent }).end()
      const [response] = await once(request, 'response') as [IncomingMessage]
      t.equal(response.statusCode, 200)
      sockets.add(request.socket)
      await once(response.resume(), 'end')
      await sleep(300)
    }
    t.equal(sockets.size, 1, 'the same connection')
  }
})

for (const way of WAYS) {
  t.test(`over ${way}, a response message above responseBytes is RESOURCE_EXHAUSTED with its size, and nothing of it is sent`, async t => {
    const sizes = [10, 990, 1010, 10]
    const service = implement(Kinds, {
      Unary: () => ({ text: 'é'.repeat(600) }),
      async * ServerStream () { for (const size of sizes) yield { text: 'x'.repeat(size) } }
    })
    const logger = recordingLogger()
    const served = await serveAll(t, { services: [service], logger, limits: { responseBytes: 1100 } })
    const unary = await ways[way](t, served, 'Unary').ended
    t.equal(unary.code, codes.RESOURCE_EXHAUSTED)
    t.match(unary.details, way === 'gRPC' ? 'Sent message larger than max (1208 vs. 1100)' : 'Sent message larger than max (1211 vs. 1100)')
    const other = await serveAll(t, { services: [service], logger, limits: { responseBytes: 1005 } })
    const stream = ways[way](t, other, 'ServerStream')
    t.match(await stream.ended, { code: codes.RESOURCE_EXHAUSTED })
    t.equal(stream.received - (way === 'HTTP' ? 1 : 0), 2, 'those before')
    t.same(logger.lines.filter(({ level }) => level === 'error').map(({ message }) => message), Array(2).fill('The response message is larger than limits.responseBytes'))
    const unlimited = await serveAll(t, { services: [service], logger, limits: { responseBytes: 0 } })
    t.match(await ways[way](t, unlimited, 'Unary').ended, { code: codes.OK })
  })
}

t.test('responses are no larger than 64 MiB by default', async t => {
  const service = implement(Kinds, { Unary: ({ n }) => ({ text: 'x'.repeat(Number(n)) }) })
  const { post, client } = await serveAll(t, { services: [service] })
  const around = 64 * 2 ** 20
  const { status, json } = await post('/grpc/kinds/unary', { n: around })
  t.match([status, json.detail], [429, `Sent message larger than max (${around + '{"text":""}'.length} vs. ${around})`])
  t.match(await post('/grpc/kinds/unary', { n: around - 100 }), { status: 200 })
  t.match(await client(Kinds).call('Unary', { n: around }), { code: codes.RESOURCE_EXHAUSTED, details: /^Sent message larger than max/ })
})

t.test('bodyBytes bounds all messages of an upload together, and a body with one message', async t => {
  let count = 0
  const service = implement(Kinds, {
    Unary: note => note,
    async ClientStream (notes) {
      for await (const note of notes) if (note !== undefined) count++
      return {}
    }
  })
  const served = await serveAll(t, { services: [service], limits: { bodyBytes: 1000, messageBytes: 800 } })
  const upload = async (lines: number): Promise<unknown> => {
    const { status, json } = await served.request('/grpc/kinds/clientstream', { method: 'POST', body: '{"text":"x"}\n'.repeat(lines), headers: { 'content-type': 'application/x-ndjson' } })
    return [status, json.detail]
  }
  t.match(await upload(70), [200])
  t.equal(count, 70)
  t.same(await upload(90), [413, 'The request body is larger than 1000 bytes'])
  t.match(await served.post('/grpc/kinds/unary', { text: 'x'.repeat(780) }), { status: 200 })
  t.match(await served.post('/grpc/kinds/unary', { text: 'x'.repeat(800) }), { status: 413, json: { detail: 'The request body is larger than 800 bytes' } })
  const small = await serveAll(t, { services: [service], limits: { bodyBytes: 100 } })
  t.match(await small.post('/grpc/kinds/unary', { text: 'x'.repeat(100) }), { status: 413, json: { detail: 'The request body is larger than 100 bytes' } })
  const stream = ways.WebSocket(t, small, 'ClientStream')
  const before = count
  stream.send('x'.repeat(200))
  await until(() => count > before, 'a message that is larger than bodies of HTTP may be')
})

t.test('over gRPC, headers above headerBytes are RESOURCE_EXHAUSTED', async t => {
  const service = implement(Kinds, { Unary: (_note, { metadata }) => ({ text: String(metadata.get('x-large')[0]).slice(0, 1) }) })
  for (const [limits, most] of [[{}, 16 * 1024], [{ headerBytes: 4096 }, 4096]] as const) {
    const { client } = await serveAll(t, { services: [service], limits })
    const call = async (size: number): Promise<Outcome> => {
      const metadata = new Metadata()
      metadata.set('x-large', 'x'.repeat(size))
      return await client(Kinds).call('Unary', {}, { metadata })
    }
    t.match(await call(most - 1000), { code: codes.OK, messages: [{ text: 'x' }] })
    t.match(await call(most), { code: codes.RESOURCE_EXHAUSTED })
    t.match(await call(10), { code: codes.OK }, 'the connection goes on')
  }
})

t.test('metadata of handlers and interceptors that HTTP/2 has no place for is left out over gRPC, as over HTTP', async t => {
  const hopByHop = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings', 'te', 'trailer', 'host', 'content-length', 'content-type', ':status', ':x', 'x:y', 'grpc-status', 'grpc-message', 'grpc-encoding']
  const twice = ['etag', 'date', 'authorization', 'retry-after', 'location', 'age']
  const add = (metadata: Metadata): Metadata => {
    for (const key of hopByHop) metadata.add(key, '1')
    for (const key of [...twice, 'x-many']) for (const value of ['a', 'b']) metadata.add(key, value)
    metadata.add('x-bin', Buffer.from('bytes'))
    return metadata
  }
  const all = add(new Metadata())
  const service = implement(Kinds, {
    Unary (_note, context) { context.sendHeaders(all); add(context.trailers); return {} },
    async * ServerStream (_note, context) { context.sendHeaders(all); yield {}; add(context.trailers) },
    async ClientStream () { throw new GrpcError(codes.NOT_FOUND, 'none', { metadata: all }) }
  })
  const interceptor: ServerInterceptor = ({ path }, call) => new ServerInterceptingCall(call, {
    sendStatus: (status, next) => next(path.endsWith('Bidi') ? { ...status, metadata: all } : status),
    sendMetadata: (metadata, next) => next(path.endsWith('Bidi') ? all : metadata)
  })
  const { client, post } = await serveAll(t, { services: [service], interceptors: [interceptor] })
  function check (metadata: Metadata, what: string): void {
    t.same(hopByHop.filter(key => key !== 'content-type' && metadata.get(key).length > 0), [], what)
    t.same(twice.map(key => metadata.get(key).join()), twice.map(() => 'a, b'), what)
    t.equal(metadata.get('x-many').join(), 'a, b')
    t.equal(String(metadata.get('x-bin')[0]), 'bytes')
  }
  for (const [kind, code] of [['Unary', codes.OK], ['ServerStream', codes.OK], ['ClientStream', codes.NOT_FOUND], ['Bidi', codes.UNIMPLEMENTED]] as const) {
    const { code: got, metadata, trailers } = await client(Kinds).call(kind, {})
    t.equal(got, code)
    if (code === codes.OK) check(metadata, `${kind}, headers`)
    check(trailers, `${kind}, trailers`)
  }
  t.equal(all.get('connection').length, 1, 'their own metadata stay as they are')
  t.match(await post('/grpc/kinds/unary', {}), { status: 200 })
})

t.test('a connection of gRPC or HTTP/2 carries 100 calls at once by default, or as many as streamsPerConnection says', async t => {
  for (const [limits, expected] of [[{}, 100], [{ streamsPerConnection: 7 }, 7]] as const) {
    const gateway = new GrpcGateway({ services: [implement(Kinds, {})], port: 0, limits })
    const app = await gateway.listen({ port: 0, host: '127.0.0.1', signals: false, fastify: { http2: true } })
    t.teardown(() => gateway.shutdown({ graceMs: 0 }))
    for (const url of [`http://${gateway.address}`, app.listeningOrigin]) {
      const session = http2(url)
      const settings = new Promise<{ maxConcurrentStreams?: number }>(resolve => session.on('remoteSettings', received => {
        if (received.maxConcurrentStreams! < 2 ** 31) resolve(received)
      }))
      t.equal((await settings).maxConcurrentStreams, expected)
      session.destroy()
    }
  }
})

t.test('old connections are given up by their clients: GOAWAY over gRPC and HTTP/2, connection: close over HTTP/1.1', async t => {
  const { app, gateway, request } = await serve(t, { services: [implement(Kinds, { Unary: ({ text }) => ({ text }) })], limits: { connectionAgeMs: 200 } })
  const session = http2(`http://${gateway.address}`)
  const [code] = await once(session, 'goaway') as [number]
  t.equal(code, 0)
  session.destroy()

  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const connection = async (): Promise<string | undefined> => {
    const call = http1({ port: (app.server.address() as AddressInfo).port, host: '127.0.0.1', path: '/grpc/test.Kinds/Unary', method: 'POST', agent })
    call.end()
    const [response] = await once(call, 'response') as [IncomingMessage]
    response.resume()
    await once(response, 'end')
    return response.headers.connection
  }
  t.equal(await connection(), 'keep-alive')
  let told: string | undefined = 'keep-alive'
  while (told === 'keep-alive') {
    await sleep(50)
    told = await connection()
  }
  t.equal(told, 'close')
  t.equal((await request('/healthz')).status, 200, 'others go on')
})

t.test('idle connections are closed, and those that never begin to speak', async t => {
  const gateway = new GrpcGateway({ services: [implement(Kinds, {})], port: 0, limits: { connectionIdleMs: 300, requestMs: 300 } })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', signals: false })
  t.teardown(() => gateway.shutdown({ graceMs: 0 }))
  const { port } = app.server.address() as AddressInfo
  const session = http2(`http://${gateway.address}`)
  await once(session, 'close')
  t.pass('gRPC without a call')
  for (const [name, to, first] of [['gRPC without a preface', gateway.port, ''], ['gRPC with half a preface', gateway.port, 'PRI * HT'], ['HTTP without a request', port, ''], ['HTTP with half a header', port, 'POST / HTTP/1.1\r\nhost: x']] as const) {
    const socket = connect(to, '127.0.0.1', () => socket.write(first))
    socket.resume()
    await once(socket, 'close')
    t.pass(name)
  }
  const socket = connect(port, '127.0.0.1', () => socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'))
  socket.resume()
  await once(socket, 'close')
  t.pass('HTTP after its response')
})
