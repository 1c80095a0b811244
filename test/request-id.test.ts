/** Every reply of every protocol has the id by which the call is known to its handler, its interceptors and the log. */
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect as http2 } from 'node:http2'
import { connect } from 'node:net'
import { Metadata, ServerInterceptingCall, ServerListenerBuilder, type ServerInterceptor } from '@grpc/grpc-js'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { GrpcError, GrpcGateway, implement, status } from '../src/index.ts'
import { Greeter, Kinds, KINDS, callOverHttp, recordingLogger, serve, until, type CallContext, type Outcome, type Served } from './serving.ts'

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const ID = 'x-request-id'

const seen: string[] = []

function see (context: CallContext): void {
  seen.push(context.requestId)
  context.log.info({}, 'seen')
  if (context.metadata.get(ID).join() !== context.requestId) throw new Error('The metadata have another id')
}

/** `fail` fails, before or after a message; `hang` never answers. */
const kinds = implement(Kinds, {
  async Unary ({ text }, context) {
    see(context)
    if (text === 'fail') throw new GrpcError(status.NOT_FOUND, 'No such note')
    if (text === 'hang') await new Promise(() => {})
    return { text }
  },
  async * ServerStream ({ text }, context) {
    see(context)
    if (text === 'fail') throw new GrpcError(status.NOT_FOUND, 'No such note')
    yield { text }
    if (text === 'fail later') throw new GrpcError(status.NOT_FOUND, 'No such note')
  },
  async ClientStream (notes, context) {
    see(context)
    for await (const { text } of notes) if (text === 'fail') throw new GrpcError(status.NOT_FOUND, 'No such note')
    return {}
  },
  async * Bidi (notes, context) {
    see(context)
    for await (const note of notes) {
      if (note.text === 'fail') throw new GrpcError(status.NOT_FOUND, 'No such note')
      yield note
    }
  }
})

function metadataOf (entries: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value)
  return metadata
}

/** Where a gRPC reply has its id: in the initial metadata, or in the trailers when there is nothing else. */
function idsOf ({ metadata, trailers }: Outcome): unknown[] {
  return [metadata.get(ID)[0], trailers.get(ID)[0]]
}

t.test('the id of a call over gRPC comes with its initial metadata, or with its trailers when there is nothing else', async t => {
  const { client } = await serve(t, { services: [kinds] })
  const { call } = client(Kinds)
  for (const kind of KINDS) {
    seen.length = 0
    const chosen = await call(kind, [{ text: 'a' }], { metadata: metadataOf({ [ID]: 'mine' }) })
    t.same([chosen.code, ...idsOf(chosen)], [status.OK, 'mine', undefined], kind)
    const made = await call(kind, [{ text: 'a' }])
    t.match(idsOf(made), [UUID_V4, undefined], kind)
    t.same(seen, ['mine', idsOf(made)[0]], kind)

    const failed = await call(kind, [{ text: 'fail' }], { metadata: metadataOf({ [ID]: 'mine' }) })
    t.same([failed.code, ...idsOf(failed)], [status.NOT_FOUND, undefined, 'mine'], `${kind}, failed`)
  }
  const late = await call('ServerStream', { text: 'fail later' }, { metadata: metadataOf({ [ID]: 'mine' }) })
  t.same([late.code, ...idsOf(late)], [status.NOT_FOUND, 'mine', undefined])
})

