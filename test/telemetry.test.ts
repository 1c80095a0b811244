/** What is made of calls: access log and metrics. Traces are in open-telemetry.test.ts. */
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect as http2 } from 'node:http2'
import { connect } from 'node:net'
import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import { AggregatorRegistry, Registry, register } from 'prom-client'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { GrpcError, GrpcGateway, implement, registerGrpcHttpRoutes, status, type AccessLogCall, type CallContext, type GatewayOptions, type TelemetryOptions } from '../src/index.ts'
import { Greeter, Kinds, KINDS, callOverHttp, recordingLogger, serve, until, type Kind, type LogLine, type Served } from './serving.ts'

/** The names of status codes. */
const NAMES = Object.entries(status).filter(([name]) => !/^\d/.test(name)).map(([name]) => name)

function metadataOf (entries: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value)
  return metadata
}

/** `fail` fails on purpose, `break` does not, `hang` waits for the end of the call. */
function act (text: string, context: CallContext): void | Promise<void> {
  if (text === 'fail') throw new GrpcError(status.NOT_FOUND, 'No such note')
  if (text === 'break') throw new Error('Broken')
  if (text === 'code') context.setCode(status.DATA_LOSS)
  if (text === 'hang') return new Promise(resolve => context.signal.addEventListener('abort', () => resolve()))
}

const kinds = implement(Kinds, {
  async Unary ({ text }, context) {
    await act(text, context)
    return { text }
  },
  async * ServerStream ({ text, n }, context) {
    for (let i = 0; i < Number(n); i++) yield { text }
    await act(text, context)
  },
  async ClientStream (notes, context) {
    for await (const { text } of notes) await act(text, context)
    return {}
  },
  async * Bidi (notes, context) {
    for await (const { text } of notes) {
      await act(text, context)
      yield { text }
    }
  }
})

interface Watched extends Served {
  /** The lines of the access log. */
  lines: Array<Record<string, any>>
  logged: LogLine[]
  /** A call over each protocol, to its end. */
  callers: Record<'grpc' | 'http' | 'websocket', (kind: Kind, notes: object[], headers?: Record<string, string>) => Promise<unknown>>
}

/** Serves with an access log on all three protocols. */
async function watch (t: Test, options: Partial<GatewayOptions> = {}, app: FastifyInstance = Fastify()): Promise<Watched> {
  const logger = recordingLogger()
  await app.register(import('@fastify/websocket'))
  const served = await serve(t, { services: [kinds], logger, telemetry: { accessLog: true }, ...options }, { app })
  const { call } = served.client(Kinds)
  const logged = logger.lines
  return {
    ...served,
    logged,
    get lines () { return logged.filter(({ message }) => message === 'call').map(({ fields }) => fields) },
    callers: {
      grpc: (kind, notes, headers = {}) => call(kind, notes, { metadata: metadataOf(headers) }),
      http: (kind, notes, headers = {}) => callOverHttp(`${served.url}/grpc/kinds/${kind.toLowerCase()}`, Kinds[kind], Kinds[kind].requestStream ? notes : notes[0]!, { headers }),
      async websocket (kind, notes, headers = {}) {
        const socket = new WebSocket(`${served.url.replace('http', 'ws')}/grpc/kinds/${kind.toLowerCase()}`, { headers })
        t.teardown(() => socket.terminate())
        await once(socket, 'open')
        for (const note of notes) socket.send(JSON.stringify(note))
        if (Kinds[kind].requestStream) socket.send(Buffer.alloc(0))
        await once(socket, 'close')
      }
    }
  }
}

const PROTOCOLS = ['grpc', 'http', 'websocket'] as const

t.test('one line for each call, in the same fields on every protocol', async t => {
  const watched = await watch(t)
  for (const protocol of PROTOCOLS) {
    for (const kind of KINDS) {
      for (const text of ['fine', 'fail', 'break', 'code']) {
        const code = { fine: 'OK', fail: 'NOT_FOUND', break: 'INTERNAL', code: 'DATA_LOSS' }[text]
        watched.logged.length = 0
        await watched.callers[protocol](kind, [{ text, n: 2 }], { 'x-request-id': 'mine', 'user-agent': 'tester/1' })
        await until(() => watched.lines.length > 0, 'the line')
        const name = `${protocol} ${kind} ${text}`
        t.equal(watched.lines.length, 1, name)
        const { http, ...line } = watched.lines[0]!
        const { code: common, requestId, peer, durationMs, userAgent } = line
        t.match({ protocol: line.protocol, rpc: line.rpc, common, requestId, peer, durationMs, userAgent }, {
          protocol, rpc: `/test.Kinds/${kind}`, common: code, requestId: 'mine', peer: /^127\.0\.0\.1:\d+$/, durationMs: Number, userAgent: protocol === 'grpc' ? /^grpc-node-js/ : 'tester/1'
        }, name)
        t.equal(line.messagesIn, 1, name)
        if (text === 'fine') t.equal(line.messagesOut, kind === 'ServerStream' ? 2 : 1, name)
        t.same(Object.keys(line), ['protocol', 'rpc', 'code', 'requestId', 'peer', 'durationMs', 'messagesIn', 'messagesOut', 'bytesIn', 'bytesOut', 'userAgent'], name)
        if (protocol === 'grpc') t.equal(http, undefined, name)
        else t.match(http, { method: protocol === 'http' ? 'POST' : 'GET', route: `/grpc/kinds/${kind.toLowerCase()}`, status: Number }, name)
        if (protocol === 'websocket') t.equal(http.status, 101, name)
        else if (protocol === 'http' && text === 'fine') t.equal(http.status, 200, name)
      }
    }
  }
})

