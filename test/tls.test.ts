/** gRPC and HTTP over TLS: versions, handshakes and who the client is. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { Agent } from 'node:https'
import { connect as connectTcp, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls, { type ConnectionOptions } from 'node:tls'
import { credentials, ServerCredentials, status as codes, type ChannelCredentials } from '@grpc/grpc-js'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { makeCertificates } from '../examples/mutual-tls/certificates.ts'
import { GrpcGateway, implement, type CallContext, type ListenOptions, type TlsOptions } from '../src/index.ts'
import { authority, clientPair, handshake, postHttp2, postHttps, shownName } from './certificates.ts'
import { fetchReply, Greeter, grpcClient, recordingLogger, serve } from './serving.ts'

const files = await makeCertificates(mkdtempSync(join(tmpdir(), 'tls-test-')))
const pem = Object.fromEntries(Object.entries(files).map(([name, path]) => [name, readFileSync(path)])) as Record<keyof typeof files, Buffer>
const service = implement(Greeter, { SayHello: (_request, context: CallContext) => ({ message: String(context.authContext.sslPeerCertificate?.subject.CN ?? 'nobody') }) })

const HELLO = '/grpc/greeter/sayhello'
const deadline = (): number => Date.now() + 2000
const serverOnly = credentials.createSsl(pem.ca)
const withClient = credentials.createSsl(pem.ca, pem.clientKey, pem.clientCert)

t.test('tls takes paths, PEM strings and buffers', async t => {
  const forms = {
    paths: { key: files.serverKey, cert: files.serverCert },
    strings: { key: pem.serverKey.toString(), cert: pem.serverCert.toString() },
    buffers: { key: pem.serverKey, cert: pem.serverCert }
  }
  for (const [form, tls] of Object.entries(forms)) {
    const { client } = await serve(t, { services: [service], tls })
    t.match(await client(Greeter, serverOnly).call('SayHello', {}, { deadline: deadline() }), { code: codes.OK, messages: [{ message: 'nobody' }] }, form)
    t.match(await client(Greeter).call('SayHello', {}, { deadline: Date.now() + 300 }), { code: /^(4|14)$/ }, `${form}: a client without TLS`)
  }
})

t.test('isSecure with serverCredentials', async t => {
  const serverCredentials = ServerCredentials.createSsl(null, [{ private_key: pem.serverKey, cert_chain: pem.serverCert }])
  const { client } = await serve(t, { services: [service], isSecure: true, serverCredentials })
  t.match(await client(Greeter, serverOnly).call('SayHello', {}, { deadline: deadline() }), { code: codes.OK })
})

t.test('requireClientCert refuses strangers and shows the handler who calls', async t => {
  const { client, post } = await serve(t, { services: [service], tls: { key: pem.serverKey, cert: pem.serverCert, ca: pem.ca, requireClientCert: true } })
  t.match(await client(Greeter, withClient).call('SayHello', {}, { deadline: deadline() }), { code: codes.OK, messages: [{ message: 'billing' }] })
  t.match(await client(Greeter, serverOnly).call('SayHello', {}, { deadline: Date.now() + 300 }), { code: /^(4|14)$/ })
  t.equal((await post('/grpc/greeter/sayhello', {})).json.message, 'nobody', 'over plain HTTP there is no certificate')
})

t.test('what is wrong with tls is said at construction', async t => {
  const make = (tls: object, more: object = {}) => () => new GrpcGateway({ services: [service], tls: tls as never, ...more })
  t.throws(make({ key: 'no/such/file.pem', cert: pem.serverCert }), { code: 'FGG_ERR_TLS', message: /tls\.key.*no\/such\/file\.pem/ })
  t.throws(make({ key: pem.serverKey }), { code: 'FGG_ERR_TLS', message: /tls\.cert/ })
  t.throws(make({ key: pem.serverKey, cert: pem.clientCert }), { code: 'FGG_ERR_TLS', message: /do not work together/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, requireClientCert: true }), { code: 'FGG_ERR_TLS', message: /tls\.ca/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, ca: pem.ca }), { code: 'FGG_ERR_TLS', message: /tls\.ca.*requireClientCert/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, keys: 1 }), { code: 'FGG_ERR_TLS', message: /tls\.keys.*does not exist/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, requireClientCert: false }), { code: 'FGG_ERR_TLS', message: /tls\.ca/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, ca: 'no-such.pem', requireClientCert: true }), { code: 'FGG_ERR_TLS', message: /tls\.ca.*no-such\.pem/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, ca: pem.serverKey, requireClientCert: true }), { code: 'FGG_ERR_TLS', message: /tls\.ca.*not usable/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert.subarray(0, -40) }), { code: 'FGG_ERR_TLS', message: /tls\.cert.*cut off/ })
  for (const [name, value] of Object.entries({ key: 7, cert: '', ca: 7, requireClientCert: 'yes', minVersion: 'TLSv1.1', handshakeTimeoutMs: 0, reload: 1 })) {
    t.throws(make({ key: pem.serverKey, cert: pem.serverCert, [name]: value }), { code: 'FGG_ERR_TLS', message: new RegExp(`tls\\.${name}.*must be`) }, name)
  }
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert }, { isSecure: false }), { code: 'FGG_ERR_OPTION', message: /isSecure/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert }, { serverCredentials: ServerCredentials.createInsecure() }), { code: 'FGG_ERR_OPTION', message: /tls/ })
})

t.test('fetch of a plain gateway still works beside', async t => {
  const { url } = await serve(t, { services: [service] })
  t.equal((await fetchReply(`${url}/grpc/greeter/sayhello`, { method: 'POST' })).status, 200)
})

/** A gateway that serves HTTPS beside gRPC with the same certificates. */
async function serveSecure (t: Test, tls: Partial<TlsOptions> = {}, listen: ListenOptions = {}): Promise<{ gateway: GrpcGateway, app: FastifyInstance, http: number, logger: ReturnType<typeof recordingLogger> }> {
  const logger = recordingLogger()
  const gateway = new GrpcGateway({ services: [service], port: 0, logger, tls: { key: files.serverKey, cert: files.serverCert, ...tls } })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', tls: true, ...listen })
  t.teardown(() => gateway.shutdown({ graceMs: 100 }))
  return { gateway, app, http: (app.server.address() as AddressInfo).port, logger }
}

