/** What bounds a call in time, a message in size and a connection in both, on every protocol. */
import { once } from 'node:events'
import { request as http1 } from 'node:http'
import type { Writable } from 'node:stream'
import { connect as http2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import websocket from '@fastify/websocket'
import { Metadata, status as codes, type ClientDuplexStream, type StatusObject } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { implement, loadProto, type CallContext, type GatewayOptions } from '../src/index.ts'
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
  const closed = once(stream, 'close')
  const [headers] = await once(stream, 'response')
  t.equal(headers[':status'], 408)
  await closed
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
