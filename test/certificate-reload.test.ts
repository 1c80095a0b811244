/** Certificates that follow their files, without a restart and without a lost connection. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { credentials, status as codes, type ClientReadableStream } from '@grpc/grpc-js'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { GrpcGateway, httpsOptions, implement, reloadCertificates, type CallContext, type TlsOptions } from '../src/index.ts'
import { authority, clientPair, postHttp2, postHttps, serverPair, shownName, type Pair } from './certificates.ts'
import { Greeter, grpcClient, Kinds, recordingLogger, sleep, until, type LogLine, type Note } from './serving.ts'

const ca = await authority()
const pairs = Object.fromEntries(await Promise.all(['first', 'second', 'third'].map(async name => [name, await serverPair(ca, name)]))) as Record<'first' | 'second' | 'third', Pair>
const trusting = { ca: ca.cert, servername: 'localhost' }
const channel = credentials.createSsl(Buffer.from(ca.cert))
const HELLO = '/grpc/greeter/sayhello'

const greeter = implement(Greeter, { SayHello: (_request, context: CallContext) => ({ message: String(context.authContext.sslPeerCertificate?.subject.CN ?? 'nobody') }) })
const release: Array<() => void> = []
const kinds = implement(Kinds, {
  async * ServerStream () {
    yield { text: 'before' }
    await new Promise<void>(resolve => release.push(resolve))
    yield { text: 'after' }
  }
})

/** Some time, in which files are looked at more than once. */
const LOOKS_MS = 800

interface Files { folder: string, key: string, cert: string }

