/** The manifests of examples/kubernetes: Kubernetes takes them, they agree with each other and with the app that they run. */
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { BASE_PATH, makeGateway } from '../examples/kubernetes/main.ts'
import { makeCertificates } from '../examples/mutual-tls/certificates.ts'
import { loadProto } from '../src/index.ts'
import { endsOnSigterm, example, run, type Running } from './example-process.ts'
import { problemsOf, type Manifest } from './kubernetes-schema.ts'
import { fetchReply, grpcClient } from './serving.ts'

const { Health } = loadProto(new URL('../protos/grpc/health/v1/health.proto', import.meta.url))

const folder = fileURLToPath(new URL('../examples/kubernetes', import.meta.url))

/** What kubectl reads: YAML 1.1, in which 0440 is octal. */
function read (path: string): any[] {
  return parseAllDocuments(readFileSync(join(folder, path), 'utf8'), { version: '1.1' }).map(document => {
    t.same(document.errors, [], path)
    return document.toJS()
  })
}

/** What `kubectl apply -k` would apply: the resources of a folder with its patches. */
function build (root: string): Manifest[] {
  const [{ resources, patches = [] }] = read(join(root, 'kustomization.yaml')) as [{ resources: string[], patches?: Array<{ path: string }> }]
  const files = readdirSync(join(folder, root)).filter(file => file !== 'kustomization.yaml').sort()
  t.same([...resources.filter(path => path.endsWith('.yaml')), ...patches.map(({ path }) => path)].sort(), files, `every file of ${root} is used`)
  const built = resources.flatMap(path => path.endsWith('.yaml') ? read(join(root, path)) : build(join(root, path)))
  for (const patch of patches.flatMap(({ path }) => read(join(root, path)))) {
    const at = built.findIndex(({ kind, metadata }) => kind === patch.kind && metadata.name === patch.metadata.name)
    t.not(at, -1, `there is a ${patch.kind} to patch`)
    built[at] = patched(built[at], patch)
  }
  return built
}

/** By which fields the lists of a strategic merge patch know their items. */
const KEYS: Record<string, string> = { containers: 'name', env: 'name', volumes: 'name', volumeMounts: 'mountPath', ports: 'port' }

/** A strategic merge patch: null takes away, lists are merged by key. */
function patched (value: any, patch: any, field = ''): any {
  const key = KEYS[field]
  if (Array.isArray(patch) && key !== undefined) {
    const items = (value ?? []) as any[]
    const added = patch.filter(item => !items.some(it => it[key] === item[key]))
    return [...items.map(item => patched(item, patch.find(it => it[key] === item[key]) ?? {})), ...added]
  }
  if (typeof patch !== 'object' || Array.isArray(patch)) return patch
  const fields = Object.entries(patch).filter(([, change]) => change !== null).map(([name, change]) => [name, patched(value?.[name], change, name)])
  const kept = Object.entries(value ?? {}).filter(([name]) => patch[name] === undefined)
  return Object.fromEntries([...kept, ...fields])
}

const manifests = build('base')
const overTls = build('tls')

function manifest (kind: string, name = 'greeter', among = manifests): Manifest {
  const found = among.find(manifest => manifest.kind === kind && manifest.metadata.name === name)
  if (found === undefined) throw new Error(`There is no ${kind} ${name}`)
  return structuredClone(found)
}

/** A manifest with one value, at a path such as `spec.replicas`, changed. */
function changed (kind: string, path: string, value: unknown): Manifest {
  const result = manifest(kind)
  const keys = path.split('.')
  const parent = keys.slice(0, -1).reduce((parent: any, key) => parent[key], result)
  parent[keys.at(-1)!] = value
  return result
}

const container = 'spec.template.spec.containers.0'
const WRONG: Array<[Manifest, RegExp]> = [
  [changed('Deployment', 'spec.replica', 3), /"replica".* does not exist/],
  [changed('Deployment', `${container}.readinessProbe.httpGet.url`, '/readyz'), /"url".* does not exist/],
  [changed('Deployment', `${container}.startupProbe.grpc.port`, 'grpc'), /port must be integer/],
  [changed('Deployment', `${container}.lifecycle.preStop.sleep`, {}), /required property seconds/],
  [changed('Deployment', `${container}.resources.limits.memory`, '256 MB'), /memory must match format "quantity"/],
  [changed('Deployment', 'spec.selector', undefined), /required property selector/],
  [changed('HorizontalPodAutoscaler', 'spec.metrics.0.resource.target.type', 7), /type must be string/],
  [changed('PodDisruptionBudget', 'spec.minimumAvailable', 1), /"minimumAvailable".* does not exist/],
  [changed('GRPCRoute', 'spec.rules.0.backendRefs.0.port', 70_000), /port must be <= 65535/],
  [changed('HTTPRoute', 'spec.rules.0.matches.0.path.type', 'Prefix'), /type must be equal to one of the allowed values/]
]

