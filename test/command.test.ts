/** The command, as processes of their own: what it serves, what it asks of servers, and how it fails. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { makeCertificates } from '../examples/mutual-tls/certificates.ts'
import { fetchReply, until } from './serving.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const fixtures = join(root, 'test/fixtures/command')
const main = join(root, 'dist/cli/main.js')
const runtime = mkdtempSync(join(tmpdir(), 'cmd-'))
// Some 100 processes, on a machine that may be busy.
t.setTimeout(900_000)
t.teardown(() => rmSync(runtime, { recursive: true, force: true }))
const env = { ...process.env, NODE_OPTIONS: '', XDG_RUNTIME_DIR: runtime }

interface Ended { code: number, stdout: string, stderr: string }

async function run (args: readonly string[], { input = '', cwd = fixtures }: { input?: string, cwd?: string } = {}): Promise<Ended> {
  return await new Promise(resolve => {
    const child = execFile(process.execPath, [main, ...args], { cwd, env, encoding: 'utf8' }, (error, stdout, stderr) => resolve({ code: error === null ? 0 : error.code as number, stdout, stderr }))
    child.stdin!.end(input)
  })
}

interface Server { child: ChildProcess, pid: string, grpc: string, http: string, output: () => string, errors: () => string, ended: Promise<number | null> }

/** Starts `serve` on free ports of 127.0.0.1, and waits until it listens. */
async function serve (t: Test, args: readonly string[], cwd = fixtures): Promise<Server> {
  const child = spawn(process.execPath, [main, 'serve', ...args, '--grpc-port', '0', '--http-port', '0', '--host', '127.0.0.1'], { cwd, env })
  let [output, errors] = ['', '']
  child.stdout.on('data', chunk => { output += chunk })
  child.stderr.on('data', chunk => { errors += chunk })
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  await until(() => /HTTP \S+\n/.test(output) || child.exitCode !== null, 'the server', 20_000)
  if (child.exitCode !== null) throw new Error(errors)
  return { child, pid: String(child.pid), grpc: /gRPC (\S+)/.exec(output)![1]!, http: /HTTP (\S+)/.exec(output)![1]!, output: () => output, errors: () => errors, ended }
}

interface Failing { args: string[], code: number, problem: string }

/** Each fails with an exit code, and says why in one line. */
async function fails (t: Test, command: string, cases: readonly Failing[]): Promise<void> {
  const left = [...cases]
  const some = async (): Promise<void> => {
    for (let each = left.shift(); each !== undefined; each = left.shift()) {
      const { args, code, problem } = each
      const ended = await run([command, ...args])
      t.same([ended.code, ended.stdout], [code, ''], args.join(' '))
      t.ok(ended.stderr.startsWith(`error: ${problem}`), ended.stderr)
      t.equal(ended.stderr.split('\n').length, 2, 'one line')
    }
  }
  await Promise.all([some(), some(), some()])
}

const post = async (url: string, body: object): Promise<object> => (await fetchReply(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })).json

/** A configuration file of its own, beside the fixtures' modules by --app-dir. */
function configFile (t: Test, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'cmd-config-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'config.yaml')
  writeFileSync(file, text)
  return file
}

const PROTO = '../../../protos/ray/user_defined_protos.proto'

t.test('B24 the configuration of Ray\'s guide, with other import paths, starts both applications', async t => {
  const { grpc, http } = await serve(t, ['guide.yaml', '--reflection'])
  const call = '/userdefinedprotos.UserDefinedService/__call__'
  const { stdout } = await run(['call', call, '{"name":"foo","num":30,"origin":"bar"}', '-a', grpc, '-H', 'application: app1'])
  t.equal(stdout, '{"greeting":"Hello foo from bar","num":"60"}\n')
  t.match(await post(`${http}/app1`, { name: 'foo', num: 30, origin: 'bar' }), { greeting: 'Hello foo from bar', num: '60' })
  const predict = ['call', '/userdefinedprotos.ImageClassificationService/Predict', '{"url":"http"}', '-a', grpc]
  t.equal((await run([...predict, '-H', 'application:app2'])).stdout, '{"classes":["bright","dark"],"probabilities":[1,0]}\n')
  t.same(await post(`${http}/app2/imageclassificationservice/predict`, { url: 'http' }), { classes: ['bright', 'dark'], probabilities: [1, 0] })
  const unnamed = await run(predict)
  t.same(unnamed, { code: 69, stdout: '', stderr: 'error: NOT_FOUND: Application metadata not set. Ping /ray.serve.RayServeAPIService/ListApplications for available applications.\n' })
})

