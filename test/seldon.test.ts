/** Seldon's classification API: the cases of its own tests and guide, over gRPC and REST. */
import { createHmac } from 'node:crypto'
import { Writable } from 'node:stream'
import { Metadata } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { clientCredentials, GrpcError, GrpcGateway, loadProto, status, type ClientCredentials, type GatewayOptions } from '../src/index.ts'
import { asSeldon, classifierMicroservice, remoteModel, seldonDefinitions, seldonService, variations, type ClassificationReply, type Model, type ModelReply, type PackedMessage, type PredictionRecord, type SeldonOptions, type SeldonService } from '../src/serving/index.ts'
import { recordingLogger, serve, until, type HttpReply, type LogLine, type Outcome, type Served } from './serving.ts'

const { Classifier, Seldon } = seldonDefinitions()
const UNKNOWN_CLIENT = 'Could not determine client from oauth_token'
const SECRET = 'a secret of at least thirty-two bytes'
const PUID = /^[0-9a-f]{40}$/

const IRIS = 'io.seldon.microservice.iris.IrisPredictRequest'
const VALUES = 'io.seldon.api.rpc.DefaultCustomPredictRequest'
const CUSTOM = { request: 'io.seldon.api.rpc.example.CustomPredictRequest', reply: 'io.seldon.api.rpc.example.CustomPredictReply' }

/** Messages of the types of clients, as bytes. */
const bytes = loadProto(new URL('fixtures/seldon-types.proto', import.meta.url)) as unknown as Record<'Types', Record<string, { requestSerialize (message: object): Buffer, requestDeserialize (bytes: Buffer): object }>>
const any = (method: string, type: string, message: object): PackedMessage => ({ type_url: `type.googleapis.com/${type}`, value: bytes.Types[method]!.requestSerialize(message) })
const FLOWER = { f1: 1, f2: 2.7, f3: 5.3, f4: 1.9 }
const flower = (): PackedMessage => any('Iris', IRIS, FLOWER)

const RESULTS = [
  { prediction: 0.0025, predictedClass: 'setosa', confidence: 0.0025 },
  { prediction: 0.0028, predictedClass: 'versicolor', confidence: 0.0028 },
  { prediction: 0.9947, predictedClass: 'virginica', confidence: 0.9947 }
]
const xgboost: Model = () => ({ modelName: 'model_xgb', predictions: RESULTS })
const echo: Model = ({ data }) => ({ modelName: 'echo', custom: data as object })
const named = (modelName: string): Model => () => ({ modelName, predictions: RESULTS })

interface Trial extends Served {
  credentials: ClientCredentials
  seldon: SeldonService
  token: string
  lines: LogLine[]
  grpc (request: object, options?: { token?: string | undefined, service?: 'Seldon' | 'Classifier', headers?: Record<string, string> }): Promise<Outcome & { reply: ClassificationReply }>
  predict (body: unknown, query?: string, headers?: Record<string, string>): Promise<HttpReply>
}

async function trial (t: Test, options: SeldonOptions, more: Partial<GatewayOptions> = {}): Promise<Trial> {
  const credentials = clientCredentials({ secret: SECRET, legacy: true, clients: { acme: 'the-secret-of-acme-inc', other: 'the-secret-of-another' } })
  const seldon = seldonService(options)
  const app = Fastify()
  app.register(credentials.tokenEndpoint)
  const logger = recordingLogger()
  const served = await serve(t, { services: seldon.services, authenticate: asSeldon(credentials.authenticate), logger, ...more }, { app })
  const { json } = await served.request('/token?consumer_key=acme&consumer_secret=the-secret-of-acme-inc')
  const token: string = json.access_token
  return {
    ...served,
    credentials,
    seldon,
    token,
    lines: logger.lines,
    async grpc (request, options = {}) {
      const metadata = new Metadata()
      const { service = 'Seldon', headers = {} } = options
      const given = 'token' in options ? options.token : token
      if (given !== undefined) metadata.set('oauth_token', given)
      for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
      const outcome = await served.client(service === 'Seldon' ? Seldon : Classifier).call(service === 'Seldon' ? 'Classify' : 'Predict', request, { metadata })
      return { ...outcome, reply: outcome.messages[0] as ClassificationReply }
    },
    predict: (body, query = `oauth_token=${token}`, headers = {}) => served.post(`/predict?${query}`, body, headers)
  }
}

