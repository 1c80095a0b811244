/** One port for gRPC, HTTP/1.1, HTTP/2 and WebSockets, in clear text and over TLS. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { Agent } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { credentials, Server, ServerCredentials, status as codes } from '@grpc/grpc-js'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { shareHttp2 } from '../src/grpc/shared-http2.ts'
import { GrpcError, GrpcGateway, implement, type CallContext, type GatewayOptions, type ListenOptions } from '../src/index.ts'
import { authority, clientPair, handshake, postHttp2, postHttps, serverPair, shownName } from './certificates.ts'
import { callOverHttp, fetchReply, Greeter, grpcClient, KINDS, Kinds, recordingLogger, sleep, until, type Note, type TestClient } from './serving.ts'

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const HELLO = '/grpc/greeter/sayhello'
const json = { 'content-type': 'application/json' }

const greeter = implement(Greeter, {
  SayHello: (_request, { protocol, peer, authContext }: CallContext) => ({ message: [protocol, peer.replace(/:\d+$/, ''), authContext.sslPeerCertificate?.subject.CN ?? 'nobody'].join(' ') })
})

async function * echo (notes: AsyncIterable<Note>, context: CallContext): AsyncGenerator<Partial<Note>> {
  for await (const { text } of notes) {
    if (text === 'fail') throw new GrpcError(codes.DATA_LOSS, 'as asked')
    yield { text }
  }
  context.trailers.set('cost', '7')
}

/** Calls that wait until they are released, and why others have ended. */
const held: Array<() => void> = []
const aborted: unknown[] = []

async function hold ({ signal }: CallContext): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    held.push(resolve)
    signal.addEventListener('abort', () => {
      aborted.push(signal.reason.code)
      reject(signal.reason)
    })
  })
}

const kinds = implement(Kinds, {
  async Unary ({ text, n }, context) {
    if (text === 'hold') await hold(context)
    if (text === 'fail') throw new GrpcError(codes.NOT_FOUND, 'as asked')
    context.trailers.set('cost', '7')
    return { text: n === '0' ? text : text.repeat(Number(n)) }
  },
  async * ServerStream ({ text, n }, context) {
    for (let i = 0; i < Number(n); i++) yield { text: `${text}${i}` }
    if (text === 'hold') await hold(context)
    context.trailers.set('cost', '7')
  },
  async ClientStream (notes, context) {
    let text = ''
    for await (const note of echo(notes, context)) text += note.text
    return { text }
  },
  Bidi: echo
})

interface OnePort { gateway: GrpcGateway, app: FastifyInstance, port: number, url: string, client (definition?: object): TestClient }

async function serveOne (t: Test, options: Partial<GatewayOptions> = {}, listen: ListenOptions = {}, channel = credentials.createInsecure()): Promise<OnePort> {
  const gateway = new GrpcGateway({ services: [greeter, kinds], logger: recordingLogger(), ...options })
  const app = await gateway.listen({ port: 0, singlePort: true, fastify: { logger: false }, ...listen })
  const clients: TestClient[] = []
  t.teardown(async () => {
    for (const client of clients) client.raw.close()
    await gateway.shutdown({ graceMs: 100 })
  })
  return {
    gateway,
    app,
    port: gateway.port,
    url: `http://${gateway.address}`,
    client (definition = Kinds) {
      const client = grpcClient(definition, gateway.address, channel)
      clients.push(client)
      return client
    }
  }
}

function http2Session (t: Test, port: number, tls?: ConnectionOptions): ClientHttp2Session {
  const session = tls === undefined ? connectHttp2(`http://127.0.0.1:${port}`) : connectHttp2(`https://127.0.0.1:${port}`, { servername: 'localhost', ...tls })
  t.teardown(() => session.destroy())
  return session.on('error', () => {})
}

interface Streamed { stream: ClientHttp2Stream, text: string, status: number, trailers: Record<string, unknown>, closed: Promise<unknown> }