t.test('B24 duplicates are refused in the words of Ray, with file and line', async t => {
  const config = (name: string, prefix: string): string => configFile(t, `applications:\n  - name: a\n    route_prefix: /x\n    import_path: user_defined:g\n  - name: ${name}\n    route_prefix: ${prefix}\n    import_path: user_defined:g\n`)
  t.match(await run(['serve', config('a', '/y')]), { code: 1, stdout: '', stderr: 'error: config.yaml:5: Found multiple configs for application "a". Please remove all duplicates.\n' })
  t.match(await run(['serve', config('b', '/x/')]), { code: 1, stderr: 'error: config.yaml:6: Found duplicate applications for route prefix "/x". Please ensure each application\'s route_prefix is unique.\n' })
  t.match(await run(['serve', config("''", '/y')]), { code: 1, stderr: 'error: config.yaml:5: Application names must be nonempty.\n' })
})

t.test('B25 a service that cannot be found is a startup error that names it', async t => {
  const config = (service: string): string => configFile(t, `grpc_options:\n  grpc_servicer_functions:\n    - ${service}\napplications: []\n`)
  const problem = async (service: string): Promise<Ended> => await run(['serve', config(service), '--app-dir', '.'])
  const typo = `${PROTO}:userdefinedprotos.UserDefinedServise`
  t.match(await problem(typo), { code: 1, stderr: new RegExp(`^error: config.yaml:3: grpc_options.grpc_servicer_functions\\[0\\] is wrong: ${typo} can't be imported! Please make sure there are no typo in those functions. Or you might want to rebuild service definitions if .proto file is changed. .* It defines: userdefinedprotos.UserDefinedService, userdefinedprotos.ImageClassificationService\n$`) })
  t.match(await problem('nowhere.proto:a.B'), { code: 1, stderr: /nowhere\.proto:a\.B can't be imported! .*Cannot find the proto file/ })
  t.match(await problem('built.js:Gone'), { code: 1, stderr: /built\.js:Gone can't be imported! .*has no export Gone. It has: Greeter, / })
  t.match(await problem('built.js:number'), { code: 1, stderr: /built\.js:number is not a service definition!/ })
})

t.test('everything that is wrong with a configuration is told by line and key, and what is not known is warned of', async t => {
  const file = configFile(t, `httpOptions:
  port: "8000"
grpc_options: { port: 99999 }
logging_config:
  log_level: LOUD
applications:
  - name: a
    route_prefix: 5
  - import_path: user_defined:g
    deployments:
      - name: GrpcDeployment
        num_replicas: 0
`)
  t.same((await run(['serve', file])).stderr.split('\n').sort(), [
    '',
    'error: config.yaml:12: applications[1].deployments[0].num_replicas must be >= 1, not 0',
    'error: config.yaml:2: httpOptions.port must be integer, not "8000"',
    'error: config.yaml:3: grpc_options.port must be <= 65535, not 99999',
    'error: config.yaml:5: logging_config.log_level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, 10, 20, 30, 40, 50, not "LOUD"',
    'error: config.yaml:7: applications[0] lacks import_path',
    'error: config.yaml:8: applications[0].route_prefix must be string or null, not 5'
  ])
  t.match((await run(['serve', configFile(t, 'applications: [\n')])), { code: 1, stderr: /^error: config.yaml:2: .+\n$/ })
  t.match((await run(['serve', configFile(t, '')])), { code: 1, stderr: 'error: config.yaml:1: the configuration must be object, not empty\n' })
  t.match(await run(['serve', 'nowhere.yaml']), { code: 1, stderr: /^error: Cannot read nowhere\.yaml: ENOENT.*\n$/ })

  const warned = await serve(t, [configFile(t, `proxy_location: EveryNode
http_opts: {}
grpc_options:
  grpc_servicer_functions: [built.js:Greeter]
applications:
  - import_path: built.js:build
    args: { greeting: Good day }
    runtime_env: { pip: [torch] }
    deployments:
      - name: Model
        max_ongoing_request: 3
`), '--app-dir', '.'])
  t.match(warned.errors(), 'warning: config.yaml:2: http_opts is not known, and is ignored\nwarning: config.yaml:8: applications[0].runtime_env has no effect here, and is ignored\nwarning: config.yaml:11: applications[0].deployments[0].max_ongoing_request is not known, and is ignored\n')
  t.same(await post(`${warned.http}/greeter/sayhello`, { name: 'you' }), { message: 'Good day, you!' })
})

t.test('options of a configuration take effect: replicas, root path, timeouts of one protocol, merged keys', async t => {
  const { http, pid } = await serve(t, [configFile(t, `http_options: { root_path: /root, request_timeout_s: 5 }
grpcOptions: { grpcServicerFunctions: [built.js:Greeter], reflection: true }
defaults: &defaults
  name: Model
  max_queued_requests: 7
applications:
  - name: threads
    routePrefix: /threads
    importPath: built:inThreads
    deployments: [{ <<: *defaults, num_replicas: 1 }]
`), '--app-dir', '.'])
  t.same(await post(`${http}/root/threads/greeter/sayhello`, { name: 'you' }), { message: 'From a thread, you!' })
  t.match((await run(['status', pid])).stdout, /threads:\n {4}status: RUNNING\n {4}routePrefix: \/threads\n(?:.*\n)*? {8}replicas: 1\n/)
  const problem = async (deployments: string): Promise<string> => (await run(['serve', configFile(t, `applications:\n  - import_path: user_defined:g2\n    deployments: ${deployments}\n`), '--app-dir', '.'])).stderr
  t.match(await problem('[{ name: DataPreprocessor, num_replicas: 2 }]'), 'error: config.yaml:3: applications[0].deployments[0].num_replicas asks for 2 replicas. They are threads, which must know where to load the class from: deployment(DataPreprocessor, { module: import.meta.url })')
  t.match(await problem('[{ name: Gone }]'), 'error: config.yaml:3: applications[0].deployments[0].name names the deployment Gone, which application "default" does not have. It has: DataPreprocessor, grpc-image-classifier')
})

t.test('an application of a module is served, with arguments, under a name', async t => {
  const { grpc, http, child, ended } = await serve(t, ['built:build', 'greeting=Moin', '--name', 'app', '--route-prefix', '/app', '--reflection'])
  t.same(await post(`${http}/app/greeter/sayhello`, { name: 'you' }), { message: 'Moin, you!' })
  t.equal((await run(['call', 'test.Greeter.SayHello', '{"name":"you"}', '-a', grpc])).stdout, '{"message":"Moin, you!"}\n')
  child.kill('SIGTERM')
  t.equal(await ended, 0, 'SIGTERM ends it in order')
})

t.test('services of a module are served by a plain gateway', async t => {
  const { http, pid } = await serve(t, ['kinds.js:Polite'])
  t.same(await post(`${http}/grpc/polite/sayhello`, { name: 'you' }), { message: 'Hello, you!' })
  t.match((await run(['routes', pid])).stdout, 'POST /grpc/polite/sayhello /test.Greeter/SayHello\n')
  t.match(await run(['healthz', '--address', http]), { code: 0, stdout: /serving/i })
})

t.test('what cannot be served is told in a line', async t => {
  await fails(t, 'serve', [
    { args: ['nowhere:app'], code: 1, problem: "nowhere:app can't be imported! There is no module" },
    { args: ['user_defined:g3'], code: 1, problem: "user_defined:g3 can't be imported! The module has no export g3. It has: g, g2" },
    { args: ['user_defined'], code: 1, problem: 'user_defined exports several applications. Name one: user_defined:g, user_defined:g2' },
    { args: ['user_defined:g'], code: 1, problem: 'No service is known for user_defined:g. Name its .proto file by --proto' },
    { args: ['user_defined:g', '--proto', PROTO, '--service', 'Gone'], code: 1, problem: 'There is no service Gone. There are: userdefinedprotos.UserDefinedService' },
    { args: ['user_defined:g', 'a=1', '--proto', PROTO], code: 1, problem: 'Arguments can only be passed to an application builder function' },
    { args: ['built:unbound'], code: 1, problem: 'built:unbound is no application: bind it first, by .bind(…)' },
    { args: ['built:Model'], code: 1, problem: 'built:Model is no application: it is a class.' },
    { args: ['built:number'], code: 1, problem: 'built:number is no application: it must be what deployment(…).bind(…) returns' },
    { args: ['built:build', 'greeting'], code: 2, problem: "Invalid application argument 'greeting', must be of the form '<key>=<val>'. See fastify-grpc-gateway serve --help" },
    { args: ['guide.yaml', 'a=b'], code: 2, problem: 'Application arguments cannot be specified for a config file.' },
    { args: ['guide.yaml', '--name', 'x'], code: 2, problem: '--name cannot be specified for a config file' },
    { args: ['kinds', '--name', 'x'], code: 2, problem: '--name, --route-prefix and arguments are for applications' },
    { args: ['kinds', '--grpc-port', '70000'], code: 2, problem: '--grpc-port must be a port number' },
    { args: [], code: 2, problem: 'What to serve is missing' }
  ])
})

t.test('a taken port ends it, with exit code 1', async t => {
  const { grpc, http } = await serve(t, ['kinds'])
  const port = (address: string): string => address.split(':').at(-1)!
  t.match(await run(['serve', 'kinds', '--grpc-port', port(grpc), '--http-port', '0']), { code: 1, stdout: '', stderr: /error: The gRPC server cannot listen on 127.0.0.1:\d+/ })
  t.match(await run(['serve', 'kinds', '--grpc-port', '0', '--http-port', port(http)]), { code: 1, stdout: '', stderr: /error: listen EADDRINUSE/ })
})

t.test('call: all four kinds, by arguments and stdin, by reflection and .proto files', async t => {
  const { grpc } = await serve(t, ['kinds', '--reflection'])
  for (const schema of [[], ['--proto', '../test.proto']]) {
    const call = async (method: string, args: string[], input?: string): Promise<Ended> => await run(['call', `/test.Kinds/${method}`, ...args, '-a', grpc, ...schema], input === undefined ? {} : { input })
    const ok = (stdout: string): Ended => ({ code: 0, stdout, stderr: '' })
    t.same(await call('Unary', ['{"text":"a"}', '-H', 'x-from: me:you', '-H', 'x-bytes-bin: aGk=']), ok('{"text":"a me:you hi"}\n'))
    t.same(await call('Unary', ['{"text":"missing"}']), { code: 69, stdout: '', stderr: 'error: NOT_FOUND: There is no such note\n' })
    // What follows is the same with either.
    if (schema.length > 0) continue
    t.same(await call('Unary', []), ok('{}\n'), 'an empty message')
    t.same(await call('Unary', ['-'], '{\n  "text": "b"\n}'), ok('{"text":"b"}\n'))
    t.same(await call('ServerStream', ['{"text":"a","n":3}']), ok('{"text":"a 0"}\n{"text":"a 1","n":"1"}\n{"text":"a 2","n":"2"}\n'))
    t.same(await call('ClientStream', ['{"text":"a"}', '{"text":"b"}']), ok('{"text":"a+b"}\n'))
    t.same(await call('ClientStream', [], '{"text":"a"}\n\n{"text":"b"}\n{"text":"c"}'), ok('{"text":"a+b+c"}\n'))
    t.same(await call('ClientStream', [], ''), ok('{}\n'), 'an empty stream')
    t.same(await call('Bidi', [], '{"text":"a"}\n{"text":"b"}\n'), ok('{"text":"A"}\n{"text":"B"}\n'))
  }
  const verbose = await run(['call', 'test.Kinds/Unary', '{"text":"a"}', '-a', grpc, '--verbose', '--emit-defaults'])
  t.match(verbose, { code: 0, stdout: '{"text":"a","n":"0","notes":[]}\n', stderr: /header x-request-id: \S+\n(?:.*\n)*status: OK\n/ })
})

t.test('call: responses come before all requests are sent', async t => {
  const { grpc } = await serve(t, ['kinds', '--reflection'])
  const child = spawn(process.execPath, [main, 'call', '/test.Kinds/Bidi', '-a', grpc], { env })
  t.teardown(() => child.kill())
  let output = ''
  child.stdout.on('data', chunk => { output += chunk })
  child.stdin.write('{"text":"first"}\n')
  await until(() => output === '{"text":"FIRST"}\n', 'the first response', 10_000)
  child.stdin.end('{"text":"second"}\n')
  await until(() => output === '{"text":"FIRST"}\n{"text":"SECOND"}\n', 'the second response', 10_000)
})

t.test('call: what goes wrong has an exit code and a line', async t => {
  const { grpc } = await serve(t, ['kinds', '--reflection'])
  const bare = await serve(t, ['kinds'])
  await fails(t, 'call', [
    { args: ['/test.Kinds/Gone', '-a', grpc], code: 1, problem: 'test.Kinds has no method Gone. It has: Unary, ServerStream, ClientStream, Bidi' },
    { args: ['/test.Gone/Unary', '-a', grpc], code: 1, problem: 'The server has no service test.Gone. It has: grpc.health.v1.Health, ' },
    { args: ['/test.Kinds/Unary', '-a', bare.grpc], code: 76, problem: 'The server does not offer reflection. Name the .proto file by --proto' },
    { args: ['/test.Kinds/Unary', '-a', bare.grpc, '--proto', 'gone.proto'], code: 1, problem: 'Cannot find the proto file gone.proto' },
    { args: ['/test.Kinds/Unary', '-a', '127.0.0.1:1'], code: 78, problem: 'UNAVAILABLE: ' },
    { args: ['/test.Kinds/Bidi', '{"text":"a"}', '-a', '127.0.0.1:1', '--proto', '../test.proto'], code: 78, problem: 'UNAVAILABLE: ' },
    { args: ['/test.Kinds/Unary', '{"texts":1}', '-a', grpc], code: 2, problem: 'Request 1 is wrong: texts: ' },
    { args: ['/test.Kinds/Unary', '{}', '{}', '-a', grpc], code: 2, problem: 'The RPC takes one message' },
    { args: ['/test.Kinds/ClientStream', '-', '{}', '-a', grpc], code: 2, problem: 'Messages come from arguments or from stdin' },
    { args: ['Unary', '-a', grpc], code: 2, problem: 'An RPC is named /pkg.Service/Method, not Unary' },
    { args: ['/test.Kinds/Unary', '-a', 'http://x'], code: 2, problem: '--address must be host:port, not http://x' },
    { args: ['/test.Kinds/Unary', '-H', 'x'], code: 2, problem: '--header must be key:value, not x' },
    { args: ['/test.Kinds/Unary', '--timeout', '-1'], code: 2, problem: '' },
    { args: ['/test.Kinds/Unary', '--cert', 'x'], code: 2, problem: '--cert and --key go together' },
    { args: ['/test.Kinds/Unary', '--plaintext', '--tls'], code: 2, problem: '--plaintext does not go together with TLS' },
    { args: ['/test.Kinds/Unary', '--cacert', 'gone.pem'], code: 1, problem: "ENOENT: no such file or directory, open 'gone.pem'" },
    { args: [], code: 2, problem: 'The RPC to call is missing' }
  ])
  const line = await run(['call', '/test.Kinds/Bidi', '-a', grpc], { input: '{"text":"a"}\n{"text":\n' })
  t.match(line, { code: 2, stderr: /^error: Line 2 is wrong: .*\n$/ })
  const waiting = spawn(process.execPath, [main, 'call', '/test.Kinds/Bidi', '-a', grpc, '--timeout', '0.3'], { env })
  t.equal(await new Promise(resolve => waiting.once('exit', resolve)), 68, 'DEADLINE_EXCEEDED')
})

t.test('TLS of a configuration on both protocols, with client certificates for call', async t => {
  const folder = join(mkdtempSync(join(tmpdir(), 'cmd-tls-')), 'certificates')
  t.teardown(() => rmSync(join(folder, '..'), { recursive: true, force: true }))
  const { ca, serverKey, serverCert, clientKey, clientCert } = await makeCertificates(folder)
  const tls = `ssl_keyfile: ${serverKey}, ssl_certfile: ${serverCert}, ssl_ca_certs: ${ca}`
  const { grpc, http } = await serve(t, [configFile(t, `http_options: { ${tls} }\ngrpc_options: { grpc_servicer_functions: [built.js:Greeter], reflection: true, ${tls} }\napplications: [{ import_path: "built:build" }]\n`), '--app-dir', '.'])
  t.match(http, /^https:/)
  const call = ['call', '/test.Greeter/SayHello', '{"name":"you"}', '-a', grpc.replace('127.0.0.1', 'localhost'), '--cacert', ca]
  t.same(await run([...call, '--cert', clientCert, '--key', clientKey]), { code: 0, stdout: '{"message":"Hello, you!"}\n', stderr: '' })
  t.match(await run(call), { code: 78, stdout: '' }, 'without a certificate')
})

t.test('status, routes, healthz and drain of a server that runs', async t => {
  const { grpc, http, pid } = await serve(t, ['guide.yaml'])
  const { stdout } = await run(['status'])
  for (const line of [`pid: ${pid}`, 'state: serving', `grpc: ${grpc}`, `http: ${http}`, '    routePrefix: /app2', '      grpc-image-classifier:']) t.ok(stdout.split('\n').includes(line), line)
  t.equal((await run(['status', '-a', grpc])).stdout, `address: ${grpc}\nhealth: success\napplications:\n  - name: app1\n  - name: app2\n`)
  t.match((await run(['status', '-a', http])).stdout, /health: success\napplications:\n {2}- name: app1\n {4}routePrefix: \/app1\n/)
  t.equal((await run(['routes', '-a', http])).stdout, '/app1 app1\n/app2 app2\n')
  t.match((await run(['routes'])).stdout, /^\/app1 app1\n\/app2 app2\nPOST \/userdefinedservice\/__call__ \/userdefinedprotos\.UserDefinedService\/__call__\n/)
  for (const address of [grpc, http]) t.same(await run(['healthz', '-a', address]), { code: 0, stdout: 'success\n', stderr: '' })
  t.same(await run(['drain', '--wait']), { code: 0, stdout: 'draining\n', stderr: '' })
  for (const address of [grpc, http]) t.same(await run(['healthz', '-a', address]), { code: 1, stdout: 'This node is being drained.\n', stderr: '' })
  t.match(await run(['status', '-a', http]), { code: 1, stdout: /health: This node is being drained\.\n/ })
  t.match(await run(['status', pid]), { code: 1, stdout: /state: draining\n/ })
  t.match(await post(`${http}/app1`, { name: 'foo', origin: 'bar' }), { greeting: 'Hello foo from bar' }, 'calls are still served')
  t.same(await run(['drain', pid, '--undo']), { code: 0, stdout: 'serving\n', stderr: '' })
  t.match(await run(['healthz', '-a', http]), { code: 0 })

  const other = await serve(t, ['kinds'])
  t.match(await run(['drain']), { code: 1, stderr: /^error: Several servers run here\. Name one: \d+, \d+\n$/ })
  t.match(await run(['status', other.pid]), { code: 0, stdout: `pid: ${other.pid}\n` })
  other.child.kill('SIGKILL')
  await other.ended
  t.match(await run(['status', other.pid]), { code: 1, stderr: /^error: There is no server of .+ with the process id \d+\n$/ })
  t.match(await run(['status']), { code: 0 }, 'one that was killed does not count')
  t.match(await run(['drain', 'x']), { code: 2, stderr: /^error: A process id is a number, not x/ })
  t.match(await run(['healthz', '-a', 'localhost']), { code: 2, stderr: /^error: --address must be a URL for HTTP, or host:port for gRPC, not localhost/ })
  t.match(await run(['healthz', '-a', '127.0.0.1:1']), { code: 1 })
})

t.test('build writes a configuration that serves', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'cmd-build-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'built.yaml')
  t.same(await run(['build', 'user_defined:g', 'user_defined:g2', '--proto', PROTO, '--service', 'userdefinedprotos.UserDefinedService', '-o', file]), { code: 0, stdout: '', stderr: '' })
  t.match(readFileSync(file, 'utf8'), /- name: app2\n {4}route_prefix: \/app2\n {4}import_path: .*user_defined\.js:g2\n {4}args: \{\}\n {4}deployments:\n {6}- name: DataPreprocessor\n {6}- name: grpc-image-classifier\n {8}max_ongoing_requests: 8\n$/)
  const { http } = await serve(t, [file])
  t.match(await post(`${http}/app1`, { name: 'foo', origin: 'bar' }), { greeting: 'Hello foo from bar' })
  t.match((await run(['build', 'built:build'])).stdout, /route_prefix: \/\n {4}import_path: built\.js:build\n/, 'one application has the root; a function its defaults')
  t.match(await run(['build', 'built:unbound']), { code: 1, stderr: /^error: built:unbound is no application/ })
  t.match(await run(['build']), { code: 2, stderr: /^error: An application, module:export, is missing/ })
})

t.test('--watch starts again on the same ports when a module or a schema changes, also after one that did not work', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'cmd-watch-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/fastify-grpc-gateway'))
  cpSync(join(root, 'protos/helloworld.proto'), join(folder, 'helloworld.proto'))
  const write = (greeting: string): void => writeFileSync(join(folder, 'app.js'), `import { deployment } from 'fastify-grpc-gateway/serving'\nexport class Model { SayHello ({ name }) { return { message: ${greeting} + name } } }\nexport const app = deployment(Model).bind()\n`)
  write("'One '")
  writeFileSync(join(folder, 'config.yaml'), 'grpc_options: { grpc_servicer_functions: [helloworld.proto:helloworld.Greeter] }\napplications: [{ import_path: "app:app" }]\n')
  const { http, grpc, child, ended, output, errors } = await serve(t, ['config.yaml', '--watch'], folder)
  const greets = async (message: string): Promise<void> => {
    let found = ''
    const poll = setInterval(() => { post(`${http}/greeter/sayhello`, { name: 'you' }).then(reply => { found = (reply as { message: string }).message }, () => {}) }, 100)
    await until(() => found === message, message, 20_000).finally(() => clearInterval(poll))
  }
  await greets('One you')
  write("'Two '")
  await greets('Two you')
  write("'Three ")
  await until(() => /error: config.yaml:2: applications\[0\]\.import_path is wrong: app:app can't be imported! (?:\S+app\.js:2: )?Invalid or unexpected token\n/.test(errors()), 'the error', 20_000)
  write("'Four '")
  await greets('Four you')
  t.equal([...new Set(output().split('\n'))].filter(line => line !== '').length, 2, 'the same addresses each time')
  t.match(output(), `gRPC ${grpc}\nHTTP ${http}\n`)
  child.kill('SIGINT')
  t.equal(await ended, 0)
  await t.rejects(fetch(http), 'the server has ended too')
})

t.test('help of each command, the version, and wrong use', async t => {
  t.match(await run(['--help']), { code: 0, stdout: /^Usage: fastify-grpc-gateway <command>/, stderr: '' })
  await Promise.all(['serve', 'build', 'status', 'routes', 'healthz', 'drain', 'call'].map(async name => {
    const { code, stdout } = await run([name, '--help'])
    t.equal(code, 0)
    t.ok(stdout.startsWith(`Usage: fastify-grpc-gateway ${name} `), name)
    t.match(stdout, /-h, --help/)
  }))
  t.match(await run(['help', 'call']), { code: 0, stdout: /^Usage: fastify-grpc-gateway call/ })
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  t.same(await run(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
  t.match(await run([]), { code: 2 })
  t.match(await run(['deploy']), { code: 2, stderr: /^error: There is no command deploy\. There are: serve, / })
  t.match(await run(['drain', '--now']), { code: 2, stderr: "error: Unknown option '--now'. See fastify-grpc-gateway drain --help\n" })
})