const client = { ca: pem.ca, key: pem.clientKey, cert: pem.clientCert }

/** Who the handler takes the client for, by every protocol of a gateway that serves HTTP/2 and WebSockets too. */
async function identities (gateway: GrpcGateway, http: number, tls: ConnectionOptions, channel: ChannelCredentials): Promise<Record<string, string>> {
  const grpc = grpcClient(Greeter, gateway.address, channel)
  const socket = new WebSocket(`wss://127.0.0.1:${http}/grpc/greeter/sayhello`, 'json', { servername: 'localhost', ...tls })
  socket.on('open', () => socket.send('{}'))
  const [{ messages }, http1, http2, [frame]] = await Promise.all([
    grpc.call('SayHello', {}, { deadline: deadline() }),
    postHttps(http, HELLO, '{}', tls as object),
    postHttp2(http, HELLO, '{}', tls),
    once(socket, 'message')
  ])
  grpc.raw.close()
  socket.terminate()
  return { grpc: (messages[0] as { message: string }).message, http1: JSON.parse(http1.text).message, http2: JSON.parse(http2.text).message, webSocket: JSON.parse(String(frame)).message }
}

const everyProtocol = (name: string): Record<string, string> => ({ grpc: name, http1: name, http2: name, webSocket: name })

t.test('mutual TLS on every protocol: the handler knows who calls', async t => {
  const { gateway, http } = await serveSecure(t, { ca: files.ca, requireClientCert: true }, { fastify: { http2: true }, webSocket: true })
  t.same(await identities(gateway, http, client, withClient), everyProtocol('billing'))
  await t.rejects(postHttps(http, HELLO, '{}', { ca: pem.ca }), 'a client without a certificate')
  const stranger = await clientPair(await authority('Another CA'), 'billing')
  await t.rejects(postHttps(http, HELLO, '{}', { ca: pem.ca, ...stranger }), 'one of another authority')
  await t.rejects(postHttp2(http, HELLO, '{}', { ca: pem.ca, ...stranger }), 'by HTTP/2 too')
  const overGrpc = grpcClient(Greeter, gateway.address, credentials.createSsl(pem.ca, Buffer.from(stranger.key), Buffer.from(stranger.cert)))
  t.match(await overGrpc.call('SayHello', {}, { deadline: Date.now() + 300 }), { code: /^(4|14)$/ })
  overGrpc.raw.close()
})

t.test('with requireClientCert: false clients are asked for a certificate, and served without', async t => {
  const { gateway, http } = await serveSecure(t, { ca: files.ca, requireClientCert: false }, { fastify: { http2: true }, webSocket: true })
  t.same(await identities(gateway, http, client, withClient), everyProtocol('billing'))
  t.same(await identities(gateway, http, { ca: pem.ca }, serverOnly), everyProtocol('nobody'))
  const stranger = await clientPair(await authority('Another CA'), 'billing')
  const channel = credentials.createSsl(pem.ca, Buffer.from(stranger.key), Buffer.from(stranger.cert))
  t.same(await identities(gateway, http, { ca: pem.ca, ...stranger }, channel), everyProtocol('nobody'), 'a certificate of another authority is no identity')
})