const withIris = (model = xgboost): SeldonOptions => ({ clients: { acme: { model, types: { request: IRIS } } } })

t.test('D1 the same prediction over REST and gRPC', async t => {
  const seen: unknown[] = []
  const model: Model<typeof FLOWER> = ({ data, client }) => {
    seen.push([client, data])
    return { modelName: 'model_xgb', predictions: RESULTS }
  }
  const { predict, grpc } = await trial(t, { clients: { acme: { model: variations([{ label: 'xgboostrpc', weight: 1, value: model as Model }]), types: { request: IRIS } } } })
  const rest = await predict({ data: FLOWER })
  t.equal(rest.status, 200)
  t.match(rest.headers.get('content-type'), 'application/json')
  t.match(rest.json.meta.puid, PUID)
  t.equal(rest.text, `{"meta":{"puid":"${rest.json.meta.puid}","modelName":"model_xgb","variation":"xgboostrpc"},"predictions":${JSON.stringify(RESULTS)},"custom":null}`, 'the order of its members too')

  const { code, reply } = await grpc({ data: flower() })
  t.equal(code, status.OK)
  t.match(reply.meta!.puid, PUID)
  t.strictSame([reply.meta!.modelName, reply.meta!.variation, reply.predictions, reply.custom], ['model_xgb', 'xgboostrpc', RESULTS, null])
  t.not(reply.meta!.puid, rest.json.meta.puid)
  const [[, one], [, other]] = seen as [[string, typeof FLOWER], [string, typeof FLOWER]]
  t.strictSame([seen.length, (seen[0] as string[])[0], (seen[1] as string[])[0]], [2, 'acme', 'acme'])
  t.strictSame(one, other, 'the model sees the same flower, to the last bit')
  t.ok(Math.abs(other.f2 - 2.7) < 1e-6)

  t.equal((await predict({ meta: { puid: '12345' }, data: FLOWER })).json.meta.puid, '12345')
  t.equal((await grpc({ meta: { puid: '12345' }, data: flower() })).reply.meta!.puid, '12345')
})

t.test('D1 the id of a prediction from the URL or the header Seldon-Puid', async t => {
  const { predict, grpc, token } = await trial(t, withIris())
  t.equal((await predict({ data: FLOWER }, `oauth_token=${token}&puid=from-the-url`)).json.meta.puid, 'from-the-url')
  t.equal((await predict({ data: FLOWER }, undefined, { 'seldon-puid': 'from-a-header' })).json.meta.puid, 'from-a-header')
  t.equal((await grpc({ data: flower() }, { headers: { 'seldon-puid': 'from-metadata' } })).reply.meta!.puid, 'from-metadata')
})

t.test('D2 an explicit @type', async t => {
  const { predict } = await trial(t, withIris(echo))
  const plain = await predict({ meta: { puid: 'x' }, data: FLOWER })
  const typed = await predict({ meta: { puid: 'x' }, data: { '@type': `type.googleapis.com/${IRIS}`, ...FLOWER } })
  t.equal(typed.status, 200)
  t.equal(typed.text, plain.text)
  for (const type of ['type.googleapis.com/no.such.Type', `type.googleapis.com/${VALUES}`, 7]) {
    const reply = await predict({ data: { '@type': type, ...FLOWER } })
    t.match(reply, { status: 400, json: { detail: 'Invalid data', details: [{ fieldViolations: [{ field: 'data', description: `expected ${IRIS}, got ${String(type).replace(/^.*\//, '')}` }] }] } }, String(type))
  }
})

t.test('D3 without a registered type, data is an array of numbers', async t => {
  const { predict, grpc } = await trial(t, { default: { model: echo } })
  const { status: code, json } = await predict({ data: [1.2, 2.1] })
  t.equal(code, 200)
  t.strictSame([json.custom.length, Math.fround(json.custom[0]), Math.fround(json.custom[1])], [2, Math.fround(1.2), Math.fround(2.1)], 'a bare array back')
  t.match(await predict({ data: { values: [3] } }), { status: 200, json: { custom: [3] } }, 'or the message')
  const { reply } = await grpc({ data: any('Values', VALUES, { values: [1.5, 2.5] }) })
  t.equal(reply.custom!.type_url, `type.googleapis.com/${VALUES}`)
  t.strictSame(bytes.Types.Values!.requestDeserialize(Buffer.from(reply.custom!.value)), { values: [1.5, 2.5] })
  t.match(await predict({ data: [1, 'x'] }), { status: 400, json: { detail: /data\.values\[1\]/ } })
})