t.test('bytes are those of messages over gRPC, of bodies over HTTP, of frames over WebSockets', async t => {
  const watched = await watch(t)
  const note = { text: '\u00e9t\u00e9' }
  const json = Buffer.byteLength(JSON.stringify(note))
  const proto = Kinds.Unary.requestSerialize(note as never).length
  const expected: Record<typeof PROTOCOLS[number], Record<Kind, [bytesIn: number, bytesOut: number]>> = {
    grpc: { Unary: [proto, proto], ServerStream: [proto + 2, 2 * proto], ClientStream: [2 * proto, 0], Bidi: [2 * proto, 2 * proto] },
    // The client of the tests ends a body with a newline, and writes a number.
    http: { Unary: [json + 1, json], ServerStream: [json + 7, 2 * (json + 1)], ClientStream: [2 * (json + 1), 2], Bidi: [2 * (json + 1), 2 * (json + 1)] },
    websocket: { Unary: [json, json], ServerStream: [json + 6, 2 * json], ClientStream: [2 * json, 2], Bidi: [2 * json, 2 * json] }
  }
  for (const protocol of PROTOCOLS) {
    for (const kind of KINDS) {
      watched.logged.length = 0
      const isStream = Kinds[kind].requestStream
      await watched.callers[protocol](kind, isStream ? [note, note] : [kind === 'Unary' ? note : { ...note, n: 2 }])
      await until(() => watched.lines.length > 0, 'the line')
      const { bytesIn, bytesOut, messagesIn, messagesOut } = watched.lines[0]!
      t.same([bytesIn, bytesOut], expected[protocol][kind], `${protocol} ${kind}`)
      t.same([messagesIn, messagesOut], { Unary: [1, 1], ServerStream: [1, 2], ClientStream: [2, 1], Bidi: [2, 2] }[kind], `${protocol} ${kind}`)
    }
  }
})