t.test('replies over gRPC that no handler gives have the id too', async t => {
  const refuse = (when: string): ServerInterceptor => (_method, call) => new ServerInterceptingCall(call, {
    start (next) {
      const refusal = { code: status.PERMISSION_DENIED, details: when }
      if (when === 'before the start') call.sendStatus(refusal)
      else next(new ServerListenerBuilder().withOnReceiveMetadata(() => call.sendStatus(refusal)).build())
    }
  })
  for (const when of ['before the start', 'by its metadata']) {
    const { client } = await serve(t, { services: [kinds], interceptors: [refuse(when)] })
    const refused = await client(Kinds).call('Unary', {}, { metadata: metadataOf({ [ID]: 'mine' }) })
    t.same([refused.details, ...idsOf(refused)], [when, undefined, 'mine'])
  }

  const { client, gateway } = await serve(t, { services: [kinds], limits: { messageBytes: 1000 }, timeout: { max: 50 } })
  const { Unary } = Kinds
  const { call } = client({ Unary, Unknown: { ...Unary, path: '/test.Kinds/Unknown' }, Nobody: { ...Unary, path: '/nobody.Nothing/Do' }, Mangled: { ...Unary, requestSerialize: () => Buffer.from([255]) } })
  const cases: Array<[method: string, request: object, code: number, details: string | RegExp]> = [
    ['Unknown', {}, status.UNIMPLEMENTED, 'The server does not implement the method /test.Kinds/Unknown'],
    ['Nobody', {}, status.UNIMPLEMENTED, 'The server does not implement the method /nobody.Nothing/Do'],
    ['Mangled', {}, status.INTERNAL, 'Error deserializing request'],
    ['Unary', { text: 'x'.repeat(2000) }, status.RESOURCE_EXHAUSTED, /2003 vs 1000/],
    ['Unary', { text: 'hang' }, status.DEADLINE_EXCEEDED, /timed out after 0.05s/]
  ]
  for (const [method, request, code, details] of cases) {
    const outcome = await call(method, request, { metadata: metadataOf({ [ID]: 'mine' }) })
    t.match([outcome.code, outcome.details, ...idsOf(outcome)], [code, details, undefined, 'mine'], String(details))
    t.match(idsOf(await call(method, request)), [undefined, UUID_V4], String(details))
  }

  // grpc-js keeps the deadline that the client sets, and refuses what is none.
  const session = http2(`http://${gateway.address}`)
  t.teardown(() => session.destroy())
  for (const [timeout, code] of [['20m', status.DEADLINE_EXCEEDED], ['soon', status.INTERNAL]] as const) {
    const request = session.request({ ':method': 'POST', ':path': '/test.Kinds/Unary', 'content-type': 'application/grpc', te: 'trailers', 'grpc-timeout': timeout, [ID]: 'mine' })
    const [headers] = await once(request, 'response')
    t.match(headers, { 'grpc-status': String(code), [ID]: 'mine' }, timeout)
    request.close()
  }
})

t.test('what a handler sends under that name does not replace the id, and is its own', async t => {
  const shared = metadataOf({ [ID]: 'forged', other: '1' })
  const service = implement(Greeter, {
    SayHello (_request, context) {
      context.sendHeaders(shared)
      context.trailers.set(ID, 'trailing')
      return { message: '' }
    }
  })
  const { client, post } = await serve(t, { services: [service] })
  const { metadata, trailers } = await client(Greeter).call('SayHello', {}, { metadata: metadataOf({ [ID]: 'mine' }) })
  t.same([metadata.get(ID), metadata.get('other'), trailers.get(ID)], [['mine'], ['1'], ['trailing']])
  const { headers } = await post('/grpc/greeter/sayhello', {}, { [ID]: 'mine' })
  t.same([headers.get(ID), headers.get('other'), headers.get(`grpc-trailer-${ID}`)], ['mine', '1', 'trailing'])
  t.same(shared.get(ID), ['forged'])
})

const HARMLESS = ['a', '0', 'req_1.2-3', 'a:b/c+d=e@f~g', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'x'.repeat(128)]
const HOSTILE = ['', ' ', 'a b', 'x'.repeat(129), '"quoted"', '<script>', '{"a":1}', 'a;rm -rf', '$(id)', '`id`', '%0d%0a', 'a,b', '\\n', '${jndi:ldap://x}', "'", 'a|b', 'a\tb'] // eslint-disable-line no-template-curly-in-string

t.test('clients choose harmless ids; others are replaced, for handlers too', async t => {
  const { client, post } = await serve(t, { services: [kinds] })
  const { call } = client(Kinds)
  for (const id of HARMLESS) {
    t.equal(idsOf(await call('Unary', {}, { metadata: metadataOf({ [ID]: id }) }))[0], id)
    t.equal((await post('/grpc/kinds/unary', {}, { [ID]: id })).headers.get(ID), id)
  }
  for (const id of HOSTILE) {
    t.match((await post('/grpc/kinds/unary', {}, { [ID]: id })).headers.get(ID), UUID_V4, id)
    // A tab is no gRPC metadata.
    if (id.includes('\t')) continue
    const made = idsOf(await call('Unary', {}, { metadata: metadataOf({ [ID]: id }) }))[0]
    t.match(made, UUID_V4, id)
    t.equal(seen.at(-1), made)
  }
  const both = metadataOf({ [ID]: 'one' })
  both.add(ID, 'two')
  t.match(idsOf(await call('Unary', {}, { metadata: both }))[0], UUID_V4, 'two ids')
})

t.test('ids that the app makes are used as far as they are harmless', async t => {
  for (const [made, expected] of [['app-7', 'app-7'], ['a b', UUID_V4], ['req-1', UUID_V4]] as const) {
    const app = Fastify({ genReqId: () => made })
    const { post } = await serve(t, { services: [kinds] }, { app })
    t.match((await post('/grpc/kinds/unary', {})).headers.get(ID), expected, made)
  }
  const app = Fastify({ requestIdHeader: 'x-correlation-id' })
  const { post } = await serve(t, { services: [kinds] }, { app })
  t.equal((await post('/grpc/kinds/unary', {}, { 'x-correlation-id': 'abc' })).headers.get(ID), 'abc')
  t.match((await post('/grpc/kinds/unary', {}, { 'x-correlation-id': '<b>' })).headers.get(ID), UUID_V4)
})