t.test('D4 a number as the id, kept to its last digit', async t => {
  const { predict } = await trial(t, { clients: { acme: { model: ({ data }) => ({ custom: { data: JSON.stringify(data) } }), types: CUSTOM } } })
  t.match(await predict('{"meta":{"puid":1234},"data":{"data":[1.5]}}'), { status: 200, json: { meta: { puid: '1234' }, custom: { data: '{"data":[1.5]}' } } })
  t.equal((await predict('{"meta":{"puid":12345678901234567890},"data":{"data":[1.5]}}')).json.meta.puid, '12345678901234567890')
  t.match((await predict('{"meta":{"puid":null},"data":{"data":[1.5]}}')).json.meta.puid, PUID)
})

t.test('D5 a request without data', async t => {
  const { predict, grpc, seldon } = await trial(t, { default: { model: ({ data }) => ({ modelName: typeof data, predictions: RESULTS }) } })
  for (const body of [{ meta: { puid: '1' } }, { meta: { puid: '1' }, data: null }]) t.match(await predict(body), { status: 200, json: { meta: { puid: '1', modelName: 'undefined' }, custom: null } })
  t.match(await predict({}), { status: 200 })
  t.match(await predict(undefined), { status: 200 }, 'and without a body')
  t.match(await grpc({ meta: { puid: '1' } }), { code: status.OK, reply: { meta: { modelName: 'undefined' } } })
  seldon.registerTypes('acme', { request: IRIS })
  t.match(await predict({ meta: { puid: '1' } }), { status: 400, json: { detail: 'Invalid data', details: [{ fieldViolations: [{ description: `expected ${IRIS}, got no data` }] }] } }, 'where a type is registered, there must be some')
  t.match(await grpc({}), { code: status.INVALID_ARGUMENT, details: 'Invalid data' })
})

t.test('D6 what a model says besides has no @type over REST, and its type over gRPC', async t => {
  const { predict, grpc } = await trial(t, { clients: { acme: { model: () => ({ predictions: [], custom: { data: 'some custom data' } }), types: CUSTOM } } })
  const rest = await predict({ data: { '@type': `type.googleapis.com/${CUSTOM.request}`, data: [1] } })
  t.strictSame(rest.json.custom, { data: 'some custom data' })
  const { reply } = await grpc({ data: any('Custom', CUSTOM.request, { data: [1] }) })
  t.equal(reply.custom!.type_url, `type.googleapis.com/${CUSTOM.reply}`)
  t.strictSame(bytes.Types.Reply!.requestDeserialize(Buffer.from(reply.custom!.value)), { data: 'some custom data' })
})

t.test('D7 tokens by consumer key and secret', async t => {
  const { request, grpc } = await trial(t, withIris())
  const { json } = await request('/token?consumer_key=acme&consumer_secret=the-secret-of-acme-inc')
  t.match(json, { access_token: String, expires_in: 6000 })
  t.equal((await grpc({ data: flower() }, { token: json.access_token })).code, status.OK)
  for (const [query, id] of [['', 16], ['consumer_key=acme', 17], ['consumer_key=nobody&consumer_secret=x', 5], ['consumer_key=acme&consumer_secret=x', 6]] as const) {
    t.match(await request(`/token?${query}`), { status: 400, json: { error_id: id, http_response: 400 } }, query)
  }
})

t.test('D8 a client that nobody knows', async t => {
  const { grpc, predict, request, credentials } = await trial(t, { default: { model: xgboost } })
  const { json: { access_token: removed } } = await request('/token?consumer_key=other&consumer_secret=the-secret-of-another')
  credentials.removeClient('other')
  for (const [name, token] of [['none', undefined], ['bad', 'not-a-token'], ['of a removed client', removed]] as const) {
    t.match(await grpc({ data: any('Values', VALUES, {}) }, { token }), { code: status.PERMISSION_DENIED, details: UNKNOWN_CLIENT }, `gRPC: ${name}`)
    const rest = await predict({ data: [1] }, token === undefined ? '' : `oauth_token=${token}`)
    t.match(rest, { status: 401, json: { detail: UNKNOWN_CLIENT } }, `REST: ${name}`)
    t.match(rest.headers.get('www-authenticate'), /^Bearer realm="api"/)
  }
})