function request (session: ClientHttp2Session, path: string, headers: Record<string, string>, body?: string | Buffer): Streamed {
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers })
  const streamed: Streamed = { stream, text: '', status: 0, trailers: {}, closed: once(stream, 'close').catch(() => {}) }
  stream.on('error', () => {})
  stream.on('response', headers => { streamed.status = headers[':status']! })
  stream.on('trailers', trailers => { streamed.trailers = trailers })
  stream.on('data', chunk => { streamed.text += chunk })
  if (body !== undefined) stream.end(body)
  return streamed
}

const grpcHeaders = { 'content-type': 'application/grpc', te: 'trailers' }

function grpcFrame (note: Partial<Note>): Buffer {
  const bytes = Kinds.Unary.requestSerialize(note as Note)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([prefix, bytes])
}

function rawSocket (t: Test, port: number): Socket & { text: string } {
  const socket = Object.assign(connect(port, '127.0.0.1'), { text: '' })
  socket.on('error', () => {}).on('data', chunk => { socket.text += chunk })
  t.teardown(() => socket.destroy())
  return socket
}

t.test('one port answers gRPC, HTTP/1.1, HTTP/2 and WebSockets, which know their protocol and their peer', async t => {
  const { gateway, client, port, url } = await serveOne(t, {}, { webSocket: true })
  t.equal(gateway.address, `127.0.0.1:${port}`)
  t.match(await client(Greeter).call('SayHello', {}), { code: codes.OK, messages: [{ message: 'grpc 127.0.0.1 nobody' }] })
  t.match(await fetchReply(url + HELLO, { method: 'POST', body: '{}', headers: json }), { status: 200, json: { message: 'http 127.0.0.1 nobody' } })
  t.same(await postHttp2(port, HELLO, '{}'), { status: 200, text: '{"message":"http 127.0.0.1 nobody"}' })
  const socket = new WebSocket(`ws://127.0.0.1:${port}${HELLO}`, 'json')
  socket.on('open', () => socket.send('{}'))
  t.equal(String((await once(socket, 'message'))[0]), '{"message":"websocket 127.0.0.1 nobody"}')
  t.equal((await fetchReply(`${url}/readyz`)).status, 200)
})

t.test('every kind of call, with errors and trailers, over gRPC and over HTTP', async t => {
  const { client, url } = await serveOne(t)
  const notes = [{ text: 'a' }, { text: 'b' }]
  const expected = { Unary: [{ text: 'a' }], ServerStream: [{ text: 'a0' }, { text: 'a1' }], ClientStream: [{ text: 'ab' }], Bidi: notes }
  for (const kind of KINDS) {
    const requests = Kinds[kind].requestStream ? notes : { text: 'a', n: kind === 'ServerStream' ? '2' : '0' }
    const ways = [client().call(kind, requests), callOverHttp(`${url}/grpc/kinds/${kind.toLowerCase()}`, Kinds[kind], requests)]
    for (const outcome of await Promise.all(ways)) {
      t.match(outcome, { code: codes.OK, messages: expected[kind] }, kind)
      t.same(outcome.trailers.get('cost'), ['7'], kind)
    }
  }
  t.match(await client().call('Bidi', [...notes, { text: 'fail' }]), { code: codes.DATA_LOSS, details: 'as asked', messages: notes })
  t.match(await client().call('Unary', { text: 'fail' }), { code: codes.NOT_FOUND, details: 'as asked' })
  const unknown = { Nope: { ...Kinds.Unary, path: '/test.Kinds/Nope' } }
  t.match(await client(unknown).call('Nope', {}), { code: codes.UNIMPLEMENTED })
})