t.test('listen takes TLS options of its own', async t => {
  const gateway = new GrpcGateway({ services: [service], port: 0 })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', tls: { key: pem.serverKey, cert: pem.serverCert, ca: pem.ca, requireClientCert: true } })
  t.teardown(() => app.close())
  t.match(await postHttps((app.server.address() as AddressInfo).port, HELLO, '{}', client), { status: 200, text: '{"message":"billing"}' })
  const overGrpc = grpcClient(Greeter, gateway.address)
  t.match(await overGrpc.call('SayHello', {}, { deadline: deadline() }), { code: codes.OK, messages: [{ message: 'nobody' }] }, 'gRPC stays without')
  overGrpc.raw.close()
})

t.test('what is wrong with the tls of listen is said', async t => {
  const plain = new GrpcGateway({ services: [service], port: 0 })
  await t.rejects(plain.listen({ port: 0, tls: true }), { code: 'FGG_ERR_LISTEN_OPTION', message: /`tls`.*gateway has no `tls`/ })
  await t.rejects(plain.listen({ port: 0, tls: { key: 'no-such.pem', cert: files.serverCert } }), { code: 'FGG_ERR_TLS', message: /tls\.key.*no-such\.pem/ })
  await t.rejects(plain.listen({ port: 0, tls: 'yes' as never }), { code: 'FGG_ERR_LISTEN_OPTION', message: /`tls`/ })
  await t.rejects(plain.listen({ port: 0, tls: { key: files.serverKey, cert: files.serverCert }, fastify: { https: {} } }), { code: 'FGG_ERR_LISTEN_OPTION', message: /fastify\.https/ })
  const app = await plain.listen({ port: 0 })
  await app.close()
})

t.test('TLS before 1.2 is refused on both ports, whatever the default of the process', async t => {
  const before = tls.DEFAULT_MIN_VERSION
  t.teardown(() => { tls.DEFAULT_MIN_VERSION = before })
  tls.DEFAULT_MIN_VERSION = 'TLSv1'
  const { gateway, http } = await serveSecure(t)
  const strict = await serveSecure(t, { minVersion: 'TLSv1.3' })
  for (const port of [gateway.port, http]) {
    for (const version of ['TLSv1', 'TLSv1.1'] as const) {
      await t.rejects(handshake(port, { ca: pem.ca, minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0', ALPNProtocols: ['h2'] }), { message: /alert protocol version/ }, version)
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await handshake(port, { ca: pem.ca, minVersion: version, maxVersion: version })
      t.equal(socket.getProtocol(), version)
      socket.destroy()
    }
  }
  for (const port of [strict.gateway.port, strict.http]) {
    await t.rejects(handshake(port, { ca: pem.ca, maxVersion: 'TLSv1.2' }), { message: /alert protocol version/ })
  }
})

t.test('a handshake that hangs is cut off, and what is no TLS harms nobody', async t => {
  const { gateway, http, logger } = await serveSecure(t, { handshakeTimeoutMs: 200 })
  for (const port of [gateway.port, http]) {
    const silent = connectTcp(port, '127.0.0.1').on('error', () => {})
    await once(silent, 'close')
    const garbage = connectTcp(port, '127.0.0.1').on('error', () => {})
    garbage.end('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    garbage.resume()
    await once(garbage, 'close')
    const leaves = connectTcp(port, '127.0.0.1').on('error', () => {})
    leaves.write(Buffer.from('160301010001', 'hex'), () => leaves.resetAndDestroy())
    await once(leaves, 'close')
    const raw = connectTcp(port, '127.0.0.1').on('error', () => {})
    await handshake(port, { ca: pem.ca, socket: raw, servername: 'localhost', ALPNProtocols: ['h2', 'http/1.1'] })
    raw.resetAndDestroy()
  }
  t.equal(await shownName(gateway.port, { ca: pem.ca }), 'localhost')
  t.match(await postHttps(http, HELLO, '{}', { ca: pem.ca }), { status: 200 })
  t.same(logger.lines.filter(({ level }) => level !== 'info'), [], 'nothing is logged of it')
})

t.test('an app that serves HTTP/2 over TLS closes beside clients that keep their connections', async t => {
  const { app, http } = await serveSecure(t, {}, { fastify: { http2: true } })
  const session = connectHttp2(`https://localhost:${http}`, { ca: pem.ca }).on('error', () => {})
  await once(session, 'connect')
  const agent = new Agent({ keepAlive: true })
  await postHttps(http, HELLO, '{}', { ca: pem.ca, agent })
  const closed = once(session, 'close')
  await app.close()
  await closed
  agent.destroy()
  t.equal(app.server.listening, false)
})