t.test('what is refused has its line too, and only one', async t => {
  const app = Fastify({ handlerTimeout: 100 })
  app.addHook('preHandler', async request => {
    if (request.headers.hook === 'refuse') throw Object.assign(new Error('Who are you?'), { statusCode: 401 })
    if (request.headers.hook === 'break') throw new Error('Broken')
  })
  const watched = await watch(t, { httpMethods: ['GET'], limits: { messageBytes: 100 } }, app)
  const { url, gateway } = watched
  const unary = '/grpc/kinds/unary'
  const json = { 'content-type': 'application/json' }
  const long = JSON.stringify({ text: 'x'.repeat(100) })
  const cases: Array<[http: number, code: string, path: string, init: RequestInit]> = [
    [404, 'NOT_FOUND', '/grpc/kinds/nothing?token=secret', { method: 'POST' }],
    [405, 'UNIMPLEMENTED', unary, { method: 'PUT' }],
    [400, 'INVALID_ARGUMENT', unary, { method: 'POST', headers: json, body: '{' }],
    [400, 'INVALID_ARGUMENT', unary, { method: 'POST', headers: { 'grpc-timeout': 'soon' } }],
    [406, 'INVALID_ARGUMENT', '/grpc/kinds/serverstream', { method: 'POST', headers: { accept: 'image/png' } }],
    [413, 'RESOURCE_EXHAUSTED', unary, { method: 'POST', headers: json, body: long }],
    [413, 'RESOURCE_EXHAUSTED', '/grpc/kinds/clientstream', { method: 'POST', headers: json, body: `[${long}]` }],
    [415, 'INVALID_ARGUMENT', unary, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' }],
    [415, 'INVALID_ARGUMENT', '/grpc/kinds/bidi', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' }],
    [504, 'DEADLINE_EXCEEDED', unary, { method: 'POST', headers: { ...json, 'grpc-timeout': '20m' }, body: '{"text":"hang"}' }],
    [504, 'DEADLINE_EXCEEDED', `${unary}?text=hang`, { method: 'GET' }],
    [500, 'INTERNAL', unary, { method: 'POST', headers: { hook: 'break' } }],
    [401, 'UNAUTHENTICATED', unary, { method: 'POST', headers: { hook: 'refuse' } }]
  ]
  async function check (http: number, code: string, path: string, init: RequestInit): Promise<void> {
    watched.logged.length = 0
    const response = await fetch(url + path, init)
    await response.arrayBuffer()
    await until(() => watched.lines.length > 0, 'the line')
    t.equal(response.status, http)
    t.match(watched.lines, [{ protocol: 'http', code, requestId: response.headers.get('x-request-id')!, http: { method: init.method!, status: http } }], `${http} ${code} ${path}`)
    t.equal(watched.lines.length, 1)
    const { rpc, http: { route, path: unknown } } = watched.lines[0] as { rpc?: string, http: { route?: string, path?: string } }
    if (http === 404) t.same([rpc, route, unknown], [undefined, undefined, '/grpc/kinds/nothing'], 'the path, without its query')
    else if (http !== 405) t.match([rpc, route], [/^\/test.Kinds\//, path.replace(/\?.*/, '')])
  }
  for (const one of cases) await check(...one)
  await gateway.shutdown({ graceMs: 0 })
  await check(503, 'UNAVAILABLE', unary, { method: 'POST' })
  watched.logged.length = 0
  await fetch(url + unary, { method: 'OPTIONS' })
  t.equal(watched.lines.length, 0, 'what only asks for the methods is no call')
})

t.test('calls over gRPC that no handler answers have their line too, and only one', async t => {
  const refuse: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, {
    start: next => call.getHost().startsWith('refuse') ? call.sendStatus({ code: status.PERMISSION_DENIED, details: '' }) : next()
  })
  const { gateway, logged } = await watch(t, { interceptors: [refuse], limits: { messageBytes: 100 } })
  const session = http2(`http://${gateway.address}`)
  t.teardown(() => session.destroy())
  const frame = (message: string): Buffer => Buffer.from([0, 0, 0, 0, message.length, ...Buffer.from(message)])
  const cases: Array<[code: string, path: string, headers: Record<string, string>, body: Buffer]> = [
    ['UNIMPLEMENTED', '/test.Kinds/Unknown', {}, frame('')],
    ['UNIMPLEMENTED', '/nobody', {}, frame('')],
    ['PERMISSION_DENIED', '/test.Kinds/Unary', { ':authority': 'refuse.example' }, frame('')],
    ['INTERNAL', '/test.Kinds/Unary', {}, frame('\u0001')],
    ['INTERNAL', '/test.Kinds/Unary', { 'grpc-timeout': 'soon' }, frame('')],
    ['RESOURCE_EXHAUSTED', '/test.Kinds/Unary', {}, frame('x'.repeat(101))],
    ['UNIMPLEMENTED', '/test.Kinds/Unary', {}, Buffer.concat([frame(''), frame('')])],
    ['DEADLINE_EXCEEDED', '/test.Kinds/Unary', { 'grpc-timeout': '20m' }, frame('\n\u0004hang')]
  ]
  for (const [code, path, headers, body] of cases) {
    logged.length = 0
    const request = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers })
    request.end(body)
    await once(request.resume(), 'close')
    const lines = logged.filter(({ message }) => message === 'call').map(({ fields }) => fields)
    t.match(lines, [{ protocol: 'grpc', rpc: path, code }], `${code} ${path}`)
    t.equal(lines.length, 1)
  }
})

t.test('clients that go away have their line: CANCELLED', async t => {
  const watched = await watch(t)
  const { url, gateway, logged } = watched
  for (const kind of ['Unary', 'ServerStream'] as const) {
    const path = `/grpc/kinds/${kind.toLowerCase()}`
    const leavers: Record<string, () => Promise<() => void>> = {
      async grpc () {
        const session = http2(`http://${gateway.address}`)
        const request = session.request({ ':method': 'POST', ':path': `/test.Kinds/${kind}`, 'content-type': 'application/grpc', te: 'trailers' }).on('error', () => {})
        request.end(Buffer.from([0, 0, 0, 0, 6, 10, 4, ...Buffer.from('hang')]))
        t.teardown(() => session.destroy())
        return () => request.close(8)
      },
      async http () {
        const request = httpRequest(url + path, { method: 'POST', headers: { 'content-type': 'application/json' } }).on('error', () => {})
        request.end('{"text":"hang"}')
        return () => request.destroy()
      },
      async websocket () {
        const socket = new WebSocket(url.replace('http', 'ws') + path)
        await once(socket, 'open')
        socket.send('{"text":"hang"}')
        return () => socket.terminate()
      }
    }
    for (const [protocol, arrive] of Object.entries(leavers)) {
      logged.length = 0
      const before = watched.gateway.load.running
      const leave = await arrive()
      await until(() => watched.gateway.load.running > before, 'the call')
      t.equal(watched.lines.length, 0)
      leave()
      await until(() => watched.lines.length > 0, 'the line')
      t.match(watched.lines, [{ protocol, rpc: `/test.Kinds/${kind}`, code: 'CANCELLED' }], `${protocol} ${kind}`)
      if (protocol === 'http') t.equal(watched.lines[0]!.http.status, undefined, 'nothing was answered')
    }
  }
})

t.test('credentials and binary metadata are not logged, nor what would make two lines of one', async t => {
  const watched = await watch(t, { telemetry: { accessLog: { metadata: true, redact: ['X-Customer'] } } })
  const secrets = { authorization: 'Bearer a', 'x-api-key': 'b', 'x-csrf-token': 'c', 'client-secret': 'd', 'x-password': 'e', 'session-id': 'f', 'x-customer': 'g' }
  const { post, client, logged } = watched
  await post('/grpc/kinds/unary', {}, { ...secrets, cookie: 'id=h', 'x-open': 'yes', 'data-bin': 'AAEC' })
  const metadata = metadataOf({ ...secrets, cookie: 'id=h', 'x-open': 'yes' })
  metadata.set('data-bin', Buffer.from([0, 1, 2]))
  await client(Kinds).call('Unary', {}, { metadata })
  await until(() => watched.lines.length === 2, 'the lines')
  for (const { metadata, protocol } of watched.lines) {
    for (const name of [...Object.keys(secrets), 'cookie', 'data-bin']) t.equal(metadata[name], '[redacted]', `${protocol} ${name}`)
    t.equal(metadata['x-open'], 'yes')
  }

  // Node.js lets none of these through; other servers in front may.
  logged.length = 0
  const { port } = watched.app.server.address() as { port: number }
  const socket = connect(port, '127.0.0.1')
  socket.write('POST /grpc/kinds/\u001b[31mno\u2028\u202e HTTP/1.1\r\nhost: a\r\nuser-agent: a\tb\u0085\u009bc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n', 'latin1')
  await once(socket.resume(), 'close')
  for (const { http, userAgent } of watched.lines) {
    for (const text of [http.path, userAgent]) t.notMatch(text ?? '', /[\u0000-\u001f\u007f-\u009f\u2028\u202e]/) // eslint-disable-line no-control-regex
  }
  logged.length = 0
  await post(`/grpc/kinds/${'x'.repeat(2000)}`, {}, { 'user-agent': 'y'.repeat(2000) })
  await until(() => watched.lines.length === 1, 'the line')
  t.match([watched.lines[0]!.http.path.length, watched.lines[0]!.userAgent.length], [257, 257])
})

t.test('the trace and the principal of a call are in its line', async t => {
  const service = implement(Greeter, {
    SayHello (request, context) {
      Object.defineProperty(context, 'principal', { value: { string: 'ada', object: { name: 'ada' }, claims: { sub: 'ada' }, number: 7 }[request.name] })
      return { message: '' }
    }
  })
  const watched = await watch(t, { services: [service] })
  const { post, client } = watched
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const traces: Array<[header: string, traceId: string | undefined]> = [
    [traceparent, '4bf92f3577b34da6a3ce929d0e0e4736'],
    [traceparent.replace(/^00/, 'cc') + '-more', '4bf92f3577b34da6a3ce929d0e0e4736'],
    [traceparent + '-more', undefined],
    [traceparent.replace(/^00/, 'ff'), undefined],
    [traceparent.toUpperCase(), undefined],
    ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', undefined],
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01', undefined],
    ['nonsense', undefined]
  ]
  for (const [header, traceId] of traces) {
    watched.logged.length = 0
    await post('/grpc/greeter/sayhello', {}, { traceparent: header })
    await client(Greeter).call('SayHello', {}, { metadata: metadataOf({ traceparent: header }) })
    await until(() => watched.lines.length === 2, 'the lines')
    t.same(watched.lines.map(line => line.traceId), [traceId, traceId], header)
  }
  for (const [name, principal] of [['string', 'ada'], ['object', 'ada'], ['claims', 'ada'], ['number', undefined], ['', undefined]] as const) {
    watched.logged.length = 0
    await post('/grpc/greeter/sayhello', { name })
    await until(() => watched.lines.length === 1, 'the line')
    t.equal(watched.lines[0]!.principal, principal, name)
  }
})

t.test('lines may be left out, have another level, and go to a stream', async t => {
  const asked: AccessLogCall[] = []
  const skip = (call: AccessLogCall): boolean => {
    asked.push(call)
    if (call.code === 'NOT_FOUND') throw new Error('Broken')
    return call.rpc === '/test.Kinds/Unary'
  }
  const quiet = await watch(t, { telemetry: { accessLog: { skip, level: 'debug' } } })
  await quiet.post('/grpc/kinds/unary', {})
  await quiet.post('/grpc/kinds/unary', { text: 'fail' })
  await quiet.post('/grpc/kinds/clientstream', [])
  t.match(asked, [{ protocol: 'http', rpc: '/test.Kinds/Unary', code: 'OK', durationMs: Number }, { code: 'NOT_FOUND' }, { rpc: '/test.Kinds/ClientStream' }])
  t.match(quiet.logged.filter(({ message }) => /call|skip/.test(message)), [{ level: 'error', message: 'The function `skip` of the access log failed' }, { level: 'debug', fields: { code: 'NOT_FOUND' } }, { level: 'debug', fields: { rpc: '/test.Kinds/ClientStream' } }])
  t.equal(quiet.lines.length, 2)

  const texts: string[] = []
  const durations: number[] = []
  const keep = ({ durationMs }: AccessLogCall): boolean => {
    durations.push(durationMs)
    return false
  }
  const streamed = await watch(t, { telemetry: { accessLog: { metadata: true, level: 'warn', stream: { write: (text: string) => texts.push(text) }, skip: keep } } })
  for (const protocol of PROTOCOLS) await streamed.callers[protocol]('Unary', [{ text: 'a' }], { 'user-agent': '"quoted"', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' })
  await until(() => texts.join('').split('\n').length > 3, 'the lines')
  const lines = texts.join('').trim().split('\n').map(line => JSON.parse(line))
  for (const [i, protocol] of PROTOCOLS.entries()) {
    t.match(lines[i], { level: 40, time: Number, pid: process.pid, hostname: String, msg: 'call', protocol, rpc: '/test.Kinds/Unary', code: 'OK', requestId: /./, peer: /^127/, messagesIn: 1, messagesOut: 1, userAgent: protocol === 'grpc' ? /^grpc/ : '"quoted"', traceId: /^4bf9/, metadata: { 'user-agent': /./ } })
  }
  t.equal(streamed.lines.length, 0)

  // Many lines of one turn are one write, up to a size.
  texts.length = durations.length = 0
  await Promise.all(Array.from({ length: 200 }, () => streamed.app.inject({ method: 'POST', url: '/grpc/kinds/unary' })))
  await until(() => texts.join('').split('\n').length > 200, 'the lines')
  t.ok(texts.length < 100, `${texts.length} writes`)
  t.same(texts.join('').trim().split('\n').map(line => JSON.parse(line).durationMs), durations.map(durationMs => Math.round(durationMs * 1000) / 1000))
})

t.test('a gateway without a logger writes its lines to stdout', async t => {
  const { write } = process.stdout
  const texts: string[] = []
  t.teardown(() => { process.stdout.write = write })
  const gateway = new GrpcGateway({ services: [kinds], port: 0, telemetry: { accessLog: true } })
  await gateway.startup()
  t.teardown(() => gateway.shutdown({ graceMs: 0 }))
  const session = http2(`http://${gateway.address}`)
  process.stdout.write = ((text: string) => texts.push(text)) as never
  const request = session.request({ ':method': 'POST', ':path': '/test.Kinds/Unary', 'content-type': 'application/grpc', te: 'trailers' })
  request.end(Buffer.alloc(5))
  await once(request.resume(), 'close')
  await until(() => texts.some(text => text.includes('"msg":"call"')), 'the line')
  process.stdout.write = write
  session.close()
  t.match(JSON.parse(texts.find(text => text.includes('"msg":"call"'))!), { level: 30, rpc: '/test.Kinds/Unary', code: 'OK' })
})

t.test('the app of `listen` logs calls once', async t => {
  const texts: string[] = []
  const gateway = new GrpcGateway({ services: [kinds], port: 0, telemetry: { accessLog: true } })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', fastify: { logger: { level: 'info', stream: { write: (text: string) => { texts.push(text) } } } } })
  t.teardown(() => gateway.shutdown({ graceMs: 0 }))
  await fetch(`http://127.0.0.1:${(app.server.address() as { port: number }).port}/grpc/kinds/unary`, { method: 'POST' })
  const lines = texts.map(text => JSON.parse(text)).filter(({ msg }) => /call|request/.test(msg))
  t.match(lines, [{ msg: 'call', http: { status: 200 } }])
  t.equal(lines.length, 1)
})

t.test('a trace context is there for calls to others', async t => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const service = implement(Greeter, { SayHello: (_request, { traceContext }) => ({ message: JSON.stringify(traceContext) }) })
  const { post, client } = await serve(t, { services: [service] })
  const cases: Array<[headers: Record<string, string>, expected: object]> = [
    [{ traceparent, tracestate: 'a=1,b=2' }, { traceparent, tracestate: 'a=1,b=2' }],
    [{ traceparent }, { traceparent }],
    [{ tracestate: 'a=1' }, {}],
    [{ traceparent: 'nonsense', tracestate: 'a=1' }, {}],
    [{ traceparent, tracestate: 'a'.repeat(9000) }, { traceparent }],
    [{}, {}]
  ]
  for (const [headers, expected] of cases) {
    t.same(JSON.parse((await post('/grpc/greeter/sayhello', {}, headers)).json.message), expected)
    const [reply] = (await client(Greeter).call('SayHello', {}, { metadata: metadataOf(headers) })).messages as [{ message: string }]
    t.same(JSON.parse(reply.message), expected)
  }
})

/** The samples of a metric that are not 0, by their labels: `{ 'grpc Unary OK': 1 }`. */
async function samples (registry: Registry, name: string, ...labels: string[]): Promise<Record<string, number>> {
  const metrics = await registry.getMetricsAsJSON()
  const { values } = metrics.find(metric => metric.name === name)! as unknown as { values: Array<{ value: number, labels: Record<string, string>, metricName?: string }> }
  return Object.fromEntries(values.filter(({ value }) => value !== 0).map(({ value, labels: own, metricName }) => [[...metricName === undefined ? [] : [metricName.slice(name.length)], ...labels.map(label => own[label])].join(' ').trim(), value]))
}

function measured (registry: Registry, more: Exclude<TelemetryOptions['prometheus'], boolean | undefined> = {}): TelemetryOptions {
  return { prometheus: { registry, ...more } }
}

t.test('calls, messages, bytes and durations are counted by protocol, service, method and code', async t => {
  const registry = new Registry()
  const { callers } = await watch(t, { telemetry: measured(registry) })
  for (const protocol of PROTOCOLS) {
    for (const kind of KINDS) await callers[protocol](kind, [{ text: 'fine', n: 3 }])
    await callers[protocol]('Unary', [{ text: 'fail' }])
  }
  const handled = (): Promise<Record<string, number>> => samples(registry, 'grpc_server_handled_total', 'protocol', 'grpc_type', 'grpc_service', 'grpc_method', 'grpc_code')
  const expected = Object.fromEntries(PROTOCOLS.flatMap(protocol => [
    [`${protocol} unary test.Kinds Unary OK`, 1], [`${protocol} unary test.Kinds Unary NOT_FOUND`, 1], [`${protocol} server_stream test.Kinds ServerStream OK`, 1],
    [`${protocol} client_stream test.Kinds ClientStream OK`, 1], [`${protocol} bidi_stream test.Kinds Bidi OK`, 1]
  ]))
  t.same(await handled(), expected)
  t.match(await samples(registry, 'grpc_server_started_total', 'protocol', 'grpc_method'), { 'grpc Unary': 2, 'http Bidi': 1, 'websocket ServerStream': 1 })
  t.match(await samples(registry, 'grpc_server_msg_received_total', 'protocol', 'grpc_method'), { 'grpc Unary': 2, 'http Bidi': 1, 'websocket ServerStream': 1 })
  t.match(await samples(registry, 'grpc_server_msg_sent_total', 'protocol', 'grpc_method'), { 'grpc Unary': 1, 'http ServerStream': 3, 'websocket ServerStream': 3 })
  t.match(await samples(registry, 'grpc_server_msg_sent_bytes_total', 'protocol', 'grpc_method'), { 'grpc ServerStream': 18, 'http ServerStream': 48, 'websocket ServerStream': 45 })
  t.match(await samples(registry, 'grpc_server_msg_received_bytes_total', 'protocol', 'grpc_method'), { 'grpc Unary': 14, 'http Unary': 38, 'websocket Bidi': 21 })
  const durations = await samples(registry, 'grpc_server_handling_seconds', 'protocol', 'grpc_method', 'grpc_code', 'le')
  t.match(durations, { '_count grpc Unary OK': 1, '_bucket grpc Unary OK +Inf': 1, '_bucket grpc Unary OK 600': 1, '_sum http Bidi OK': Number })
  t.same(await samples(registry, 'grpc_server_in_flight', 'protocol', 'grpc_method'), {})

  const text = await registry.metrics()
  t.match(text, /^grpc_server_handled_total\{protocol="grpc",grpc_type="unary",grpc_service="test.Kinds",grpc_method="Unary",grpc_code="OK"\} 1$/m)
  t.match(text, /^grpc_server_handling_seconds_bucket\{le="0.001",protocol="http",grpc_type="unary",grpc_service="test.Kinds",grpc_method="Unary",grpc_code="OK"\} [01]$/m)
  t.match(text, /^grpc_server_started_total\{protocol="grpc",grpc_type="unknown",grpc_service="unknown",grpc_method="unknown"\} 0$/m, 'series begin at 0')

  registry.resetMetrics()
  t.same(await handled(), {})
  t.same(await samples(registry, 'grpc_server_started_total', 'protocol', 'grpc_method'), {})

  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
  await callers.http('Unary', [{}])
  for (const again of [false, true]) {
    if (again) t.ok(new GrpcGateway({ services: [kinds], telemetry: measured(registry) }), 'a registry that has renamed the metrics')
    const openMetrics = await registry.metrics()
    t.match(openMetrics, /^# TYPE grpc_server_handled counter$[^#]*^grpc_server_handled_total\{[^}]*grpc_code="OK"\} 1$/m)
    t.equal(openMetrics.match(/^# TYPE grpc_server_handled /gm)!.length, 1)
  }
})

t.test('calls that go on are counted, and what they have sent so far', async t => {
  const registry = new Registry()
  const { url, gateway, client } = await watch(t, { telemetry: measured(registry) })
  const inFlight = (): Promise<Record<string, number>> => samples(registry, 'grpc_server_in_flight', 'protocol', 'grpc_method')
  const abort = new AbortController()
  const calls = [
    client(Kinds).call('ServerStream', { text: 'hang', n: 5 }, { signal: abort.signal }),
    callOverHttp(`${url}/grpc/kinds/serverstream`, Kinds.ServerStream, { text: 'hang', n: 5 }, { signal: abort.signal }),
    callOverHttp(`${url}/grpc/kinds/unary`, Kinds.Unary, { text: 'hang' }, { signal: abort.signal }).catch(() => {})
  ]
  await until(() => gateway.load.running === 3, 'the calls')
  t.same(await inFlight(), { 'grpc ServerStream': 1, 'http ServerStream': 1, 'http Unary': 1 })
  let sent: Record<string, number> = {}
  const poll = setInterval(async () => { sent = await samples(registry, 'grpc_server_msg_sent_total', 'protocol', 'grpc_method') }, 5)
  await until(() => sent['grpc ServerStream'] === 5 && sent['http ServerStream'] === 5, 'the messages').finally(() => clearInterval(poll))
  abort.abort()
  await Promise.all(calls)
  await until(() => gateway.load.running === 0, 'the end of the calls')
  t.same(await inFlight(), {})
  t.match(await samples(registry, 'grpc_server_handled_total', 'protocol', 'grpc_method', 'grpc_code'), { 'grpc ServerStream CANCELLED': 1, 'http ServerStream CANCELLED': 1, 'http Unary CANCELLED': 1 })
})

t.test('what clients make up has one label, and codes have names', async t => {
  const registry = new Registry()
  const odd: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, { sendStatus: (ending, next) => next({ ...ending, code: 99 as never }) })
  const { post, gateway } = await watch(t, { interceptors: [odd], telemetry: measured(registry) })
  const session = http2(`http://${gateway.address}`)
  t.teardown(() => session.destroy())
  for (let i = 0; i < 20; i++) {
    await post(`/grpc/kinds/made-up-${i}`)
    const request = session.request({ ':method': 'POST', ':path': `/made.up/${i}`, 'content-type': 'application/grpc', te: 'trailers' })
    request.end()
    await once(request.resume(), 'close')
  }
  await post('/grpc/kinds/unary')
  t.same(await samples(registry, 'grpc_server_handled_total', 'protocol', 'grpc_type', 'grpc_service', 'grpc_method', 'grpc_code'), {
    'http unknown unknown unknown NOT_FOUND': 20, 'grpc unknown unknown unknown UNIMPLEMENTED': 20, 'http unary test.Kinds Unary UNKNOWN': 1
  })
  t.equal(NAMES.length, 17)
})

t.test('metrics are served once an app, under its prefix, by one registry', async t => {
  const registry = new Registry()
  const greeter = implement(Greeter, { SayHello: ({ name }) => ({ message: name }) })
  const gateways = [new GrpcGateway({ services: [kinds], telemetry: measured(registry) }), new GrpcGateway({ services: [greeter], path: '/other', telemetry: measured(registry) })]
  const app = Fastify()
  t.teardown(() => app.close())
  registerGrpcHttpRoutes(app, gateways, { basePath: '/api' })
  for (const url of ['/api/grpc/kinds/unary', '/api/other/greeter/sayhello']) await app.inject({ method: 'POST', url })
  const { statusCode, headers, body } = await app.inject('/metrics')
  t.match([statusCode, headers], [200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store', 'x-request-id': /./ }])
  t.match(body, /grpc_server_started_total\{[^}]*grpc_service="test.Kinds"[^}]*\} 1/)
  t.match(body, /grpc_server_started_total\{[^}]*grpc_service="test.Greeter"[^}]*\} 1/)
  t.equal(body.match(/# HELP grpc_server_started_total/g)!.length, 1)

  const scoped = Fastify()
  t.teardown(() => scoped.close())
  await scoped.register(async scope => registerGrpcHttpRoutes(scope, [new GrpcGateway({ services: [kinds], telemetry: measured(new Registry(), { path: '/internal/metrics' }) })]), { prefix: '/v1' })
  t.equal((await scoped.inject('/v1/internal/metrics')).statusCode, 200)

  const own = Fastify()
  t.teardown(() => own.close())
  own.get('/metrics', async () => 'mine')
  registerGrpcHttpRoutes(own, [new GrpcGateway({ services: [kinds], telemetry: measured(new Registry()) })])
  t.equal((await own.inject('/metrics')).body, 'mine')

  const none = Fastify()
  t.teardown(() => none.close())
  registerGrpcHttpRoutes(none, [new GrpcGateway({ services: [kinds], telemetry: measured(new Registry(), { path: false }) })])
  t.equal((await none.inject('/metrics')).statusCode, 404)
})

t.test('the registry is the global one of prom-client, unless another is named', async t => {
  t.teardown(() => register.clear())
  const { post, request } = await serve(t, { services: [kinds], telemetry: { prometheus: { defaultMetrics: true, buckets: [1, 2] } } })
  await post('/grpc/kinds/unary')
  const { text } = await request('/metrics')
  t.match(text, /grpc_server_handling_seconds_bucket\{le="2",/)
  t.match(text, /process_cpu_user_seconds_total/)
  t.equal(await register.metrics().then(metrics => metrics.includes('grpc_server_started_total')), true)
  t.ok(new GrpcGateway({ services: [kinds], telemetry: { prometheus: { defaultMetrics: true } } }), 'another gateway shares it')
  t.throws(() => new GrpcGateway({ services: [kinds], telemetry: { prometheus: { buckets: [5] } } }), { code: 'FGG_ERR_OPTION', message: /buckets.*differ/ })
})

t.test('processes can be added up', async t => {
  const registries = [new Registry(), new Registry()]
  for (const registry of registries) {
    const app = Fastify()
    t.teardown(() => app.close())
    registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [kinds], telemetry: measured(registry) })])
    await app.inject({ method: 'POST', url: '/grpc/kinds/unary' })
  }
  const parts = await Promise.all(registries.map(registry => registry.getMetricsAsJSON()))
  const text = await AggregatorRegistry.aggregate(JSON.parse(JSON.stringify(parts))).metrics()
  t.match(text, /^grpc_server_handled_total\{[^}]*\} 2$/m)
  t.match(text, /^grpc_server_handling_seconds_bucket\{le="\+Inf"[^}]*\} 2$/m)
  t.match(text, /^grpc_server_handling_seconds_count\{[^}]*\} 2$/m)
})