const valid = [...manifests, ...overTls]
const problems = await problemsOf([...valid, ...WRONG.map(([manifest]) => manifest)])

t.test('Kubernetes and Gateway API take every manifest', async t => {
  for (const [i, { kind, metadata }] of valid.entries()) t.same(problems[i], [], `${kind} ${metadata.name}`)
})

t.test('what is wrong with a manifest is found', async t => {
  for (const [i, [, problem]] of WRONG.entries()) t.match(problems[valid.length + i]!.join(' '), problem)
})

const deployment = manifest('Deployment')
const { metadata: podMetadata, spec: pod } = deployment.spec.template
const [app] = pod.containers
const env = environmentOf(app)
const portOf = (name: string): number => app.ports.find((port: { name: string }) => port.name === name)?.containerPort
function environmentOf ({ env }: { env: Array<{ name: string, value: string }> }): Record<string, string> {
  return Object.fromEntries(env.map(({ name, value }) => [name, value]))
}
const services = manifests.filter(({ kind }) => kind === 'Service')

t.test('selectors choose the pods, and references lead somewhere', async t => {
  const selectors = [
    deployment.spec.selector.matchLabels,
    manifest('PodDisruptionBudget').spec.selector.matchLabels,
    ...pod.topologySpreadConstraints.map((constraint: any) => constraint.labelSelector.matchLabels),
    ...services.map(({ spec }) => spec.selector)
  ]
  for (const selector of selectors) t.match(podMetadata.labels, selector)
  t.match(deployment, { kind: manifest('HorizontalPodAutoscaler').spec.scaleTargetRef.kind, metadata: { name: manifest('HorizontalPodAutoscaler').spec.scaleTargetRef.name } })
  for (const { metadata, spec } of services) for (const { targetPort } of spec.ports) t.ok(portOf(targetPort), `${metadata.name} sends to ${targetPort}`)
  for (const route of [manifest('GRPCRoute'), manifest('HTTPRoute')]) {
    for (const { name, sectionName } of route.spec.parentRefs) t.ok(manifest('Gateway', name).spec.listeners.some((listener: any) => listener.name === sectionName), `${route.kind} goes in by ${sectionName}`)
    for (const { name, port } of route.spec.rules.flatMap((rule: any) => rule.backendRefs)) {
      t.ok(manifest('Service', name).spec.ports.some((it: any) => it.port === port), `${route.kind} leads to ${name}:${port}`)
    }
  }
})

t.test('ports are those at which the app listens', async t => {
  t.same([portOf('http'), portOf('grpc')], [Number(env.HTTP_PORT), Number(env.GRPC_PORT)])
  for (const probe of [app.startupProbe, app.readinessProbe, app.livenessProbe]) {
    if (probe.grpc !== undefined) t.equal(probe.grpc.port, portOf('grpc'))
    else t.ok(portOf(probe.httpGet.port))
  }
})

t.test('the pod is killed only after its drain', async t => {
  const seconds = app.lifecycle.preStop.sleep.seconds + (Number(env.DRAIN_MS) + Number(env.GRACE_MS)) / 1000
  t.ok(pod.terminationGracePeriodSeconds >= seconds + 5, `${pod.terminationGracePeriodSeconds} s are enough for ${seconds} s and the end of the process`)
  t.ok(app.lifecycle.preStop.sleep.seconds >= 5, 'its address is taken out of lists before clients are asked to go')
})

t.test('objects of Node.js leave memory for the rest', async t => {
  const heap = Number(/--max-old-space-size=(\d+)/.exec(env.NODE_OPTIONS!)![1])
  t.equal(app.resources.limits.memory, app.resources.requests.memory)
  t.ok(heap <= 0.75 * Number(/^(\d+)Mi$/.exec(app.resources.limits.memory)![1]))
})

t.test('the pod can do no more than it needs', async t => {
  t.match(pod, { automountServiceAccountToken: false, securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } } })
  t.match(app.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
})

t.test('what is open to everybody is the RPCs of the app, and no name belongs to two kinds of route', async t => {
  const [grpcRoute, httpRoute] = [manifest('GRPCRoute').spec, manifest('HTTPRoute').spec]
  t.equal(new Set([...grpcRoute.hostnames, ...httpRoute.hostnames]).size, grpcRoute.hostnames.length + httpRoute.hostnames.length)
  const open = grpcRoute.rules.flatMap((rule: any) => rule.matches).map(({ method }: any) => method.service)
  t.same(open, [...new Set(makeGateway().routes().map(({ rpc }) => rpc.split('/')[1]))])
  t.same(httpRoute.rules.flatMap((rule: any) => rule.matches).map(({ path }: any) => path.value), [BASE_PATH])
})

