/** Every example, run as a user runs it, and called over both protocols. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { credentials, loadPackageDefinition, Metadata, status as codes, type GrpcObject, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import protobuf from 'protobufjs'
import t from 'tap'
import { FruitService } from '../examples/fruit/main.ts'
import { Greeter } from '../examples/helloworld.ts'
import { ImageClassificationService } from '../examples/image-classifier/main.ts'
import { trainedModels } from '../examples/iris/main.ts'
import { SentimentService } from '../examples/multiplexing/main.ts'
import { RouteGuide } from '../examples/route-guide/service.ts'
import { createPredictClient, seldonDefinitions } from '../src/serving/index.ts'
import { endsOnSigterm, example, run } from './example-process.ts'
import { fetchReply, grpcClient } from './serving.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

const json = { 'content-type': 'application/json' }
const post = async (url: string, body: object = {}, headers = {}) => await fetchReply(url, { method: 'POST', body: JSON.stringify(body), headers: { ...json, ...headers } })

t.test('npm start serves both services, and its curl lines work', async t => {
  const running = await run(t, example('start.ts'), /Ctrl-C/)
  t.match(running.output, /POST {2}\/api\/v1\/grpc\/greeterservice\/sayhello +\/helloworld\.Greeter\/SayHello/)
  const replies = []
  for (const [, line] of running.output.matchAll(/^ {2}((?:curl|printf) .+)$/gm)) {
    const { stdout } = await promisify(execFile)('bash', ['-c', line!], { timeout: 20_000 })
    replies.push(stdout.trimEnd().split('\n').map(text => JSON.parse(text)))
  }
  const [hello, feature, listed, summary, chat] = replies
  t.equal(replies.length, 5)
  t.same(hello, [{ message: 'Hello, World!' }])
  t.match(feature, [{ name: 'Berkshire Valley Management Area Trail, Jefferson, NJ, USA' }])
  t.same([listed!.length, listed!.filter(({ name }) => name !== undefined).length], [100, 64])
  t.match(summary, [{ pointCount: 3, featureCount: 3, distance: 92589 }])
  t.same(chat!.map(({ message }) => message), ['First message', 'Third message'])

  const guide = grpcClient(RouteGuide, running.grpc)
  t.match(await guide.call('ListFeatures', { lo: { latitude: 400000000, longitude: -750000000 }, hi: { latitude: 420000000, longitude: -730000000 } }), { code: codes.OK, messages: { length: 100 } })
  guide.raw.close()
  await endsOnSigterm(t, running)
})

t.test('helloworld', async t => {
  const running = await run(t, example('helloworld.ts'))
  const greeter = grpcClient(Greeter, running.grpc)
  t.match(await greeter.call('SayHello', { name: 'you' }), { messages: [{ message: 'Hello, you!' }] })
  t.match(await greeter.call('SayHelloAgain', { name: 'you' }), { messages: [{ message: 'Hello again, you!' }] })
  greeter.raw.close()
  const reply = await post(`${running.http}/grpc/greeterservice/sayhelloagain`, { name: 'you' })
  t.match([reply.json, reply.headers.get('grpc-trailer-greeted-over')], [{ message: 'Hello again, you!' }, 'http'])
  await endsOnSigterm(t, running)
})

t.test('an existing app guards the RPCs by its own hook', async t => {
  const running = await run(t, example('existing-app.ts'))
  t.match(await fetchReply(running.http), { json: { service: 'shop' } })
  const url = `${running.http}/api/grpc/greeterservice/sayhello`
  t.match(await post(url, { name: 'a' }), { status: 401, json: { error: 'An API key is needed' } })
  t.match(await post(url, { name: 'a' }, { 'x-api-key': 'secret' }), { status: 200, json: { message: 'Hello, a!' } })
  await endsOnSigterm(t, running)
})

t.test('mutual TLS lets only those in who have a certificate', async t => {
  const running = await run(t, example('mutual-tls/main.ts'), /Certificates \S+\n/)
  const folder = /Certificates (\S+)/.exec(running.output)![1]!
  const pem = (name: string): Buffer => readFileSync(join(folder, name))
  const known = grpcClient(Greeter, running.grpc, credentials.createSsl(pem('ca.pem'), pem('client-key.pem'), pem('client.pem')))
  t.match(await known.call('SayHello', {}), { messages: [{ message: 'Hello, billing!' }] })
  const stranger = grpcClient(Greeter, running.grpc, credentials.createSsl(pem('ca.pem')))
  t.not((await stranger.call('SayHello', {}, { deadline: Date.now() + 500 })).code, codes.OK)
  t.match(await post(`${running.http}/grpc/greeter/sayhello`), { status: 401 })
  known.raw.close()
  stranger.raw.close()
  await endsOnSigterm(t, running)
})

t.test('an adopted grpc-js service answers all four kinds as before, and HTTP too', async t => {
  const running = await run(t, example('adopted/main.ts'))
  const proto = loadPackageDefinition(loadSync(join(root, 'examples/adopted/counter.proto'), { longs: String }))
  const counter = grpcClient((proto.counter as GrpcObject as { Counter: ServiceClientConstructor }).Counter.service, running.grpc)
  t.match(await counter.call('Add', { value: 2 }), { messages: [{ value: '2' }] })
  t.match(await counter.call('Add', { value: -2 }), { code: codes.OUT_OF_RANGE, details: 'Amounts are positive' })
  t.match(await counter.call('CountTo', { value: 3 }), { messages: [{ value: '1' }, { value: '2' }, { value: '3' }] })
  t.match(await counter.call('AddAll', [{ value: 1 }, { value: 2 }]), { messages: [{ value: '5' }] })
  t.match(await counter.call('RunningTotal', [{ value: 1 }, { value: 2 }]), { messages: [{ value: '1' }, { value: '3' }] })
  counter.raw.close()
  const url = `${running.http}/grpc/counterservice/add`
  t.equal((await post(url, { value: 10 })).text, '{"value":"15"}')
  t.match(await post(url, { value: -1 }), { status: 400, json: { code: 11, detail: 'Amounts are positive' } })
  await endsOnSigterm(t, running)
})

t.test('a prediction over both protocols, as the README has it', async t => {
  const running = await run(t, example('predict/main.ts'))
  const client = createPredictClient(running.grpc)
  t.equal((await client.predict({ ORANGE: Buffer.from('10'), APPLE: Buffer.from('3') })).readFloatLE(), 29)
  await t.rejects(client.predict({ PEAR: Buffer.from('1') }), { code: codes.NOT_FOUND })
  client.close()
  t.equal(await curlOf('predict', running.http), '{"prediction":"AADoQQ=="}')
  t.match(await post(`${running.http}/predict`, { input: { APPLE: '' } }), { status: 400, json: { detail: 'Amounts are decimal digits' } })
  await endsOnSigterm(t, running)
})

t.test('a model for each language, two of them in memory', async t => {
  const running = await run(t, example('multiplexing/main.ts'))
  t.match(JSON.parse(await curlOf('multiplexing', running.http)), { label: 'positive' })
  const client = grpcClient(SentimentService, running.grpc)
  for (const [language, text, label] of [['en', 'I love this book', 'positive'], ['fr', 'Ce livre est affreux', 'negative']] as const) {
    const metadata = new Metadata()
    metadata.set('multiplexed_model_id', language)
    t.match(await client.call('Classify', { text }, { metadata }), { code: codes.OK, messages: [{ label }] }, language)
  }
  client.raw.close()
  t.match(await post(`${running.http}/grpc/sentimentservice/classify`, {}, { 'serve-multiplexed-model-id': '../main' }), { status: 404 })
  t.match(await post(`${running.http}/grpc/sentimentservice/classify`), { status: 400, json: { detail: 'The model ID cannot be empty.' } })
  t.same((await post(`${running.http}/grpc/sentimentservice/listloaded`)).json, { ids: ['en', 'fr'] })
  await endsOnSigterm(t, running)
})

t.test('B18 the fruit market asks its stands what fruit costs', async t => {
  const running = await run(t, example('fruit/main.ts'))
  const market = grpcClient(FruitService, running.grpc)
  const metadata = new Metadata()
  metadata.set('application', 'fruit')
  t.same((await market.call('FruitStand', { orange: 4, apple: 8 }, { metadata })).messages, [{ costs: 32 }])
  t.same((await market.call('FruitStand', { banana: 5 })).messages, [{ costs: 0 }])
  market.raw.close()
  t.equal(await curlOf('fruit', running.http), '{"costs":32}')
  t.equal((await post(`${running.http}/fruit/ray.serve.FruitService/FruitStand`, { banana: 5 })).text, '{}')
  t.match(await post(`${running.http}/fruit/fruitservice/fruitstand`, { pear: 1 }), { status: 400 })
  await endsOnSigterm(t, running)
})

t.test('B26 images are classified by a chain of deployments, the most probable class first', async t => {
  const running = await run(t, example('image-classifier/main.ts'))
  t.ok(Number(/recognizes (\S+) %/.exec(running.output)![1]) >= 95, 'of pictures that it has not seen')
  const url = `${running.http}/images/imageclassificationservice/predict`
  const client = grpcClient(ImageClassificationService, running.grpc)
  for (const shape of ['circle', 'cross', 'square', 'triangle']) {
    const { json: { classes, probabilities } } = await post(url, { url: `file:${shape}.png` })
    t.equal(classes[0], shape)
    t.same(classes.toSorted(), ['circle', 'cross', 'square', 'triangle'])
    t.same(probabilities, probabilities.toSorted((a: number, b: number) => b - a))
    t.ok(probabilities.reduce((sum: number, probability: number) => sum + probability) <= 1)
    const data = readFileSync(join(root, 'examples/image-classifier/images', `${shape}.png`))
    const { messages: [message] } = await client.call('Predict', { url: `data:image/png;base64,${data.toString('base64')}` })
    t.same(message, { classes, probabilities: probabilities.map(Math.fround) }, 'the same by both protocols and from both kinds of URLs')
  }
  client.raw.close()
  t.match(JSON.parse(await curlOf('image-classifier', running.http)), { classes: ['triangle'] })
  t.match(await post(url, { url: 'file:../main.ts' }), { status: 404, json: { detail: 'There is no image file:../main.ts' } })
  t.match(await post(url, { url: 'data:image/png;base64,AAAA' }), { status: 400, json: { detail: 'Images must be PNG' } })
  t.match(await post(url, { url: 'http://127.0.0.1/' }), { status: 400 })
  await endsOnSigterm(t, running)
})

t.test('two models of iris flowers, the same numbers over both protocols', async t => {
  const running = await run(t, example('iris/main.ts'))
  const printed = [...running.output.matchAll(/^(\w+): (0\.\d+) of the flowers/gm)]
  t.same(printed.map(([, name]) => name), ['logistic', 'neighbours'])
  for (const [, name, accuracy] of printed) t.ok(Number(accuracy) >= 0.93, `${name} ${accuracy}`)
  t.same(printed.map(([, , accuracy]) => accuracy), trainedModels().map(({ accuracy }) => accuracy.toFixed(3)), 'whenever it starts')

  const [script] = /^ {4}TOKEN=.+\n {4}curl.+$/m.exec(readFileSync(join(root, 'examples/iris/README.md'), 'utf8'))!
  const { stdout } = await promisify(execFile)('bash', ['-c', `${script.replaceAll('localhost:8000', running.http)}; echo; echo $TOKEN`], { timeout: 20_000 })
  const [reply, token] = stdout.trim().split('\n') as [string, string]
  const { meta, predictions } = JSON.parse(reply)
  t.match(meta.puid, /^[0-9a-f]{40}$/)
  t.same(predictions.map(({ predictedClass }: { predictedClass: string }) => predictedClass), ['setosa', 'versicolor', 'virginica'])
  t.ok(predictions[2].prediction > 0.5, 'it is a virginica')

  const { Seldon } = seldonDefinitions()
  const Iris = protobuf.loadSync(join(root, 'protos/seldon/iris.proto')).lookupType('io.seldon.microservice.iris.IrisPredictRequest')
  const client = grpcClient(Seldon, running.grpc)
  for (const variation of ['logistic', 'neighbours']) {
    const metadata = new Metadata()
    metadata.set('oauth_token', token)
    metadata.set('x-variation', variation)
    const data = { type_url: 'type.googleapis.com/io.seldon.microservice.iris.IrisPredictRequest', value: Iris.encode({ f1: 6.4, f2: 2.7, f3: 5.3, f4: 1.9 }).finish() }
    const { messages: [overGrpc] } = await client.call('Classify', { data }, { metadata })
    const { json: overHttp } = await post(`${running.http}/predict?oauth_token=${token}`, { data: { f1: 6.4, f2: 2.7, f3: 5.3, f4: 1.9 } }, { 'x-variation': variation })
    t.match(overGrpc, { meta: { modelName: `iris_${variation}`, variation } })
    t.same((overGrpc as typeof overHttp).predictions, overHttp.predictions)
    t.equal(overHttp.meta.modelName, `iris_${variation}`)
  }
  t.match(await client.call('Classify', {}), { code: codes.PERMISSION_DENIED })
  client.raw.close()
  await endsOnSigterm(t, running)
})

/** Runs the first curl line in the README of an example. */
async function curlOf (name: string, url: string): Promise<string> {
  const [, line] = /^ {4}(curl .+)$/m.exec(readFileSync(join(root, 'examples', name, 'README.md'), 'utf8'))!
  const { stdout } = await promisify(execFile)('bash', ['-c', line!.replace('localhost:8000', url)], { timeout: 20_000 })
  return stdout.trim()
}