t.test('interceptors, handlers and the log know a call by the same id, on every protocol', async t => {
  const ids: string[] = []
  const watch: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, {
    start: next => next(new ServerListenerBuilder().withOnReceiveMetadata((metadata, forward) => {
      ids.push(String(metadata.get(ID)))
      forward(metadata)
    }).build())
  })
  const logger = recordingLogger()
  const app = Fastify()
  await app.register(import('@fastify/websocket'))
  const { client, url } = await serve(t, { services: [kinds], interceptors: [watch], logger }, { app })
  const replies: Record<string, () => Promise<unknown>> = {
    gRPC: async () => idsOf(await client(Kinds).call('Unary', {}))[0],
    HTTP: async () => (await callOverHttp(`${url}/grpc/kinds/unary`, Kinds.Unary, {})).metadata.get(ID)[0],
    WebSocket: async () => (await webSocketCall(t, url, '/grpc/kinds/unary')).id
  }
  for (const [protocol, reply] of Object.entries(replies)) {
    for (const list of [ids, seen, logger.lines]) list.length = 0
    const id = await reply()
    t.match(id, UUID_V4, protocol)
    t.same([ids, seen, logger.lines.map(({ fields }) => fields.requestId)], [[id], [id], [id]], protocol)
  }
})

t.test('every reply over HTTP has the id', async t => {
  const app = Fastify()
  app.addHook('preHandler', async request => {
    if (request.headers.hook === 'throw') throw new Error('A hook failed')
    if (request.headers.hook === 'refuse') throw Object.assign(new Error('Who are you?'), { statusCode: 401 })
  })
  const { url, gateway } = await serve(t, { services: [kinds], httpMethods: ['GET'], limits: { messageBytes: 1000 } }, { app })
  const json = { 'content-type': 'application/json' }
  const unary = '/grpc/kinds/unary'
  const stream = '/grpc/kinds/serverstream'
  const cases: Array<[name: string, status: number, path: string, init: RequestInit]> = [
    ['a message', 200, unary, { method: 'POST' }],
    ['a message for GET', 200, unary, {}],
    ['HEAD', 200, unary, { method: 'HEAD' }],
    ['NDJSON', 200, stream, { method: 'POST' }],
    ['server-sent events', 200, stream, { method: 'POST', headers: { accept: 'text/event-stream' } }],
    ['an array', 200, stream, { method: 'POST', headers: { accept: 'application/json' } }],
    ['a stream that fails at once', 404, stream, { method: 'POST', headers: json, body: '{"text":"fail"}' }],
    ['an upload', 200, '/grpc/kinds/clientstream', { method: 'POST', headers: json, body: '[{}]' }],
    ['OPTIONS', 204, unary, { method: 'OPTIONS' }],
    ['another method', 405, unary, { method: 'PUT' }],
    ['no such RPC', 404, '/grpc/kinds/nothing', { method: 'POST' }],
    ['an error of the handler', 404, unary, { method: 'POST', headers: json, body: '{"text":"fail"}' }],
    ['no JSON', 400, unary, { method: 'POST', headers: json, body: '{' }],
    ['a wrong header', 400, unary, { method: 'POST', headers: { 'grpc-timeout': 'soon' } }],
    ['a media type that is not acceptable', 406, stream, { method: 'POST', headers: { accept: 'image/png' } }],
    ['too large a body', 413, unary, { method: 'POST', headers: json, body: JSON.stringify({ text: 'x'.repeat(1000) }) }],
    ['another media type', 415, unary, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' }],
    ['another media type for a stream', 415, '/grpc/kinds/bidi', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' }],
    ['a deadline', 504, unary, { method: 'POST', headers: { ...json, 'grpc-timeout': '20m' }, body: '{"text":"hang"}' }],
    ['a hook that throws', 500, unary, { method: 'POST', headers: { hook: 'throw' } }],
    ['a hook that refuses', 401, unary, { method: 'POST', headers: { hook: 'refuse' } }]
  ]
  async function check (name: string, code: number, path: string, init: RequestInit): Promise<void> {
    const chosen = await fetch(url + path, { ...init, headers: { ...init.headers, [ID]: 'mine' } })
    await chosen.arrayBuffer()
    t.same([chosen.status, chosen.headers.get(ID)], [code, 'mine'], name)
    const made = await fetch(url + path, init)
    await made.arrayBuffer()
    t.match(made.headers.get(ID), UUID_V4, name)
  }
  for (const one of cases) await check(...one)
  await gateway.shutdown()
  await check('a gateway that is shut down', 503, unary, { method: 'POST' })
})

t.test('an app that closes tells the id with its last answers, and with its 503', async t => {
  for (const standalone of [false, true]) {
    const { app } = standalone ? await listening(t) : await serve(t, { services: [kinds] })
    const arrived = once(app.server, 'request')
    const { port } = app.server.address() as { port: number }
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    let text = ''
    socket.on('data', chunk => { text += chunk })
    const ended = once(socket, 'close')
    const post = (body: string): string => `POST /grpc/kinds/unary HTTP/1.1\r\nhost: a\r\n${ID}: mine\r\ncontent-length: ${body.length}\r\n\r\n`
    // A connection on which a request is open stays open.
    socket.write(`${post('{}')}{`)
    await arrived
    const closed = app.close()
    await until(() => !app.server.listening, 'the app to close')
    socket.write(`}${post('{}')}{}`)
    await Promise.all([closed, ended])
    const late = standalone ? '200' : '503'
    t.same([...text.matchAll(/HTTP\/1.1 (\d+)|^x-request-id: (\S+)/gm)].map(([, code, id]) => code ?? id), ['200', 'mine', late, 'mine'])
  }
})

async function listening (t: Test): Promise<Pick<Served, 'app' | 'url' | 'gateway'>> {
  const gateway = new GrpcGateway({ services: [kinds], port: 0 })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', webSocket: true, fastify: { logger: false, http: { maxHeaderSize: 4000 } } as object })
  t.teardown(() => gateway.shutdown({ graceMs: 0 }))
  const { port } = app.server.address() as { port: number }
  return { gateway, app, url: `http://127.0.0.1:${port}` }
}

t.test('malformed requests get the id from an app that the gateway has made', async t => {
  const { app } = await listening(t)
  const { port } = app.server.address() as { port: number }
  const cases: Array<[status: number, request: string]> = [
    [400, 'POST /grpc/%zz HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'],
    [400, 'NONSENSE\r\n\r\n'],
    [431, `POST / HTTP/1.1\r\nx: ${'x'.repeat(5000)}\r\n\r\n`],
    [400, 'GET /grpc/%zz HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n']
  ]
  for (const [code, request] of cases) {
    const socket = connect(port, '127.0.0.1', () => socket.write(request))
    let text = ''
    socket.on('data', chunk => { text += chunk })
    await once(socket, 'close')
    t.match(text, new RegExp(`^HTTP/1.1 ${code} [^]*\r\nx-request-id: [0-9a-f-]{36}\r\n`), request.slice(0, 20))
    if (text.includes('problem+json')) t.match(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))), { status: code, detail: /./ })
  }
})