t.test('deadlines and cancellation of calls over gRPC and over HTTP/2', async t => {
  const { client, port } = await serveOne(t)
  aborted.length = 0
  t.match(await client().call('Unary', { text: 'hold' }, { deadline: Date.now() + 1000 }), { code: codes.DEADLINE_EXCEEDED })
  await until(() => aborted.length === 1, 'the deadline')
  const abort = new AbortController()
  held.length = 0
  const cancelled = client().call('ServerStream', { text: 'hold', n: '1' }, { signal: abort.signal })
  await until(() => held.length === 1, 'the call')
  abort.abort()
  t.match(await cancelled, { code: codes.CANCELLED })
  await until(() => aborted.length === 2, 'the cancellation')

  const session = http2Session(t, port)
  const reset = request(session, '/grpc/kinds/unary', json, '{"text":"hold"}')
  await until(() => held.length === 2, 'the call over HTTP/2')
  reset.stream.close(8)
  await until(() => aborted.length === 3, 'its end')
  request(session, '/grpc/kinds/unary', json, '{"text":"hold"}')
  request(session, '/test.Kinds/Unary', grpcHeaders, grpcFrame({ text: 'hold' }))
  await until(() => held.length === 4, 'two calls of one connection')
  session.destroy()
  await until(() => aborted.length === 5, 'the end of both')
  // Of a deadline, the client's cancellation may come sooner than the server's own clock.
  t.same(aborted.slice(1), Array(4).fill(codes.CANCELLED))
})

t.test('messages of megabytes, both ways', async t => {
  const { client, port, url } = await serveOne(t)
  const text = 'x'.repeat(3_000_000)
  t.equal(((await client().call('Unary', { text, n: '2' })).messages[0] as Note | undefined)?.text.length, undefined, 'a response above the limit of the client')
  t.match(await client().call('Unary', { text }), { code: codes.OK, messages: [{ text }] })
  t.match(await fetchReply(`${url}/grpc/kinds/unary`, { method: 'POST', body: JSON.stringify({ text }), headers: json }), { json: { text } })
  t.equal((await postHttp2(port, '/grpc/kinds/unary', JSON.stringify({ text }))).text.length, text.length + '{"text":""}'.length)
  t.match(await client().call('Unary', { text: text + text }), { code: codes.RESOURCE_EXHAUSTED })
})

t.test('gRPC and REST share a connection of HTTP/2, told apart by their content type', async t => {
  const { port } = await serveOne(t)
  const session = http2Session(t, port)
  const grpc = request(session, '/test.Kinds/Unary', grpcHeaders, grpcFrame({ text: 'a' }))
  const proto = request(session, '/test.Kinds/Unary', { ...grpcHeaders, 'content-type': 'application/grpc+proto' }, grpcFrame({ text: 'a' }))
  const rest = request(session, '/grpc/kinds/unary', json, '{"text":"a"}')
  const bare = request(session, '/grpc/kinds/unary', {}, '{"text":"a"}')
  const uploads = request(session, '/grpc/kinds/bidi', { 'content-type': 'application/x-ndjson', te: 'trailers' })
  uploads.stream.write('{"text":"a"}\n')
  await until(() => uploads.text.includes('a'), 'the answer before the end of the request')
  uploads.stream.end('{"text":"b"}\n')
  await Promise.all([grpc, proto, rest, bare, uploads].map(({ closed }) => closed))
  t.match(grpc, { status: 200, trailers: { 'grpc-status': '0', cost: '7' } })
  t.match(proto, { status: 200, trailers: { 'grpc-status': '0' } })
  t.match(rest, { status: 200, text: '{"text":"a"}' })
  t.match(bare, { status: 200, text: '{"text":"a"}' })
  t.match(uploads, { status: 200, text: '{"text":"a"}\n{"text":"b"}\n' })
  for (const type of ['application/grpc-web', 'application/grpc-web+proto', 'application/grpcx', 'text/plain']) {
    const other = request(session, '/test.Kinds/Unary', { 'content-type': type }, 'x')
    await other.closed
    t.match(other, { status: 404, trailers: {} }, `${type} is none of gRPC`)
  }
})

