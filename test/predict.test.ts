/** Predictions: bytes by name go in, bytes come out; and services with a schema of their own on a base class. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { credentials, Metadata, status as codes } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { makeCertificates } from '../examples/mutual-tls/certificates.ts'
import { GrpcGateway, loadProto, type ServiceRegistrar } from '../src/index.ts'
import { createPredictClient, GrpcIngress, predictService, type Predict, type PredictClient } from '../src/serving/index.ts'
import { recordingLogger, serve, until } from './serving.ts'

/** The fruit of Ray's guide: 2 for an orange, 3 for an apple, in a little-endian float. */
const fruit: Predict = ({ ORANGE, APPLE }) => {
  const price = Buffer.alloc(4)
  price.writeFloatLE(2 * Number(ORANGE) + 3 * Number(APPLE))
  return price
}
const BASKET = { ORANGE: Buffer.from('10'), APPLE: Buffer.from('3') }
const BASKET_JSON = { input: { ORANGE: 'MTA=', APPLE: 'Mw==' } }

function clientOf (t: Test, address: string, ...rest: [ReturnType<typeof credentials.createSsl>?]): PredictClient {
  const client = createPredictClient(address, ...rest)
  t.teardown(() => client.close())
  return client
}

t.test('C1 the price of fruit', async t => {
  const { gateway, post } = await serve(t, { services: [predictService(fruit)] }, { basePath: '/api' })
  const prediction = await clientOf(t, gateway.address).predict(BASKET)
  t.ok(Buffer.isBuffer(prediction))
  t.same([prediction.toString('hex'), prediction.readFloatLE()], ['0000e841', 29])
  for (const url of ['/api/predict', '/api/grpc/predictapisservice/predict', '/api/grpc/ray.serve.PredictAPIsService/Predict']) {
    t.match(await post(url, BASKET_JSON), { status: 200, text: '{"prediction":"AADoQQ=="}' }, url)
  }
  t.same(gateway.routes().map(({ url, rpc }) => [url, rpc]).at(-1), ['/api/predict', '/ray.serve.PredictAPIsService/Predict'])
})

t.test('the path over HTTP is an option', async t => {
  const { post } = await serve(t, { services: [predictService(fruit, { route: '/v1/price' })] })
  t.equal((await post('/v1/price', BASKET_JSON)).text, '{"prediction":"AADoQQ=="}')
  t.equal((await post('/predict', BASKET_JSON)).status, 404)
  const bare = await serve(t, { services: [predictService(fruit, { route: false })] })
  t.equal((await bare.post('/predict', BASKET_JSON)).status, 404)
  t.equal((await bare.post('/grpc/predictapisservice/predict', BASKET_JSON)).status, 200)
})

t.test('C2 what goes in comes out, as Buffers over both protocols', async t => {
  const seen: boolean[] = []
  const { gateway, post } = await serve(t, {
    services: [predictService(async ({ a }) => {
      seen.push(Buffer.isBuffer(a))
      return a
    })]
  })
  t.equal((await clientOf(t, gateway.address).predict({ a: Uint8Array.from(Buffer.from('123')) })).toString(), '123')
  t.equal((await post('/predict', { input: { a: 'MTIz' } })).json.prediction, Buffer.from('123').toString('base64'))
  t.same(seen, [true, true])
})

t.test('C3 the same over TLS, for who has a certificate', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'predict-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const files = await makeCertificates(folder)
  const [ca, key, cert] = [files.ca, files.clientKey, files.clientCert].map(file => readFileSync(file))
  const { gateway } = await serve(t, {
    services: [predictService(fruit)],
    isSecure: true,
    tls: { key: files.serverKey, cert: files.serverCert, ca: files.ca, requireClientCert: true }
  })
  t.equal((await clientOf(t, gateway.address, credentials.createSsl(ca!, key!, cert!)).predict(BASKET)).readFloatLE(), 29)
  await t.rejects(clientOf(t, gateway.address, credentials.createSsl(ca!)).predict(BASKET, { deadline: Date.now() + 1000 }), 'without a certificate')
})