/** A call with one message: the ids of the answer to the upgrade and of the last frame. */
async function webSocketCall (t: Test, url: string, path: string, headers: Record<string, string> = {}, message = '{}'): Promise<{ id: unknown, frame: any }> {
  const socket = new WebSocket(url.replace('http', 'ws') + path, { headers })
  t.teardown(() => socket.terminate())
  const frames: string[] = []
  socket.on('message', (data, isBinary) => { if (isBinary) frames.push(String(data)) })
  socket.on('open', () => socket.send(message))
  const [[response]] = await Promise.all([once(socket, 'upgrade'), once(socket, 'close')])
  return { id: response.headers[ID], frame: JSON.parse(frames.at(-1)!) }
}

t.test('a WebSocket has the id in the answer to its upgrade and in its last frame', async t => {
  const app = Fastify()
  await app.register(import('@fastify/websocket'))
  const { url } = await serve(t, { services: [kinds] }, { app })
  for (const message of ['{}', '{"text":"fail"}', '{']) {
    const chosen = await webSocketCall(t, url, '/grpc/kinds/unary', { [ID]: 'mine' }, message)
    t.same([chosen.id, chosen.frame.requestId], ['mine', 'mine'], message)
    const made = await webSocketCall(t, url, '/grpc/kinds/unary', { [ID]: 'a b' }, message)
    t.match(made.id, UUID_V4, message)
    t.equal(made.frame.requestId, made.id, message)
  }
  const refused: Array<[status: number, path: string, headers: Record<string, string>]> = [
    [404, '/grpc/kinds/nothing', {}],
    [400, '/grpc/kinds/unary', { 'grpc-timeout': 'soon' }],
    [400, '/grpc/kinds/unary', { 'sec-websocket-protocol': 'chat' }]
  ]
  for (const [code, path, headers] of refused) {
    const request = httpRequest(url + path, { headers: { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==', [ID]: 'mine', ...headers } }).end()
    const [response] = await once(request, 'response')
    response.resume()
    t.match([response.statusCode, response.headers[ID]], [code, 'mine'], path)
  }
})
