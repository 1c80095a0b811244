/** The package that npm pack makes, installed into an empty project. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const project = mkdtempSync(join(tmpdir(), 'package-test-'))
t.teardown(() => rmSync(project, { recursive: true, force: true }))

function run (command: string, args: string[], cwd = project): string {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_OPTIONS: '' } })
}

interface Packed { filename: string, files: Array<{ path: string }> }

// Built before the tests; a build now would take dist/ from under the tests that use it.
const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], root)) as [Packed]

writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true }))
run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(project, packed.filename), 'fastify@5', '@grpc/grpc-js@1'])
cpSync(join(root, 'protos/helloworld.proto'), join(project, 'helloworld.proto'))

const BODY = `
const { Greeter } = loadProto('helloworld.proto')
const gateway = new GrpcGateway({ services: [implement(Greeter, { SayHello: ({ name }) => { if (name === '') throw new GrpcError(status.INVALID_ARGUMENT, 'who?', { errorDetails: [{ '@type': 'google.rpc.ErrorInfo', reason: 'R' }] }); return { message: name } }, SayHelloAgain: request => request })], port: 0 })
async function main () {
  const app = await gateway.listen({ port: 0 })
  const url = 'http://127.0.0.1:' + app.server.address().port + '/grpc/greeter/sayhello'
  const post = async body => await (await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).text()
  const Client = grpc.makeGenericClientConstructor(Greeter)
  const client = new Client(gateway.address, grpc.credentials.createInsecure())
  const reply = await new Promise((resolve, reject) => client.SayHello({ name: 'gRPC' }, (error, value) => error ? reject(error) : resolve(value)))
  console.log(await post('{"name":"HTTP"}'), await post(''), JSON.stringify(reply))
  client.close()
  await app.close()
}
main()
`
const EXPECTED = '{"message":"HTTP"} {"status":400,"title":"INVALID_ARGUMENT","detail":"who?","code":3,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R"}]} {"message":"gRPC"}\n'

t.test('it holds what it needs and nothing else', async t => {
  const paths = packed.files.map(({ path }) => path)
  for (const path of ['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts', 'protos/google/rpc/status.proto', 'protos/ray/predict.proto', 'protos/ray/serve.proto', 'protos/seldon/seldon.proto']) t.ok(paths.includes(path), path)
  t.same(paths.filter(path => !/^(dist|protos\/(google|grpc|ray|seldon))\/|^(package\.json|README\.md|LICENSE)$/.test(path)), [])
})

t.test('it works from ESM', async t => {
  writeFileSync(join(project, 'esm.mjs'), `import * as grpc from '@grpc/grpc-js'\nimport { GrpcError, GrpcGateway, implement, loadProto, status } from 'fastify-grpc-gateway'\n${BODY}`)
  t.equal(run(process.execPath, ['esm.mjs']), EXPECTED)
})

t.test('it works by require()', async t => {
  writeFileSync(join(project, 'cjs.cjs'), `const grpc = require('@grpc/grpc-js')\nconst { GrpcError, GrpcGateway, implement, loadProto, status } = require('fastify-grpc-gateway')\n${BODY}`)
  t.equal(run(process.execPath, ['cjs.cjs']), EXPECTED)
})

t.test('what serves models is an export of its own, from ESM and by require()', async t => {
  const program = "const models = multiplexed(id => id.toUpperCase())\nmodels('a').then(model => console.log(model, models.loaded))\nconsole.log(predictService(() => null).name)\n"
  writeFileSync(join(project, 'serving.mjs'), `import { multiplexed, predictService } from 'fastify-grpc-gateway/serving'\n${program}`)
  writeFileSync(join(project, 'serving.cjs'), `const { multiplexed, predictService } = require('fastify-grpc-gateway/serving')\n${program}`)
  for (const file of ['serving.mjs', 'serving.cjs']) t.equal(run(process.execPath, [file]), "PredictAPIsService\nA [ 'a' ]\n", file)
})

t.test('the command is installed', async t => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  t.equal(run('npx', ['--no-install', 'fastify-grpc-gateway', '--version']), `${version}\n`)
  t.match(run('npx', ['--no-install', 'fastify-grpc-gateway', 'serve', '--help']), /^Usage: fastify-grpc-gateway serve /)
})

t.test('without jose, a gateway that wants it does not start, and says what to install', async t => {
  writeFileSync(join(project, 'jwt.mjs'), `
import { GrpcGateway, implement, jwt, loadProto } from 'fastify-grpc-gateway'
const { Greeter } = loadProto('helloworld.proto')
const authenticate = jwt({ secret: 'a secret of at least thirty-two bytes', issuer: 'a', audience: 'b' })
const gateway = new GrpcGateway({ services: [implement(Greeter, {})], port: 0, authenticate })
await gateway.startup().catch(({ code, message }) => console.log(code, message))
await gateway.listen({ port: 0 }).catch(({ code }) => console.log(code))
`)
  t.equal(run(process.execPath, ['jwt.mjs']), 'FGG_ERR_AUTH jwt: needs the package jose: npm install jose\nFGG_ERR_AUTH\n')
})

t.test('without a package that telemetry needs, the gateway says what to install', async t => {
  writeFileSync(join(project, 'telemetry.mjs'), `
import { GrpcGateway, implement, loadProto } from 'fastify-grpc-gateway'
const services = [implement(loadProto('helloworld.proto').Greeter, {})]
for (const telemetry of [{ prometheus: true }, { openTelemetry: true }]) {
  try {
    new GrpcGateway({ services, port: 0, telemetry })
  } catch ({ code, message }) {
    console.log(code, message)
  }
}
`)
  t.equal(run(process.execPath, ['telemetry.mjs']), [
    'FGG_ERR_TELEMETRY Metrics for Prometheus need the package prom-client: npm install prom-client',
    'FGG_ERR_TELEMETRY OpenTelemetry needs the package @opentelemetry/api: npm install @opentelemetry/api',
    ''
  ].join('\n'))
})

t.test('its types check in a strict project that checks libraries too', async t => {
  writeFileSync(join(project, 'types.mts'), readFileSync(new URL('fixtures/types.mts', import.meta.url)))
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: { module: 'nodenext', target: 'es2022', lib: ['es2023'], strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] }, files: ['types.mts'] }))
  t.equal(run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.']), '')
})