function filesOf (t: Test, { key, cert }: Pair = pairs.first): Files {
  const folder = mkdtempSync(join(tmpdir(), 'reload-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const files = { folder, key: join(folder, 'tls.key'), cert: join(folder, 'tls.crt') }
  writeFileSync(files.key, key)
  writeFileSync(files.cert, cert)
  return files
}

interface Secure { gateway: GrpcGateway, http: number, lines: LogLine[] }

async function serveSecure (t: Test, tls: TlsOptions, fastify = {}): Promise<Secure> {
  const logger = recordingLogger()
  const gateway = new GrpcGateway({ services: [greeter, kinds], port: 0, logger, tls })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', tls: true, fastify })
  t.teardown(() => gateway.shutdown({ graceMs: 100 }))
  return { gateway, http: (app.server.address() as AddressInfo).port, lines: logger.lines }
}

async function eventually (condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain for ${what}`)
    await sleep(20)
  }
}

/** Resolves when new connections of both protocols are shown this certificate. */
async function shows ({ gateway, http }: Secure, name: string, options: ConnectionOptions = trusting): Promise<void> {
  for (const port of [gateway.port, http]) await eventually(async () => await shownName(port, options) === name, `the certificate ${name}`)
}

const warnings = ({ lines }: Secure): LogLine[] => lines.filter(({ message }) => message.startsWith('TLS certificates cannot'))

const replaceFile = (path: string, text: string): void => {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

/** How certificates are replaced by those who do. */
const WAYS: Record<string, (files: Files, pair: Pair) => Promise<void>> = {
  async 'renamed onto the old ones' ({ key, cert }, pair) {
    replaceFile(key, pair.key)
    replaceFile(cert, pair.cert)
  },
  async 'written over, one after the other' ({ key, cert }, pair) {
    writeFileSync(cert, pair.cert)
    await sleep(300)
    writeFileSync(key, pair.key)
  },
  async 'removed for a moment' ({ key, cert }, pair) {
    rmSync(key)
    rmSync(cert)
    await sleep(300)
    writeFileSync(key, pair.key)
    await sleep(300)
    writeFileSync(cert, pair.cert.slice(0, 200))
    await sleep(300)
    writeFileSync(cert, pair.cert)
  }
}

for (const [way, replace] of Object.entries(WAYS)) {
  t.test(`new connections get certificates that are ${way}`, async t => {
    const files = filesOf(t)
    const secure = await serveSecure(t, { key: files.key, cert: files.cert })
    await shows(secure, 'first')
    await replace(files, pairs.second)
    await shows(secure, 'second')
    await replace(files, pairs.third)
    await shows(secure, 'third')
    t.match(secure.lines.filter(({ message }) => message === 'TLS certificates reloaded').map(({ fields }) => fields.subject), ['CN=second', 'CN=third'])
  })
}

t.test('new connections get certificates behind a symbolic link that is swapped, as in a Kubernetes secret', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'reload-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const swapTo = (name: keyof typeof pairs): void => {
    mkdirSync(join(folder, name))
    writeFileSync(join(folder, name, 'tls.key'), pairs[name].key)
    writeFileSync(join(folder, name, 'tls.crt'), pairs[name].cert)
    symlinkSync(name, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  }
  swapTo('first')
  for (const name of ['tls.key', 'tls.crt']) symlinkSync(join('..data', name), join(folder, name))
  const secure = await serveSecure(t, { key: join(folder, 'tls.key'), cert: join(folder, 'tls.crt') })
  await shows(secure, 'first')
  swapTo('second')
  rmSync(join(folder, 'first'), { recursive: true })
  await shows(secure, 'second')
  t.same(warnings(secure), [])
})

t.test('files that stay unusable are logged once, and the certificate in use is kept', async t => {
  const files = filesOf(t)
  const secure = await serveSecure(t, { key: files.key, cert: files.cert })
  writeFileSync(files.key, pairs.second.key)
  await until(() => warnings(secure).length === 1, 'the first warning')
  await sleep(LOOKS_MS)
  await shows(secure, 'first')
  rmSync(files.cert)
  await until(() => warnings(secure).length === 2, 'the second warning')
  await sleep(LOOKS_MS)
  await shows(secure, 'first')
  t.match(warnings(secure).map(({ fields }) => fields.problem), [/do not work together/, /ENOENT.*tls\.crt/])
  writeFileSync(files.cert, pairs.second.cert)
  await shows(secure, 'second')
  t.equal(warnings(secure).length, 2)
})

t.test('open connections and calls stay as they are', async t => {
  const files = filesOf(t)
  const secure = await serveSecure(t, { key: files.key, cert: files.cert })
  const client = grpcClient(Kinds, secure.gateway.address, channel)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => { client.raw.close(); agent.destroy() })
  const call = (client.raw as unknown as { ServerStream (request: object): ClientReadableStream<Note> }).ServerStream({})
  const received: string[] = []
  const ended = new Promise<number>(resolve => call.on('data', ({ text }) => received.push(text)).on('status', ({ code }) => resolve(code)))
  const sockets = new Set<unknown>()
  agent.on('free', socket => sockets.add(socket))
  t.match(await postHttps(secure.http, HELLO, '{}', { agent, ...trusting }), { status: 200 })
  await until(() => release.length === 1, 'the stream')
  replaceFile(files.key, pairs.second.key)
  replaceFile(files.cert, pairs.second.cert)
  await shows(secure, 'second')
  t.match(await postHttps(secure.http, HELLO, '{}', { agent, ...trusting }), { status: 200 })
  t.equal(sockets.size, 1, 'the HTTP connection is the same')
  release.pop()!()
  t.equal(await ended, codes.OK)
  t.same(received, ['before', 'after'])
})

t.test('a certificate swap under load loses no call on either protocol', async t => {
  const files = filesOf(t)
  const secure = await serveSecure(t, { key: files.key, cert: files.cert })
  const end = new AbortController()
  let calls = 0
  const failed: unknown[] = []
  const keep = async (call: () => Promise<unknown>): Promise<void> => {
    while (!end.signal.aborted) {
      calls++
      const result = await call().catch(error => error)
      if (result !== true) failed.push(result)
    }
  }
  const lasting = grpcClient(Greeter, secure.gateway.address, channel)
  const agent = new Agent({ keepAlive: true })
  const overGrpc = async (client: ReturnType<typeof grpcClient>): Promise<unknown> => {
    const { code, details } = await client.call('SayHello', {}, { deadline: Date.now() + 5000 })
    return code === codes.OK ? true : details
  }
  const load = [
    keep(() => overGrpc(lasting)),
    keep(async () => {
      const client = grpcClient(Greeter, secure.gateway.address, credentials.createSsl(Buffer.from(ca.cert)))
      return await overGrpc(client).finally(() => client.raw.close())
    }),
    keep(async () => (await postHttps(secure.http, HELLO, '{}', { agent, ...trusting })).status === 200),
    keep(async () => (await postHttps(secure.http, HELLO, '{}', { agent: false, ...trusting })).status === 200)
  ]
  for (const name of ['second', 'third', 'first'] as const) {
    replaceFile(files.key, pairs[name].key)
    await sleep(50)
    replaceFile(files.cert, pairs[name].cert)
    await shows(secure, name)
  }
  await until(() => calls > 100 || failed.length > 0, 'a hundred calls')
  end.abort()
  await Promise.all(load)
  lasting.raw.close()
  agent.destroy()
  t.same(failed, [])
})

t.test('authorities of clients are followed too', async t => {
  const files = filesOf(t)
  const [oldCa, newCa] = [await authority('Old CA'), await authority('New CA')]
  const [oldClient, newClient] = [await clientPair(oldCa, 'old'), await clientPair(newCa, 'new')]
  const authorities = join(files.folder, 'ca.crt')
  writeFileSync(authorities, oldCa.cert)
  const secure = await serveSecure(t, { key: files.key, cert: files.cert, ca: authorities, requireClientCert: true }, { http2: true })
  t.match(await postHttps(secure.http, HELLO, '{}', { ...trusting, ...oldClient }), { text: '{"message":"old"}' })
  await t.rejects(postHttps(secure.http, HELLO, '{}', { ...trusting, ...newClient }))
  writeFileSync(authorities, `${oldCa.cert}\n${newCa.cert}`)
  const isServed = async (client: Pair): Promise<boolean> => await postHttps(secure.http, HELLO, '{}', { agent: false, ...trusting, ...client }).then(() => true, () => false)
  await eventually(() => isServed(newClient), 'the new authority')
  t.match(await postHttp2(secure.http, HELLO, '{}', { ...trusting, ...oldClient }), { text: '{"message":"old"}' })
  t.match(await postHttp2(secure.http, HELLO, '{}', { ...trusting, ...newClient }), { text: '{"message":"new"}' })
  const client = grpcClient(Greeter, secure.gateway.address, credentials.createSsl(Buffer.from(ca.cert), Buffer.from(newClient.key), Buffer.from(newClient.cert)))
  t.match(await client.call('SayHello', {}), { messages: [{ message: 'new' }] })
  client.raw.close()
  writeFileSync(authorities, newCa.cert)
  await eventually(async () => !await isServed(oldClient), 'the end of the old authority')
  t.ok(await isServed(newClient))
})

t.test('certificates that are not to be reloaded stay as they were read', async t => {
  const files = filesOf(t)
  const fixed = await serveSecure(t, { key: files.key, cert: files.cert, reload: false })
  const following = await serveSecure(t, { key: files.key, cert: files.cert })
  writeFileSync(files.key, pairs.second.key)
  writeFileSync(files.cert, pairs.second.cert)
  await shows(following, 'second')
  for (const port of [fixed.gateway.port, fixed.http]) t.equal(await shownName(port, trusting), 'first')
})

t.test('a gateway that starts again, or late, has the certificate of that time', async t => {
  const files = filesOf(t)
  const gateway = new GrpcGateway({ services: [greeter], port: 0, tls: { key: files.key, cert: files.cert }, logger: recordingLogger() })
  writeFileSync(files.key, pairs.second.key)
  writeFileSync(files.cert, pairs.second.cert)
  await gateway.startup()
  t.equal(await shownName(gateway.port, trusting), 'second')
  await gateway.shutdown()
  writeFileSync(files.key, pairs.third.key)
  writeFileSync(files.cert, pairs.third.cert)
  await gateway.startup()
  t.equal(await shownName(gateway.port, trusting), 'third')
  await gateway.shutdown()
  rmSync(files.key)
  await gateway.startup()
  t.equal(await shownName(gateway.port, trusting), 'third', 'what cannot be read does not keep it from starting')
  await gateway.shutdown()
})

t.test('apps of users follow their files, on every address of localhost', async t => {
  const files = filesOf(t)
  const tls = { key: files.key, cert: files.cert }
  const app = Fastify({ https: httpsOptions(tls) })
  reloadCertificates(app, tls)
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: 'localhost' })
  const addresses = app.addresses() as AddressInfo[]
  for (const { address, port } of addresses) t.equal(await shownName(port, { ...trusting, host: address }), 'first', address)
  writeFileSync(files.key, pairs.second.key)
  writeFileSync(files.cert, pairs.second.cert)
  for (const { address, port } of addresses) {
    await eventually(async () => await shownName(port, { ...trusting, host: address }) === 'second', address)
  }

  t.throws(() => reloadCertificates(Fastify(), tls), { code: 'FGG_ERR_STATE', message: /httpsOptions/ })
  t.throws(() => httpsOptions({ ...tls, key: 'no-such.pem' }), { code: 'FGG_ERR_TLS', message: /tls\.key/ })
  t.throws(() => httpsOptions({} as never), { code: 'FGG_ERR_TLS', message: /tls\.key/ })
})
