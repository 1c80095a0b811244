/** gRPC over TLS. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentials, ServerCredentials, status as codes } from '@grpc/grpc-js'
import t from 'tap'
import { makeCertificates } from '../examples/mutual-tls/certificates.ts'
import { GrpcGateway, implement, type CallContext } from '../src/index.ts'
import { fetchReply, Greeter, serve } from './serving.ts'

const files = await makeCertificates(mkdtempSync(join(tmpdir(), 'tls-test-')))
const pem = Object.fromEntries(Object.entries(files).map(([name, path]) => [name, readFileSync(path)])) as Record<keyof typeof files, Buffer>
const service = implement(Greeter, { SayHello: (_request, context: CallContext) => ({ message: String(context.authContext.sslPeerCertificate?.subject.CN ?? 'nobody') }) })

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

t.test('over HTTPS the client certificate is visible too', async t => {
  const { request } = await import('node:https')
  const gateway = new GrpcGateway({ services: [service], port: 0 })
  const app = await gateway.listen({ port: 0, fastify: { https: { key: pem.serverKey, cert: pem.serverCert, ca: pem.ca, requestCert: true, rejectUnauthorized: false } } })
  t.teardown(() => app.close())
  const { port } = app.server.address() as { port: number }
  const name = await new Promise<string>((resolve, reject) => {
    request({ port, host: '127.0.0.1', path: '/grpc/greeter/sayhello', method: 'POST', ca: pem.ca, key: pem.clientKey, cert: pem.clientCert }, response => {
      let text = ''
      response.on('data', chunk => { text += chunk }).on('end', () => resolve(JSON.parse(text).message))
    }).on('error', reject).end()
  })
  t.equal(name, 'billing')
})

t.test('what is wrong with tls is said at construction', async t => {
  const make = (tls: object, more: object = {}) => () => new GrpcGateway({ services: [service], tls: tls as never, ...more })
  t.throws(make({ key: 'no/such/file.pem', cert: pem.serverCert }), { code: 'FGG_ERR_TLS', message: /tls\.key.*no\/such\/file\.pem/ })
  t.throws(make({ key: pem.serverKey }), { code: 'FGG_ERR_TLS', message: /tls\.cert/ })
  t.throws(make({ key: pem.serverKey, cert: pem.clientCert }), { code: 'FGG_ERR_TLS', message: /do not work together/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, requireClientCert: true }), { code: 'FGG_ERR_TLS', message: /tls\.ca/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, ca: pem.ca }), { code: 'FGG_ERR_TLS', message: /tls\.ca.*requireClientCert/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert, keys: 1 }), { code: 'FGG_ERR_OPTION', message: /tls.*keys/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert }, { isSecure: false }), { code: 'FGG_ERR_OPTION', message: /isSecure/ })
  t.throws(make({ key: pem.serverKey, cert: pem.serverCert }, { serverCredentials: ServerCredentials.createInsecure() }), { code: 'FGG_ERR_OPTION', message: /tls/ })
})

t.test('fetch of a plain gateway still works beside', async t => {
  const { url } = await serve(t, { services: [service] })
  t.equal((await fetchReply(`${url}/grpc/greeter/sayhello`, { method: 'POST' })).status, 200)
})