t.test('C6 what is no bytes is INTERNAL, and says what it was; nothing is an empty prediction', async t => {
  const logger = recordingLogger()
  let prediction: unknown
  const { gateway, post } = await serve(t, { services: [predictService(() => prediction as Buffer)], logger })
  const client = clientOf(t, gateway.address)
  for (const nothing of [null, undefined, Buffer.alloc(0)]) {
    prediction = nothing
    t.same(await client.predict({}), Buffer.alloc(0))
    t.match(await post('/predict', {}), { status: 200, text: '{}' })
  }
  const wrong: Array<[unknown, string]> = [['29', 'a string'], [29, 'a number'], [{}, 'an Object'], [[1], 'an Array'], [new Float32Array([29]), 'a Float32Array'], [Object.create(null), 'an object'], [new ArrayBuffer(4), 'an ArrayBuffer']]
  for (const [value, name] of wrong) {
    prediction = value
    const details = `The prediction must be bytes, but it is ${name}`
    await t.rejects(client.predict({}), { code: codes.INTERNAL, details }, name)
    t.match(await post('/predict', {}), { status: 500, json: { title: 'INTERNAL', detail: details } }, name)
    t.equal(logger.lines.filter(({ level, message }) => level === 'error' && message === details).length, 2, 'it is logged')
  }
})

t.test('the client sends metadata and deadlines, can cancel, and passes errors on', async t => {
  const aborted: number[] = []
  const { gateway } = await serve(t, {
    services: [predictService(async ({ wait }, context) => {
      if (wait === undefined) return Buffer.from(context.application)
      return await new Promise((_resolve, reject) => context.signal.addEventListener('abort', () => {
        aborted.push((context.signal.reason as { code: number }).code)
        reject(context.signal.reason)
      }))
    })]
  })
  const client = clientOf(t, gateway.address)
  const metadata = new Metadata()
  metadata.set('application', 'fruit')
  t.equal((await client.predict({}, { metadata })).toString(), 'fruit')
  const wait = Buffer.alloc(1)
  await t.rejects(client.predict({ wait }, { deadline: Date.now() + 50 }), { code: codes.DEADLINE_EXCEEDED })
  await t.rejects(client.predict({ wait }, { signal: AbortSignal.timeout(50) }), { code: codes.CANCELLED })
  await until(() => aborted.length === 2, 'the handler to hear of both')
  await t.rejects(client.predict({ wait }, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  await t.rejects(client.predict({ a: 'MTA=' as never }), { name: 'TypeError', message: 'input.a must be a Buffer or a Uint8Array, got a string' })
})

const { TestService } = loadProto(new URL('fixtures/ping.proto', import.meta.url))

t.test('C4 a class serves a schema of its own; what it lacks is UNIMPLEMENTED', async t => {
  class PingIngress extends GrpcIngress {
    static override definition = TestService
    async Ping ({ noReply }: { noReply: boolean }): Promise<object> {
      return noReply ? {} : { ignored: true }
    }
  }
  for (const service of [PingIngress, new PingIngress()]) {
    const { client, post } = await serve(t, { services: [service], logger: recordingLogger() })
    t.match(await client(TestService!).call('Ping', { noReply: true }), { code: codes.OK, messages: [{}] })
    t.match(await client(TestService!).call('PingTimeout', {}), { code: codes.UNIMPLEMENTED })
    t.match(await post('/grpc/pingingress/ping', { no_reply: true }), { status: 200, text: '{}' })
    t.match(await post('/grpc/pingingress/pingtimeout', {}), { status: 501 })
  }
})

t.test('a class may register its schema by a hook of its own', async t => {
  class Pings extends GrpcIngress {
    Ping (): object {
      return {}
    }

    static override addToServer (instance: Pings, server: ServiceRegistrar): void {
      server.implement(TestService!, instance, { routes: { Ping: '/ping' } })
    }
  }
  const { client, post } = await serve(t, { services: [Pings], logger: recordingLogger() })
  t.match(await client(TestService!).call('Ping', {}), { code: codes.OK })
  t.match(await post('/ping', {}), { status: 200, text: '{}' })
})

t.test('C5 a class without a schema cannot be made', async t => {
  class Schemaless extends GrpcIngress {}
  const message = /^Fail to attach the gRPC server with schema implementation/
  t.throws(() => new GrpcIngress(), { code: 'FGG_ERR_SERVICE', message })
  t.throws(() => new Schemaless(), { code: 'FGG_ERR_SERVICE', message })
  for (const service of [GrpcIngress, Schemaless]) t.throws(() => new GrpcGateway({ services: [service] }), { code: 'FGG_ERR_SERVICE', message })
})

t.test('a port that is taken is told at startup', async t => {
  const { gateway } = await serve(t, { services: [predictService(fruit)] })
  const second = new GrpcGateway({ services: [predictService(fruit)], port: gateway.port })
  await t.rejects(second.startup(), { code: 'FGG_ERR_LISTEN', message: new RegExp(`${gateway.port}.*EADDRINUSE`) })
})

t.test('predictions without HTTP', async t => {
  const { gateway, post } = await serve(t, { services: [predictService(fruit)], exposeHttp: false })
  t.equal((await post('/predict', BASKET_JSON)).status, 404)
  t.equal((await clientOf(t, gateway.address).predict(BASKET)).readFloatLE(), 29)
})