t.test('the first bytes decide, however they come', async t => {
  const { port } = await serveOne(t)
  const pieces = rawSocket(t, port)
  for (const char of PREFACE) {
    pieces.write(char)
    await sleep(1)
  }
  await until(() => pieces.text.charCodeAt(3) === 4, 'the settings of HTTP/2')
  for (const method of ['PUT', 'PATCH', 'POST', 'PROPFIND', 'GET']) {
    const socket = rawSocket(t, port)
    socket.write(method.slice(0, 1))
    await sleep(20)
    socket.write(`${method.slice(1)} /nope HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`)
    await until(() => socket.text !== '', method)
    t.match(socket.text, /^HTTP\/1\.1 404 /, method)
  }
  for (const begun of ['PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', 'PRIMARY / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x02\x00', '\0\0\0']) {
    const socket = rawSocket(t, port)
    socket.write(begun)
    await until(() => socket.text !== '', begun)
    t.match(socket.text, /^HTTP\/1\.1 400 /, JSON.stringify(begun))
  }
})

t.test('HTTP/1.1 keeps connections alive, takes requests behind one another, and those who end their side', async t => {
  const { port } = await serveOne(t)
  const socket = rawSocket(t, port)
  const post = (body: string): string => `POST /grpc/kinds/unary HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  socket.write(post('{"text":"one"}') + post('{"text":"two"}'))
  await until(() => socket.text.includes('two'), 'both answers')
  socket.end(post('{"text":"three"}'))
  await until(() => socket.text.includes('three'), 'the third')
  t.same(socket.text.match(/"text":"\w+"/g), ['"text":"one"', '"text":"two"', '"text":"three"'])
})

t.test('who says nothing, or not enough, is cut off', async t => {
  const { port } = await serveOne(t, { limits: { requestMs: 200 } })
  for (const begun of ['', 'P', PREFACE.slice(0, -1)]) {
    const socket = rawSocket(t, port)
    if (begun !== '') socket.write(begun)
    await once(socket, 'close')
    t.equal(socket.text, '', JSON.stringify(begun))
  }
})

t.test('without a limit clients may take their time', async t => {
  const { port } = await serveOne(t, { limits: { requestMs: 0 } })
  const socket = rawSocket(t, port)
  await once(socket, 'connect')
  await sleep(50)
  socket.write('GET /nope HTTP/1.1\r\nhost: a\r\n\r\n')
  await until(() => socket.text !== '', 'the answer')
  t.match(socket.text, /^HTTP\/1\.1 404 /)
})

t.test('clients that go away at any point harm nobody', async t => {
  const { client, port, gateway } = await serveOne(t)
  for (const begun of ['', 'PRI', PREFACE, `${PREFACE}\0\0\0`, `${PREFACE}garbage that is no frame, for some bytes`, 'POST /', 'GET / HTTP/1.1\r\n\r\n']) {
    for (const leave of ['resetAndDestroy', 'end'] as const) {
      const socket = rawSocket(t, port)
      await once(socket, 'connect')
      if (begun !== '') await new Promise(resolve => socket.write(begun, resolve))
      const closed = once(socket, 'close')
      socket[leave]()
      await closed
    }
  }
  t.match(await client().call('Unary', { text: 'a' }), { code: codes.OK })
  t.equal(gateway.load.running, 0)
})

t.test('over TLS, ALPN decides, and identities are known to every protocol', async t => {
  const ca = await authority()
  const [server, billing] = [await serverPair(ca, 'first'), await clientPair(ca, 'billing')]
  const tls = { ca: ca.cert, servername: 'localhost', ...billing }
  const channel = credentials.createSsl(Buffer.from(ca.cert), Buffer.from(billing.key), Buffer.from(billing.cert))
  const { client, port } = await serveOne(t, { tls: { ...server, ca: ca.cert, requireClientCert: true } }, { webSocket: true }, channel)
  t.match(await client(Greeter).call('SayHello', {}), { code: codes.OK, messages: [{ message: 'grpc 127.0.0.1 billing' }] })
  t.match(await postHttps(port, HELLO, '{}', tls), { status: 200, text: '{"message":"http 127.0.0.1 billing"}' })
  t.match(await postHttp2(port, HELLO, '{}', tls), { status: 200, text: '{"message":"http 127.0.0.1 billing"}' })
  const socket = new WebSocket(`wss://127.0.0.1:${port}${HELLO}`, 'json', tls)
  socket.on('open', () => socket.send('{}'))
  t.equal(String((await once(socket, 'message'))[0]), '{"message":"websocket 127.0.0.1 billing"}')
  for (const [offered, chosen] of [[['h2', 'http/1.1'], 'h2'], [['http/1.1'], 'http/1.1'], [undefined, false]] as const) {
    const connection = await handshake(port, { ...tls, ...(offered === undefined ? {} : { ALPNProtocols: [...offered] }) })
    t.equal(connection.alpnProtocol, chosen)
    if (chosen !== 'h2') {
      connection.write('GET /nope HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
      t.match(String((await once(connection, 'data'))[0]), /^HTTP\/1\.1 404 /)
    }
    connection.destroy()
  }
  await t.rejects(postHttps(port, HELLO, '{}', { ca: ca.cert, servername: 'localhost' }), 'a client without a certificate')
  await t.rejects(handshake(port, { ...tls, maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }), { message: /alert protocol version/ })
  const session = http2Session(t, port, tls)
  const calls = [request(session, '/test.Greeter/SayHello', grpcHeaders, grpcFrame({})), request(session, HELLO, json, '{}')]
  await Promise.all(calls.map(({ closed }) => closed))
  for (const { text } of calls) t.match(text, /127\.0\.0\.1 billing/)
})

t.test('certificates of one port follow their files', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'single-port-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const ca = await authority()
  const tls = { key: join(folder, 'tls.key'), cert: join(folder, 'tls.crt') }
  const put = async (name: string): Promise<void> => {
    const { key, cert } = await serverPair(ca, name)
    writeFileSync(tls.key, key)
    writeFileSync(tls.cert, cert)
  }
  await put('first')
  const { client, port } = await serveOne(t, {}, { tls }, credentials.createSsl(Buffer.from(ca.cert)))
  const open = client()
  t.match(await open.call('Unary', {}), { code: codes.OK })
  t.equal(await shownName(port, { ca: ca.cert }), 'first')
  await put('second')
  for (let looks = 0; await shownName(port, { ca: ca.cert }) !== 'second'; looks++) {
    if (looks > 500) throw new Error('Waited in vain for the new certificate')
    await sleep(20)
  }
  t.match(await open.call('Unary', {}), { code: codes.OK })
  t.match(await postHttp2(port, HELLO, '{}', { ca: ca.cert }), { status: 200 })
})