/** What the kubelet does with a probe: it asks, and takes any certificate. */
async function passes (probe: any, { grpc, http }: Running): Promise<boolean> {
  if (probe.grpc !== undefined) {
    const client = grpcClient(Health!, grpc)
    const { messages } = await client.call('Check', { service: probe.grpc.service ?? '' })
    client.raw.close()
    return (messages[0] as { status: string } | undefined)?.status === 'SERVING'
  }
  const { path, scheme = 'HTTP' } = probe.httpGet
  if (scheme === 'HTTP') return (await fetchReply(http + path)).status === 200
  return await new Promise((resolve, reject) => {
    get(http.replace('http:', 'https:') + path, { rejectUnauthorized: false, agent: false }, ({ statusCode }) => resolve(statusCode === 200)).on('error', reject)
  })
}

const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe']
/** Nobody waits as long as in a cluster. */
const here = { HOST: '127.0.0.1', DRAIN_MS: '0' }

t.test('the app runs with what the Deployment gives it, passes the probes, and ends on SIGTERM', async t => {
  const running = await run(t, example('kubernetes/main.ts'), undefined, { ...env, ...here })
  for (const name of PROBES) t.ok(await passes(app[name], running), name)
  const url = `${running.http}${BASE_PATH}/grpc/helloworld.Greeter/SayHello`
  t.match(await fetchReply(url, { method: 'POST', body: '{"name":"pod"}', headers: { 'content-type': 'application/json' } }), { json: { message: 'Hello, pod!' } })
  await endsOnSigterm(t, running)
})

t.test('with TLS as far as the pod, probes pass, and a new secret is taken up', async t => {
  const [secure] = manifest('Deployment', 'greeter', overTls).spec.template.spec.containers
  const secureEnv = environmentOf(secure)
  const secret = await secretFolder(t)
  const inSecret = (path: string): string => path.replace(secure.volumeMounts[0].mountPath, secret.path)
  const running = await run(t, example('kubernetes/main.ts'), undefined, { ...secureEnv, ...here, TLS_CERT: inSecret(secureEnv.TLS_CERT!), TLS_KEY: inSecret(secureEnv.TLS_KEY!) })
  for (const name of PROBES) t.ok(await passes(secure[name], running), name)

  const ports = [Number(new URL(running.http).port), Number(running.grpc.split(':')[1])]
  const before = await Promise.all(ports.map(shownCertificate))
  t.equal(before[0], before[1])
  secret.renew()
  await untilAsync(async () => (await Promise.all(ports.map(shownCertificate))).every(shown => shown !== before[0]))
  await endsOnSigterm(t, running)
})

t.test('after SIGTERM the pod is not ready, lives, and answers as long as it drains', async t => {
  const running = await run(t, example('kubernetes/main.ts'), undefined, { ...env, ...here, DRAIN_MS: '60000' })
  running.child.kill('SIGTERM')
  await untilAsync(async () => !await passes(app.readinessProbe, running))
  t.notOk(await passes(app.startupProbe, running), 'gRPC clients are told too')
  t.ok(await passes(app.livenessProbe, running))
  const url = `${running.http}${BASE_PATH}/grpc/helloworld.Greeter/SayHello`
  t.match(await fetchReply(url, { method: 'POST', body: '{"name":"pod"}', headers: { 'content-type': 'application/json' } }), { json: { message: 'Hello, pod!' } })
})

/** A mounted secret: names that lead through the link `..data`, which the kubelet points elsewhere. */
async function secretFolder (t: Test): Promise<{ path: string, renew: () => void }> {
  const path = mkdtempSync(join(tmpdir(), 'secret-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  for (const version of ['old', 'new']) {
    const { serverKey, serverCert } = await makeCertificates(join(path, version))
    renameSync(serverKey, join(path, version, 'tls.key'))
    renameSync(serverCert, join(path, version, 'tls.crt'))
  }
  const lead = (to: string): void => {
    symlinkSync(to, join(path, '..next'))
    renameSync(join(path, '..next'), join(path, '..data'))
  }
  lead('old')
  for (const name of ['tls.key', 'tls.crt']) symlinkSync(`..data/${name}`, join(path, name))
  return { path, renew: () => lead('new') }
}

/** The fingerprint of the certificate that a port shows. */
async function shownCertificate (port: number): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] }, () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
    }).on('error', reject)
  })
}

async function untilAsync (condition: () => Promise<boolean>): Promise<void> {
  while (!await condition()) await setTimeout(50)
}