t.test('D8 a token that has expired', async t => {
  const { grpc, predict, token } = await trial(t, { default: { model: xgboost } })
  const [header, payload] = token.split('.') as [string, string]
  const signed = (claims: object): string => {
    const text = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
    return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`
  }
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  t.equal((await grpc({}, { token: signed(claims) })).code, status.OK)
  const expired = signed({ ...claims, exp: claims.iat - 60 })
  t.match(await grpc({}, { token: expired }), { code: status.PERMISSION_DENIED, details: UNKNOWN_CLIENT })
  t.match(await predict({}, `oauth_token=${expired}`), { status: 401, json: { detail: UNKNOWN_CLIENT } })
})

t.test('D8 a gateway that does not authenticate knows no client', async t => {
  const { grpc, predict } = await trial(t, { default: { model: xgboost } }, { authenticate: undefined })
  t.match(await grpc({}), { code: status.PERMISSION_DENIED, details: UNKNOWN_CLIENT })
  t.match(await predict({}), { status: 401, json: { detail: UNKNOWN_CLIENT } })
})

t.test('D9 the token as a Bearer token', async t => {
  const { post, grpc, token } = await trial(t, withIris())
  const authorization = `Bearer ${token}`
  t.match(await post('/predict', { data: FLOWER }, { authorization }), { status: 200, json: { predictions: RESULTS } })
  t.match(await grpc({ data: flower() }, { token: undefined, headers: { authorization } }), { code: status.OK, reply: { predictions: RESULTS } })
})

t.test('D10 variations', async t => {
  const of = (...weights: number[]): SeldonOptions => ({ default: { model: variations(weights.map((weight, i) => ({ label: `v${i + 1}`, weight, value: named(`m${i + 1}`) }))) } })
  const both = async ({ predict, grpc }: Trial): Promise<unknown[]> => [(await predict({})).json.meta, (await grpc({})).reply.meta]
  const draws = async (trial: Trial, count: number): Promise<Map<string, number>> => {
    const counts = new Map<string, number>()
    for (let i = 0; i < count; i += 50) {
      for (const { json, status: code } of await Promise.all(Array.from({ length: 50 }, () => trial.predict({})))) {
        t.equal(code, 200)
        t.equal(json.meta.modelName, json.meta.variation.replace('v', 'm'))
        counts.set(json.meta.variation, (counts.get(json.meta.variation) ?? 0) + 1)
      }
    }
    return counts
  }
  const half = await draws(await trial(t, of(0.5, 0.5)), 1000)
  const [one, two] = [half.get('v1')!, half.get('v2')!]
  t.ok(one > 0 && two > 0 && Math.abs(one - two) <= 250, `${one} and ${two}`)
  t.equal((await draws(await trial(t, of(1, 1)), 200)).size, 2)
  t.ok((await draws(await trial(t, of(0.7, 0.1, 0.1, 0.1)), 200)).size > 1)
  t.match(await both(await trial(t, { default: { model: named('only') } })), [{ variation: 'default' }, { variation: 'default' }])
  const sticky = await trial(t, { default: { model: variations([{ label: 'a', weight: 1, value: named('a') }, { label: 'b', weight: 1, value: named('b') }], { stickyBy: 'x-user', chosenBy: 'x-variation' }) } })
  const stuck = await Promise.all(Array.from({ length: 20 }, async () => [(await sticky.predict({}, undefined, { 'x-user': 'ann' })).json.meta.variation, (await sticky.grpc({}, { headers: { 'x-user': 'ann' } })).reply.meta!.variation]))
  t.equal(new Set(stuck.flat()).size, 1, 'one user, one variation, on both protocols')
  t.equal((await sticky.grpc({}, { headers: { 'x-variation': 'b' } })).reply.meta!.variation, 'b')
})

t.test('D11 the second model where the first has failed or is empty', async t => {
  const failing: Model = () => { throw new GrpcError(status.UNAVAILABLE, 'The first is down') }
  const empty: Model = () => ({ modelName: 'empty', predictions: [] })
  const broken: Model = () => { throw new Error('secret') }
  const { grpc, predict, seldon, lines } = await trial(t, {})
  for (const [chain, code, http, expected] of [
    [[empty, named('second')], status.OK, 200, 'second'],
    [[failing, broken, named('third')], status.OK, 200, 'third'],
    [[() => undefined, failing], status.UNAVAILABLE, 503, 'The first is down'],
    [[empty], status.NOT_FOUND, 404, 'No model has an answer']
  ] as const) {
    seldon.setClient('acme', { model: chain })
    const [overGrpc, rest] = [await grpc({}), await predict({})]
    t.match([overGrpc.code, rest.status], [code, http])
    t.equal(code === status.OK ? overGrpc.reply.meta!.modelName : overGrpc.details, expected)
    t.equal(code === status.OK ? rest.json.meta.modelName : rest.json.detail, expected)
  }
  t.ok(lines.some(({ level, message }) => level === 'warn' && message === 'Falls back after an error'))
})

t.test('D12 both names of the service', async t => {
  const { grpc, post, gateway, token } = await trial(t, withIris())
  t.match(await grpc({ data: flower() }, { service: 'Classifier' }), { code: status.OK, reply: { predictions: RESULTS } })
  t.match(await grpc({ data: flower() }, { service: 'Seldon' }), { code: status.OK, reply: { predictions: RESULTS } })
  t.same([Seldon.Classify.path, Classifier.Predict.path], ['/io.seldon.api.rpc.Seldon/Classify', '/io.seldon.api.rpc.Classifier/Predict'])
  t.match(gateway.routes().map(({ url }) => url), ['/grpc/seldon/classify', '/grpc/io.seldon.api.rpc.Seldon/Classify', '/predict', '/grpc/classifier/predict', '/grpc/io.seldon.api.rpc.Classifier/Predict'])
  const { json, status: code } = await post('/grpc/classifier/predict', { data: { '@type': `type.googleapis.com/${VALUES}`, values: [] } }, { authorization: `Bearer ${token}` })
  t.match([code, json.detail], [400, 'Invalid data'], 'the routes by convention are there too')
})

t.test('D13 another type than is registered', async t => {
  const { client, grpc, token } = await trial(t, withIris())
  const outcome = await grpc({ data: any('Values', VALUES, { values: [1] }) })
  t.match(outcome, { code: status.INVALID_ARGUMENT, details: 'Invalid data' })
  t.match(String(outcome.trailers.get('grpc-status-details-bin')[0]), `expected ${IRIS}, got ${VALUES}`)
  t.match(await grpc({ data: { type_url: '', value: Buffer.alloc(0) } }), { code: status.INVALID_ARGUMENT, details: 'Invalid data' })
  t.match(await grpc({ data: { ...flower(), value: Buffer.from([0xff]) } }), { code: status.INVALID_ARGUMENT, details: 'Invalid data' })
  const metadata = new Metadata()
  metadata.set('oauth_token', token)
  t.match(await client(Seldon).call('Classify', { data: { type_url: 'application/json', value: Buffer.from(JSON.stringify(FLOWER)) } }, { metadata }), { code: status.OK }, 'JSON may be sent over gRPC, too')
})

t.test('D14 clients and their types come and go while the gateway serves', async t => {
  const { grpc, predict, seldon, credentials, token } = await trial(t, {})
  t.match(await grpc({}), { code: status.NOT_FOUND, details: 'There is no model for the client acme' })
  seldon.setClient('acme', { model: named('first') })
  t.equal((await predict({ data: [1] })).json.meta.modelName, 'first')
  seldon.setClient('acme', { model: named('second'), types: { request: IRIS } })
  t.match(await predict({ data: [1] }), { status: 400 })
  t.equal((await predict({ data: FLOWER })).json.meta.modelName, 'second')
  seldon.registerTypes('acme', CUSTOM)
  t.match(await grpc({ data: flower() }), { code: status.INVALID_ARGUMENT })
  t.equal((await predict({ data: { data: [1] } })).json.meta.modelName, 'second', 'its model stays')
  t.equal(seldon.removeTypes('acme'), true)
  t.equal((await predict({ data: [1] })).status, 200)
  t.throws(() => seldon.registerTypes('acme', { request: 'test.Kinds' }), { code: 'FGG_ERR_SELDON' })
  t.throws(() => seldon.registerTypes('acme', { request: 'seldon.test.Point' }), { code: 'FGG_ERR_SELDON', message: /which no \.proto file defines/ })
  seldon.registerTypes('acme', { request: 'seldon.test.Point', protos: new URL('fixtures/seldon-types.proto', import.meta.url) })
  t.match(await predict({ data: { x: 1, id: '9007199254740993' } }), { status: 200 })
  t.equal(seldon.removeClient('acme'), true)
  t.match(await predict({}), { status: 404 })
  t.same([seldon.removeClient('acme'), seldon.removeTypes('acme')], [false, false])

  credentials.setClient('new', 'the-secret-of-a-new-one')
  credentials.removeClient('acme')
  t.match(await grpc({}, { token }), { code: status.PERMISSION_DENIED })
})

t.test('D15 each prediction is told, with its client, input and prediction', async t => {
  const records: PredictionRecord[] = []
  const { grpc, predict, lines } = await trial(t, {
    ...withIris(),
    onPrediction (record, { log }) {
      log.info(record, 'prediction')
      records.push(record)
    }
  })
  await predict({ meta: { puid: 'rest' }, data: FLOWER })
  await grpc({ meta: { puid: 'grpc' }, data: any('Iris', IRIS, { f1: 1, f2: 2, f3: 3, f4: 4 }) })
  t.match(await predict({ data: 1 }), { status: 400 }, 'what is no prediction is not')
  t.same(records.map(({ input }) => (input as { meta: object }).meta), [{ puid: 'rest' }, { puid: 'grpc' }])
  t.match(records[1], { consumer: 'acme', input: { meta: { puid: 'grpc' }, data: { f1: 1, f2: 2, f3: 3, f4: 4 } }, prediction: { meta: { puid: 'grpc', modelName: 'model_xgb' }, predictions: RESULTS, custom: null } })
  t.match(lines.filter(({ message }) => message === 'prediction').map(({ fields }) => fields), [{ consumer: 'acme', input: {}, prediction: {} }, {}])
})

t.test('D15 a hook that fails is logged, and the call goes on', async t => {
  for (const onPrediction of [() => { throw new Error('disk full') }, async () => { throw new Error('disk full') }]) {
    const { predict, grpc, lines } = await trial(t, { default: { model: xgboost }, onPrediction })
    t.equal((await predict({})).status, 200)
    t.equal((await grpc({})).code, status.OK)
    await until(() => lines.filter(({ message }) => message === 'onPrediction failed').length === 2, 'two lines')
  }
})

t.test('REST: what is wrong with a request is said', async t => {
  const { predict, request, token, post } = await trial(t, withIris())
  for (const [body, detail] of [
    ['{bad', /not valid JSON/],
    ['[1]', /expected a JSON object/],
    ['{"data":{},"data":{}}', /given twice/],
    ['{"date":{}}', /date: there is no such field/],
    ['{"meta":{"id":1}}', /meta\.id: there is no such field/],
    ['{"meta":[]}', /expected a JSON object/],
    ['{"meta":{"puid":{}}}', /meta\.puid: expected a string/],
    ['{"data":{"f1":"x","f9":1}}', /data\.f1: .*data\.f9: /s],
    ['{"data":{"f1":1,"f1":2}}', /data\.f1/],
    ['{"data":7}', /data: /]
  ] as const) t.match(await predict(body), { status: 400, json: { detail } }, body)
  t.match(await predict('{"data":{"f1":"1.5"},"meta":{"puid":"a\\"},{\\\\"}}'), { status: 200, json: { meta: { puid: 'a"},{\\' } } }, 'texts that look like JSON')
  t.equal((await request(`/predict?oauth_token=${token}`)).status, 405)
  t.match(await post(`/predict?oauth_token=${token}`, '{}', { 'content-type': 'text/plain' }), { status: 415 })
})

t.test('REST: tokens in URLs are not logged', async t => {
  let log = ''
  const app = Fastify({ logger: { stream: new Writable({ write (chunk, _encoding, done) { log += String(chunk); done() } }) } }) as unknown as FastifyInstance
  const { post } = await serve(t, { services: classifierMicroservice(xgboost) }, { app })
  t.equal((await post('/predict?oauth_token=a-secret', {})).status, 200)
  t.match(log, '/predict?oauth_token=[redacted]')
  t.notOk(log.includes('a-secret'))
})

t.test('what the gateway does for every call, it does for /predict', async t => {
  const { predict } = await trial(t, {
    default: {
      async model (_request, { signal }) {
        return await new Promise<ModelReply>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
    }
  }, { limits: { messageBytes: 1000 }, timeout: { default: 100 } })
  const late = await predict({ data: [1] }, undefined, { 'x-request-id': 'rid-1' })
  t.match([late.status, late.headers.get('x-request-id')], [504, 'rid-1'])
  t.match(await predict({ data: Array(1000).fill(1) }), { status: 413 })
})

t.test('clients have models of their own, others the default', async t => {
  const { predict, request } = await trial(t, { clients: { acme: { model: named('of acme') } }, default: { model: named('of all') } })
  const { json: { access_token: other } } = await request('/token?consumer_key=other&consumer_secret=the-secret-of-another')
  t.equal((await predict({})).json.meta.modelName, 'of acme')
  t.equal((await predict({}, `oauth_token=${other}`)).json.meta.modelName, 'of all')
})

t.test('numbers that JSON lacks, and custom messages that nobody knows', async t => {
  const { predict } = await trial(t, { default: { model: () => ({ predictions: [{ prediction: NaN, predictedClass: 'a', confidence: -Infinity }], custom: { type_url: 'x/no.such.Type', value: Buffer.from('a') } }) } })
  t.match((await predict({})).json, { predictions: [{ prediction: 'NaN', predictedClass: 'a', confidence: '-Infinity' }], custom: { '@type': 'x/no.such.Type', value: 'YQ==' } })
})

t.test('a model elsewhere gets the request, its id, and what is left of the time', async t => {
  const calls: Array<{ data: unknown, puid: string, hasDeadline: boolean, requestId: string }> = []
  let aborted = false
  const far = new GrpcGateway({
    port: 0,
    services: classifierMicroservice(async ({ data, puid }, { requestId, signal, deadline }) => {
      calls.push({ data, puid, requestId, hasDeadline: deadline !== undefined })
      if (puid !== 'slow') return { modelName: 'far', predictions: RESULTS, custom: { data: 'far' } }
      return await new Promise<ModelReply>((_resolve, reject) => signal.addEventListener('abort', () => {
        aborted = true
        reject(signal.reason)
      }))
    }, { request: IRIS, reply: CUSTOM.reply })
  })
  await far.startup()
  const remote = remoteModel(far.address)
  t.teardown(async () => {
    remote.close()
    await far.shutdown({ graceMs: 100 })
  })
  const { predict, grpc } = await trial(t, { clients: { acme: { model: [remote.model], types: { request: IRIS } } } }, { timeout: { default: 30_000 } })
  t.match(await predict({ meta: { puid: '1' }, data: FLOWER }, undefined, { 'x-request-id': 'rid-1' }), { status: 200, json: { meta: { puid: '1', modelName: 'far', variation: 'default' }, predictions: RESULTS, custom: { data: 'far' } } })
  t.match(await grpc({ meta: { puid: '2' }, data: flower() }), { code: status.OK, reply: { meta: { puid: '2' }, predictions: RESULTS } })
  t.match(calls, [{ puid: '1', requestId: 'rid-1', hasDeadline: true, data: { f1: 1 } }, { puid: '2', hasDeadline: true, data: { f1: 1 } }])
  t.match(await predict({ meta: { puid: 'slow' }, data: FLOWER }, undefined, { 'x-request-timeout-seconds': '0.3' }), { status: 504 })
  await until(() => aborted, 'the end of the call elsewhere')
  const hasty = remoteModel(far.address, { timeoutMs: 200, service: 'Seldon' })
  t.teardown(() => hasty.close())
  const { predict: hurry } = await trial(t, { clients: { acme: { model: [hasty.model, named('near')], types: { request: IRIS } } } })
  t.match(await hurry({ meta: { puid: 'slow' }, data: FLOWER }), { status: 200, json: { meta: { modelName: 'near' } } }, 'its own limit leaves time for the next')
})