t.test('a shutdown lets open calls of all protocols finish, tells their connections to go, and takes no new ones', async t => {
  const { client, gateway, app, port, url } = await serveOne(t)
  held.length = 0
  const session = http2Session(t, port)
  const overGrpc = client().call('Unary', { text: 'hold' })
  const overHttp1 = fetchReply(`${url}/grpc/kinds/unary`, { method: 'POST', body: '{"text":"hold"}', headers: json })
  const overHttp2 = request(session, '/grpc/kinds/serverstream', json, '{"text":"hold","n":"1"}')
  const raw = request(session, '/test.Kinds/ServerStream', grpcHeaders, grpcFrame({ text: 'hold', n: '1' }))
  await until(() => held.length === 4, 'the calls')
  const gone = once(session, 'goaway')
  const down = gateway.shutdown({ graceMs: 10_000 })
  t.equal((await gone)[0], 0, 'GOAWAY without error')
  await until(() => !app.server.listening, 'the port to close')
  await t.rejects(fetch(url), 'a new connection')
  for (const release of held) release()
  t.match(await overGrpc, { code: codes.OK, messages: [{ text: 'hold' }] })
  t.match(await overHttp1, { status: 200 })
  await Promise.all([overHttp2.closed, raw.closed])
  t.match(overHttp2, { status: 200, text: '{"text":"hold0"}\n' })
  t.match(raw, { trailers: { 'grpc-status': '0' } })
  await down
  t.equal(app.server.listening, false)
  await t.rejects(fetch(url))
})