t.test('wrong options are told', async t => {
  const cases: Array<[telemetry: unknown, message: RegExp]> = [
    [true, /must be an object/],
    [{ log: true }, /has no member `log`/],
    [{ accessLog: 'yes' }, /`accessLog` must be true, false or an object/],
    [{ accessLog: { level: 'loud' } }, /`level` must be one of debug, info, warn \(at accessLog\)/],
    [{ accessLog: { redact: 'x' } }, /`redact` must be a list/],
    [{ accessLog: { stream: {} } }, /`stream` must have a method write/],
    [{ accessLog: { skip: true } }, /`skip` must be a function/],
    [{ prometheus: { path: 'metrics' } }, /`path` must be false, or a plain path/],
    [{ prometheus: { buckets: [2, 1] } }, /`buckets` must be a list of seconds/],
    [{ prometheus: { buckets: [] } }, /`buckets` must be a list of seconds/],
    [{ prometheus: { registry: {} } }, /`registry` must be a Registry/],
    [{ prometheus: { port: 1 } }, /has no member `port`/],
    [{ openTelemetry: {} }, /`openTelemetry` must be true or false/]
  ]
  for (const [telemetry, message] of cases) t.throws(() => new GrpcGateway({ services: [kinds], telemetry: telemetry as never }), { code: 'FGG_ERR_OPTION', message }, JSON.stringify(telemetry))
})