t.test('calls that outlast the grace time end with UNAVAILABLE', async t => {
  const { client, gateway, port, url } = await serveOne(t)
  held.length = 0
  const session = http2Session(t, port)
  const overGrpc = client().call('Unary', { text: 'hold' })
  const overHttp1 = fetchReply(`${url}/grpc/kinds/unary`, { method: 'POST', body: '{"text":"hold"}', headers: json })
  const overHttp2 = request(session, '/grpc/kinds/unary', json, '{"text":"hold"}')
  await until(() => held.length === 3, 'the calls')
  await gateway.shutdown({ graceMs: 50 })
  t.match(await overGrpc, { code: codes.UNAVAILABLE })
  t.match(await overHttp1, { status: 503 })
  await overHttp2.closed
  t.match(overHttp2, { status: 503 })
})

t.test('an app closes beside clients that keep, begin, or do not read their connections', async t => {
  const { app, client, port, url } = await serveOne(t)
  const channel = client()
  await channel.call('Unary', {})
  const session = http2Session(t, port)
  await request(session, HELLO, json, '{}').closed
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  await callOverHttp(`${url}/grpc/kinds/unary`, Kinds.Unary, {})
  const [silent, begun, idle] = [rawSocket(t, port), rawSocket(t, port), rawSocket(t, port)]
  await Promise.all([silent, begun, idle].map(socket => once(socket, 'connect')))
  begun.write(PREFACE.slice(0, 10))
  const deaf = Object.assign(connect({ port, host: '127.0.0.1', allowHalfOpen: true }))
  t.teardown(() => deaf.destroy())
  deaf.on('error', () => {}).write(`${PREFACE}\0\0\0\x04\0\0\0\0\0`)
  idle.write(`${PREFACE}\0\0\0\x04\0\0\0\0\0`)
  await until(() => idle.text !== '', 'the settings of HTTP/2')
  await app.close()
  t.equal(app.server.listening, false)
})

t.test('a gateway can listen again, on one port or on two', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0, logger: recordingLogger() })
  const call = async (): Promise<number> => {
    const client = grpcClient(Greeter, gateway.address)
    return (await client.call('SayHello', {}, { deadline: Date.now() + 5000 }).finally(() => client.raw.close())).code
  }
  for (let i = 0; i < 2; i++) {
    const app = await gateway.listen({ singlePort: true, fastify: { logger: false } })
    t.equal(await call(), codes.OK)
    t.equal((app.server.address() as { port: number }).port, gateway.port)
    await t.rejects(gateway.listen({ singlePort: true }), { code: 'FGG_ERR_STATE' })
    await (i === 0 ? gateway.shutdown() : app.close())
    t.equal(gateway.port, 0)
  }
  await gateway.startup()
  t.equal(await call(), codes.OK)
  await t.rejects(gateway.listen({ singlePort: true }), { code: 'FGG_ERR_STATE', message: /port of its own/ })
  t.equal(await call(), codes.OK, 'and it goes on')
  const app = await gateway.listen({ port: 0 })
  t.not((app.server.address() as { port: number }).port, gateway.port)
  await gateway.shutdown()
})

t.test('nothing is left running when the port is taken', async t => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  t.teardown(() => blocker.close())
  const { port } = blocker.address() as { port: number }
  const gateway = new GrpcGateway({ services: [greeter], port })
  await t.rejects(gateway.listen({ singlePort: true, fastify: { logger: false } }), { code: 'EADDRINUSE' })
  t.equal(gateway.port, port)
})

t.test('what one port forbids is said by name', async t => {
  const pair = await serverPair(await authority(), 'first')
  const wrong: Array<[gateway: object, listen: object, message: RegExp]> = [
    [{}, { singlePort: 1 }, /`singlePort`/],
    [{ port: 50051 }, { port: 8000 }, /`port` of listen is 8000.*50051/],
    [{ host: '::1' }, { host: '127.0.0.1' }, /`host`/],
    [{}, { path: '/tmp/socket' }, /`path`/],
    [{ serverCredentials: ServerCredentials.createInsecure() }, {}, /`singlePort`.*`tls`/],
    [{ tls: pair }, { tls: false }, /`tls`/],
    [{ tls: pair }, { tls: pair }, /`tls`/],
    [{}, { tls: true }, /`tls`/],
    [{}, { fastify: { http2: true } }, /`fastify\.http2`/],
    [{}, { fastify: { https: {} } }, /`fastify\.https`/],
    [{}, { fastify: { serverFactory: () => {} } }, /`fastify\.serverFactory`/]
  ]
  for (const [gateway, listen, message] of wrong) {
    await t.rejects(new GrpcGateway({ services: [greeter], ...gateway }).listen({ singlePort: true, ...listen }), { code: 'FGG_ERR_LISTEN_OPTION', message })
  }
})

t.test('another grpc-js inside is told by its version', async t => {
  const fakes: Array<[server: object, version: string, message: RegExp]> = [
    [new Server(), '2.0.0', /grpc-js 2\.0\.0: only versions 1\.x/],
    [{}, '1.99.0', /grpc-js 1\.99\.0: .*http2Servers/],
    [{ http2Servers: new Map() }, '1.99.0', /createConnectionInjector/],
    [{ http2Servers: new Map(), createConnectionInjector () {} }, '1.99.0', /adds no HTTP\/2 server/],
    [{ http2Servers: new Map(), createConnectionInjector (this: { http2Servers: Map<object, object> }) { this.http2Servers.set({}, {}) } }, '1.99.0', /adds no HTTP\/2 server/]
  ]
  for (const [server, version, message] of fakes) {
    t.throws(() => shareHttp2(server as Server, () => {}, version), { code: 'FGG_ERR_SINGLE_PORT', message })
  }
  t.doesNotThrow(() => shareHttp2(new Server(), () => {}))
})

t.test('connections of one port have the age and idleness of the channel options, REST included', async t => {
  const aged = await serveOne(t, { channelOptions: { 'grpc.max_connection_age_ms': 200 } })
  const old = http2Session(t, aged.port)
  await Promise.all([once(old, 'goaway'), request(old, HELLO, json, '{}').closed])

  const { port } = await serveOne(t, { channelOptions: { 'grpc.max_connection_idle_ms': 300 } })
  const busy = http2Session(t, port)
  held.length = 0
  let isGone = false
  busy.once('goaway', () => { isGone = true })
  const call = request(busy, '/grpc/kinds/unary', json, '{"text":"hold"}')
  await until(() => held.length === 1, 'the call')
  await sleep(700)
  t.notOk(isGone, 'a connection with an open REST call is not idle')
  held[0]!()
  await call.closed
  t.match(call, { status: 200 })
  await until(() => isGone, 'the end of the idle connection')
})

t.test('curl speaks each version of HTTP', async t => {
  const ca = await authority()
  const folder = mkdtempSync(join(tmpdir(), 'single-port-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'ca.pem'), ca.cert)
  const plain = await serveOne(t)
  const secure = await serveOne(t, { tls: await serverPair(ca, 'first') })
  const curl = async (url: string, ...flags: string[]): Promise<string> => await new Promise((resolve, reject) => {
    execFile('curl', ['-sS', '-m', '10', '-X', 'POST', '-d', '{}', '-H', 'content-type: application/json', '-w', ' %{http_version}', ...flags, url + HELLO], (error, stdout) => error === null ? resolve(stdout) : reject(error))
  })
  const answer = '{"message":"http 127.0.0.1 nobody"}'
  t.equal(await curl(plain.url), `${answer} 1.1`)
  t.equal(await curl(plain.url, '--http2-prior-knowledge'), `${answer} 2`)
  t.equal(await curl(plain.url, '--http2'), `${answer} 1.1`, 'an upgrade that is offered is not taken')
  const url = secure.url.replace('http:', 'https:')
  t.equal(await curl(url, '--cacert', join(folder, 'ca.pem')), `${answer} 2`)
  t.equal(await curl(url, '--cacert', join(folder, 'ca.pem'), '--http1.1'), `${answer} 1.1`)
})
