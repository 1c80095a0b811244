/** Who gets in, and who does not: the same on every protocol. */
import { createHmac, generateKeyPairSync, sign as signBytes, timingSafeEqual, type KeyObject } from 'node:crypto'
import * as crypto from 'node:crypto'
import { createServer } from 'node:http'
import { connect as http2Connect } from 'node:http2'
import { connect } from 'node:net'
import { credentials as grpcCredentials, Metadata, ServerInterceptingCall, ServerListenerBuilder, type ServerInterceptor } from '@grpc/grpc-js'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { generate } from 'selfsigned'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { anyOf, bearerToken, bearerTokens, contextOf, GrpcError, GrpcGateway, implement, jwt, loadProto, mtlsIdentity, registerGrpcHttpRoutes, requireScopes, status, type Authenticator, type CallContext, type GatewayOptions, type JwtIdentity, type JwtOptions } from '../src/index.ts'
import { CALL_PROTOCOLS, serveEverywhere, type Everywhere, type Headers } from './every-protocol.ts'
import { Greeter, Kinds, KINDS, serve, until } from './serving.ts'

/** Answers every kind with who calls. */
const whoami = implement(Kinds, {
  Unary: (_request, { principal }) => ({ text: JSON.stringify(principal) }),
  async * ServerStream (_request, { principal }) { yield { text: JSON.stringify(principal) } },
  async ClientStream (requests, { principal }) {
    let n = 0
    for await (const { text } of requests) n += text.length
    return { text: JSON.stringify(principal), n: String(n) }
  },
  async * Bidi (requests, { principal }) { for await (const { text } of requests) yield { text: JSON.stringify(principal), n: String(text.length) } }
})

const { Health } = loadProto(new URL('../protos/grpc/health/v1/health.proto', import.meta.url))

const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` })
const KNOWN = 'a-token-that-is-long-enough'
const DEFAULT_CHALLENGE = 'Bearer realm="api"'

function everywhere (t: Test, options: Partial<GatewayOptions>): Promise<Everywhere> {
  return serveEverywhere(t, { services: [whoami], ...options })
}

/** Checks that a call with these headers ends alike on all protocols, and how. */
async function alike (t: Test, { call }: Everywhere, headers: Headers, { challenge, ...expected }: { code: number, challenge?: string, [more: string]: unknown }, name: string): Promise<void> {
  for (const protocol of CALL_PROTOCOLS) {
    const result = await call(protocol, { headers })
    t.match(result, expected, `${name}: ${protocol}`)
    // A text would match a longer one.
    if (challenge !== undefined) t.equal(result.challenge, challenge, `${name}: challenge over ${protocol}`)
  }
}

t.test('what authenticate returns is the principal, in every kind of method on every protocol', async t => {
  let calls = 0
  const { call } = await everywhere(t, { authenticate: ({ metadata }) => { calls++; return { name: metadata.get('x-user')[0] } } })
  for (const protocol of CALL_PROTOCOLS) {
    for (const rpc of KINDS) {
      calls = 0
      t.match(await call(protocol, { rpc, headers: { 'x-user': 'ann' } }), { code: status.OK, message: { text: '{"name":"ann"}' } }, `${rpc} over ${protocol}`)
      t.equal(calls, 1, 'once')
    }
  }
})

t.test('handlers of grpc-js find the principal in the context of their call', async t => {
  class Classic {
    static addToServer (_instance: Classic, server: { addService (definition: typeof Kinds, handlers: object): void }): void {
      server.addService(Kinds, { Unary: (call: object, callback: (error: null, value: object) => void) => callback(null, { text: String(contextOf(call).principal) }) })
    }
  }
  const { call } = await serveEverywhere(t, { services: [Classic], authenticate: async () => 'ann' })
  for (const protocol of CALL_PROTOCOLS) t.match(await call(protocol), { message: { text: 'ann' } }, protocol)
})

t.test('nobody gets in by returning nothing, and no handler runs', async t => {
  for (const nobody of [undefined, null, false]) {
    const served = await everywhere(t, { authenticate: async () => nobody })
    for (const rpc of KINDS) {
      for (const protocol of CALL_PROTOCOLS) {
        t.match(await served.call(protocol, { rpc }), { code: status.UNAUTHENTICATED, details: 'Authentication is required', message: undefined, challenge: DEFAULT_CHALLENGE, http: protocol === 'grpc' ? undefined : 401 }, `${nobody}, ${rpc} over ${protocol}`)
      }
    }
    t.same(served.lines.filter(({ level }) => level === 'error'), [])
  }
})

t.test('what authenticate throws ends the call: statuses as they are, the rest as INTERNAL that is logged', async t => {
  const thrown: Record<string, [error: unknown, expected: { code: number, challenge?: string, details?: string }]> = {
    'a GrpcError': [new GrpcError(status.RESOURCE_EXHAUSTED, 'Too many'), { code: status.RESOURCE_EXHAUSTED, details: 'Too many' }],
    'UNAUTHENTICATED without challenge': [new GrpcError(status.UNAUTHENTICATED, 'No'), { code: status.UNAUTHENTICATED, details: 'No', challenge: DEFAULT_CHALLENGE }],
    'an error': [new TypeError('secret'), { code: status.INTERNAL, details: 'Internal error' }],
    'an error with status 200': [Object.assign(new Error('secret'), { statusCode: 200, code: 0 }), { code: status.INTERNAL, details: 'Internal error' }],
    nothing: [undefined, { code: status.INTERNAL, details: 'Internal error' }]
  }
  for (const [name, [error, expected]] of Object.entries(thrown)) {
    for (const authenticate of [() => { throw error }, async () => { throw error }]) {
      const served = await everywhere(t, { authenticate })
      await alike(t, served, {}, expected, name)
      t.equal(served.lines.filter(({ level, message }) => level === 'error' && message === 'Authentication failed').length, expected.code === status.INTERNAL ? CALL_PROTOCOLS.length : 0, `${name}: logged`)
    }
  }
})

t.test('interceptors run before authenticate, which sees what they make of the metadata', async t => {
  const seen: string[] = []
  const cookie: ServerInterceptor = (_descriptor, call) => new ServerInterceptingCall(call, {
    start: next => next(new ServerListenerBuilder().withOnReceiveMetadata((metadata, next) => {
      seen.push('interceptor')
      metadata.set('authorization', `Bearer ${String(metadata.get('x-session')[0])}`)
      setImmediate(next, metadata)
    }).build())
  })
  const served = await everywhere(t, {
    interceptors: [cookie],
    authenticate: context => { seen.push('authenticate'); return bearerToken(context) === 'good' ? 'ann' : undefined }
  })
  await alike(t, served, { 'x-session': 'good' }, { code: status.OK, message: { text: '"ann"' } }, 'let in')
  await alike(t, served, { 'x-session': 'bad' }, { code: status.UNAUTHENTICATED }, 'refused')
  t.same(seen, Array(6).fill(['interceptor', 'authenticate']).flat())
  t.match(await served.call('websocket', { headers: { 'x-session': 'bad' } }), { http: 401 }, 'before the upgrade')
})

t.test('an interceptor that reads ahead gets no message past the gate', async t => {
  let read = 0
  const eager: ServerInterceptor = (_descriptor, call) => new ServerInterceptingCall(call, {
    start: next => next(new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        next(metadata)
        call.startRead()
      })
      .withOnReceiveMessage((message, next) => {
        read++
        next(message)
      })
      .build())
  })
  let handled = 0
  const counting = implement(Kinds, {
    Unary: () => { handled++; return { text: 'in' } },
    async ClientStream (requests) { handled++; let n = 0; for await (const { text } of requests) n += text.length; return { text: 'in', n: String(n) } }
  })
  let open: ((principal: unknown) => void) | undefined
  const { call } = await serveEverywhere(t, { services: [counting], interceptors: [eager], authenticate: () => new Promise(resolve => { open = resolve }) })
  for (const rpc of ['Unary', 'ClientStream'] as const) {
    for (const protocol of CALL_PROTOCOLS) {
      for (const principal of [undefined, 'ann']) {
        handled = read = 0
        open = undefined
        const result = call(protocol, { rpc })
        // Over a WebSocket, messages come after the upgrade, and that after the gate.
        await until(() => open !== undefined && (read === 1 || protocol === 'websocket'), 'the first message')
        t.equal(handled, 0, 'waits')
        open!(principal)
        t.match(await result, principal === undefined ? { code: status.UNAUTHENTICATED } : { code: status.OK, message: rpc === 'Unary' ? { text: 'in' } : { text: 'in', n: '2' } }, `${rpc} over ${protocol}`)
        t.equal(handled, principal === undefined ? 0 : 1)
      }
    }
  }
})

t.test('a body is not parsed, and an upload not read, before the client is known', async t => {
  const { url } = await everywhere(t, { authenticate: () => undefined })
  const post = (rpc: string, body: string): Promise<Response> => fetch(`${url}/grpc/test.Kinds/${rpc}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  t.equal((await post('Unary', '{ not json')).status, 401)
  t.equal((await post('ClientStream', '{ not json')).status, 401)
  t.equal((await fetch(`${url}/grpc/test.Kinds/Unary?nofield=1`, { method: 'POST' })).status, 401)
})

t.test('while authenticate waits, cancellation, deadline and shutdown end the call, and nothing comes after', async t => {
  let asked = 0
  let settle: Array<(late: boolean) => void> = []
  const signals: AbortSignal[] = []
  const options = {
    shutdown: {},
    deadline: { timeout: { default: 50 } },
    cancel: {}
  }
  for (const [why, more] of Object.entries(options)) {
    let handled = 0
    asked = 0
    settle = []
    signals.length = 0
    const service = implement(Kinds, { Unary: () => { handled++; return {} } })
    const served = await serveEverywhere(t, {
      services: [service],
      ...more,
      authenticate: ({ signal }) => new Promise((resolve, reject) => {
        asked++
        signals.push(signal)
        settle.push(late => late ? resolve('ann') : reject(new Error('late')))
      })
    })
    const leaving = new AbortController()
    const results = [...CALL_PROTOCOLS, ...CALL_PROTOCOLS].map(protocol => served.call(protocol, { signal: leaving.signal }).catch(() => undefined))
    await until(() => asked === results.length, 'all calls')
    if (why === 'cancel') leaving.abort()
    if (why === 'shutdown') await served.gateway.shutdown({ graceMs: 0 })
    await until(() => signals.every(({ aborted }) => aborted), `the signals: ${why}`)
    if (why !== 'cancel') for (const result of await Promise.all(results)) t.equal(result?.code, why === 'deadline' ? status.DEADLINE_EXCEEDED : status.UNAVAILABLE, why)
    settle.forEach((end, i) => end(i < 3))
    await new Promise(resolve => setImmediate(resolve))
    t.equal(handled, 0, 'no handler runs')
    t.same(served.lines.filter(({ level }) => level === 'error'), [], 'no error')
    t.equal(served.lines.filter(({ message }) => message === 'Authentication failed after its call was over').length, 3, 'late errors are warned of')
    await served.gateway.shutdown({ graceMs: 1000 })
  }
})

t.test('authorize: nothing but true lets a principal in', async t => {
  const results: Array<[given: unknown, expected: { code: number }]> = [
    [true, { code: status.OK }],
    [Promise.resolve(true), { code: status.OK }],
    ...[false, undefined, null, 0, 1, 'yes', {}, Promise.resolve(undefined)].map((given): [unknown, { code: number, details: string, challenge: string }] => [given, { code: status.PERMISSION_DENIED, details: 'Permission denied', challenge: '' }])
  ]
  for (const [given, expected] of results) {
    const served = await everywhere(t, { authenticate: () => 'ann', authorize: () => given as boolean })
    await alike(t, served, {}, expected, String(given))
    if (given === false) t.match(await served.call('http'), { http: 403 })
  }
  const throwing = await everywhere(t, { authenticate: () => 'ann', authorize: () => { throw new Error('bug') } })
  await alike(t, throwing, {}, { code: status.INTERNAL }, 'a bug lets nobody in')
})

t.test('rules of gateway, service and method must all let the call in, in this order', async t => {
  const asked: string[] = []
  const rule = (name: string) => (principal: string, { method }: CallContext): boolean => {
    asked.push(`${name} of ${method.name}`)
    return principal.includes(name)
  }
  const served = await everywhere(t, {
    authenticate: ({ metadata }) => String(metadata.get('x-may')[0]),
    authorize: rule('a'),
    methods: { 'test.Kinds.*': { authorize: rule('b') }, 'test.Kinds.Unary': { authorize: rule('c') } }
  })
  for (const [may, code] of [['abc', status.OK], ['bc', status.PERMISSION_DENIED], ['ac', status.PERMISSION_DENIED], ['ab', status.PERMISSION_DENIED]] as const) {
    await alike(t, served, { 'x-may': may }, { code }, may)
  }
  asked.length = 0
  await served.call('grpc', { headers: { 'x-may': 'abc' } })
  await served.call('grpc', { rpc: 'ServerStream', headers: { 'x-may': 'ab' } })
  t.same(asked, ['a of Unary', 'b of Unary', 'c of Unary', 'a of ServerStream', 'b of ServerStream'])
})

t.test('public methods are called by everybody', async t => {
  let asked = 0
  const cases: Array<[publicMethods: string[], open: string[]]> = [
    [[], []],
    [['test.Kinds.Unary'], ['Unary']],
    [['test.Kinds.*'], [...KINDS]],
    [['test.Kinds.*', '!test.Kinds.Unary'], ['ServerStream', 'ClientStream', 'Bidi']],
    [['test.Kinds.Unary', '!test.Kinds.*'], ['Unary']]
  ]
  for (const [publicMethods, open] of cases) {
    const { call } = await everywhere(t, { publicMethods, authenticate: () => { asked++; return undefined }, authorize: () => false })
    for (const protocol of CALL_PROTOCOLS) {
      for (const rpc of KINDS) t.equal((await call(protocol, { rpc, headers: bearer(KNOWN) })).code, open.includes(rpc) ? status.OK : status.UNAUTHENTICATED, `${publicMethods}: ${rpc} over ${protocol}`)
    }
  }
  t.equal(asked, 3 * (4 + 3 + 0 + 1 + 3), 'nobody is authenticated where everybody may call')
})

t.test('what is wrong with the options is said at construction', async t => {
  const make = (options: object) => () => new GrpcGateway({ services: [whoami], ...options })
  const authenticate = (): string => 'ann'
  const wrong: Array<[options: object, message: RegExp]> = [
    [{ authenticate: 'jwt' }, /`authenticate`.*function/],
    [{ authenticate, authorize: ['x'] }, /`authorize`.*function/],
    [{ authenticate, publicMethods: 'test.Kinds.Unary' }, /`publicMethods`.*list/],
    [{ authenticate, publicMethods: ['test.Kinds.unary'] }, /`publicMethods` of GrpcGateway names test\.Kinds\.unary, which is none of:.*test\.Kinds\.Unary/],
    [{ authenticate, publicMethods: ['!test.Kind.*'] }, /names !test\.Kind\.\*/],
    [{ authenticate, publicMethods: ['*'] }, /names \*/],
    [{ authorize: () => true }, /`authorize`.*needs `authenticate`/],
    [{ methods: { 'test.Kinds.Unary': { authorize: () => true } } }, /of test\.Kinds\.Unary\) needs `authenticate`/],
    [{ authenticate, methods: { 'test.Kinds.Unary': { authorize: true } } }, /`authorize` must be a function/],
    [{ authenticate, publicMethods: ['test.Kinds.*'], methods: { 'test.Kinds.Unary': { authorize: () => true } } }, /`authorize` at test\.Kinds\.Unary, which is public/],
    [{ authenticate, publicMethods: ['test.Kinds.*'], methods: { 'test.Kinds.*': { authorize: () => true } } }, /`authorize` at test\.Kinds\.\*, which is public/]
  ]
  for (const [options, message] of wrong) t.throws(make(options), { code: 'FGG_ERR_OPTION', message })
  t.doesNotThrow(make({ authenticate, publicMethods: ['test.Kinds.Unary'], methods: { 'test.Kinds.*': { authorize: () => true } } }), 'a rule for the rest of the service')
  t.doesNotThrow(make({ publicMethods: ['test.Kinds.Unary'] }))
})

t.test('health is public by default, and can be taken out of that; everything else that is built in is not', async t => {
  for (const [publicMethods, code] of [[[], status.OK], [['!grpc.health.v1.Health.*'], status.UNAUTHENTICATED], [['!grpc.health.v1.Health.*', 'grpc.health.v1.Health.Check'], status.OK]] as const) {
    const { client, url } = await serve(t, { services: [whoami], authenticate: () => undefined, publicMethods })
    t.match(await client(Health!).call('Check', {}), { code }, publicMethods.join())
    t.equal((await fetch(`${url}/readyz`)).status, 200, 'probes over HTTP are no calls')
  }
})

t.test('reflection is for those who are known, unless it is made public', async t => {
  const { ServerReflection } = loadProto(new URL('../protos/grpc/reflection/v1/reflection.proto', import.meta.url))
  const asked = async (publicMethods: string[], headers: Record<string, string>): Promise<number> => {
    const { client } = await serve(t, { services: [whoami], reflection: true, authenticate: bearerTokens({ billing: KNOWN }), publicMethods })
    const metadata = new Metadata()
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
    return (await client(ServerReflection!).call('ServerReflectionInfo', [{ listServices: '' }], { metadata })).code
  }
  t.equal(await asked([], {}), status.UNAUTHENTICATED)
  t.equal(await asked([], { authorization: `Bearer ${KNOWN}` }), status.OK)
  t.equal(await asked(['grpc.reflection.v1.ServerReflection.*'], {}), status.OK)
})

t.test('who is not let in takes no place of those who are', async t => {
  let held: (() => void) | undefined
  const service = implement(Kinds, { Unary: () => new Promise(resolve => { held = () => resolve({ text: 'done' }) }) })
  const served = await serveEverywhere(t, { services: [service], limits: { concurrentCalls: 1 }, authenticate: ({ metadata }) => metadata.get('x-user')[0] })
  const first = served.call('grpc', { headers: { 'x-user': 'ann' } })
  await until(() => held !== undefined, 'the first call')
  await alike(t, served, {}, { code: status.UNAUTHENTICATED }, 'a stranger')
  await alike(t, served, { 'x-user': 'bob' }, { code: status.RESOURCE_EXHAUSTED }, 'somebody')
  t.match(await served.call('websocket', { headers: { 'x-user': 'bob' } }), { http: 429 }, 'before the upgrade')
  held!()
  t.match(await first, { code: status.OK })
  const stuck = Array.from({ length: 5 }, () => served.call('http'))
  for (const result of await Promise.all(stuck)) t.match(result, { http: 401 })
})

// ---- tokens

const NOT_TOKENS: Array<[name: string, headers: Headers, challenge: string]> = [
  ['no credentials', {}, DEFAULT_CHALLENGE],
  ['another scheme', { authorization: `Basic ${KNOWN}` }, DEFAULT_CHALLENGE],
  ['a scheme that begins alike', { authorization: `Bearertoken ${KNOWN}` }, DEFAULT_CHALLENGE],
  ['a token alone', { authorization: KNOWN }, DEFAULT_CHALLENGE],
  ['no token', { authorization: 'Bearer' }, 'Bearer realm="api", error="invalid_request", error_description="The Bearer token is malformed"'],
  ['two tokens', { authorization: `Bearer ${KNOWN}, Bearer ${KNOWN}` }, 'Bearer realm="api", error="invalid_request", error_description="The Bearer token is malformed"'],
  ['a token in quotes', { authorization: `Bearer "${KNOWN}"` }, 'Bearer realm="api", error="invalid_request", error_description="The Bearer token is malformed"'],
  ['another token', bearer(`${KNOWN}x`), 'Bearer realm="api", error="invalid_token", error_description="The token is not known"'],
  ['a token in another case', bearer(KNOWN.toUpperCase()), 'Bearer realm="api", error="invalid_token", error_description="The token is not known"'],
  ['the beginning of a token', bearer(KNOWN.slice(0, -1)), 'Bearer realm="api", error="invalid_token", error_description="The token is not known"'],
  ['__proto__', bearer('__proto__'), 'Bearer realm="api", error="invalid_token", error_description="The token is not known"'],
  ['a long token', bearer('x'.repeat(12_000)), 'Bearer realm="api", error="invalid_token", error_description="The token is not known"']
]

t.test('static tokens', async t => {
  const served = await everywhere(t, { authenticate: bearerTokens({ billing: KNOWN, ops: ['an-old-token-of-the-ops', 'a-new-token-of-the-ops', undefined], reports: { tokens: 'a-token-of-the-reports', scopes: ['read'] } }) })
  for (const [token, subject, scopes = []] of [[KNOWN, 'billing'], ['an-old-token-of-the-ops', 'ops'], ['a-new-token-of-the-ops', 'ops'], ['a-token-of-the-reports', 'reports', ['read']]] as const) {
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      await alike(t, served, { authorization: `${scheme} ${token}` }, { code: status.OK, message: { text: JSON.stringify({ type: 'token', subject, scopes }) } }, `${scheme} ${token}`)
    }
  }
  for (const [name, headers, challenge] of NOT_TOKENS) await alike(t, served, headers, { code: status.UNAUTHENTICATED, challenge, message: undefined }, name)
})

t.test('a browser sends its token as a subprotocol of the WebSocket', async t => {
  const { url } = await everywhere(t, { authenticate: bearerTokens({ billing: KNOWN }) })
  for (const [token, outcome] of [[KNOWN, 'open'], ['x', 'unexpected-response']] as const) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/grpc/kinds/unary`, ['json', `bearer.${token}`])
    socket.on('error', () => {})
    const happened = await Promise.race(['open', 'unexpected-response'].map(event => new Promise<string>(resolve => socket.once(event, () => resolve(event)))))
    t.equal(happened, outcome)
    socket.terminate()
  }
})

t.test('several authorization headers are refused, for nobody knows which one others have looked at', async t => {
  const { call } = await everywhere(t, { authenticate: bearerTokens({ billing: KNOWN }) })
  for (const protocol of ['http', 'websocket'] as const) {
    t.match(await call(protocol, { headers: { authorization: [`Bearer ${KNOWN}`, 'Bearer other'] } }), { code: status.UNAUTHENTICATED, http: 401, challenge: /invalid_request/ }, protocol)
  }
  const metadata = new Metadata()
  metadata.add('authorization', `Bearer ${KNOWN}`)
  metadata.add('authorization', `Bearer ${KNOWN}`)
  t.throws(() => bearerToken({ metadata }), { code: status.UNAUTHENTICATED })
})

t.test('bearerToken', async t => {
  const of = (value: string): string | undefined => {
    const metadata = new Metadata()
    metadata.set('authorization', value)
    return bearerToken({ metadata })
  }
  t.equal(of('Bearer abc'), 'abc')
  t.equal(of('  bEaReR   a.b-c_~+/==  '), 'a.b-c_~+/==')
  t.equal(bearerToken({ metadata: new Metadata() }), undefined)
  t.equal(of('Basic abc'), undefined)
  t.equal(of(''), undefined)
  for (const bad of ['Bearer', 'Bearer a b', 'Bearer a=b', 'Bearer a,b', 'Bearer {}', `Bearer ${'x'.repeat(20_000)}`, `Bearer ${' '.repeat(10_000)}x y`]) t.throws(() => of(bad), { code: status.UNAUTHENTICATED }, bad.slice(0, 20))
})

t.test('static tokens that could be guessed, or never be sent, are refused at start', async t => {
  const wrong: Array<[tokens: unknown, message: RegExp]> = [
    [{}, /needs a token/],
    [undefined, /needs a token/],
    [{ billing: '' }, /`billing` is missing/],
    [{ billing: undefined }, /`billing` is missing/],
    [{ billing: [] }, /`billing` is missing/],
    [{ billing: [undefined] }, /`billing` is missing/],
    [{ billing: 7 }, /`billing` is missing/],
    [{ billing: 'short' }, /`billing` is shorter than 20/],
    [{ billing: 'has spaces, and is long enough' }, /`billing` has other characters/],
    [{ billing: 'ein-schlüssel-der-lang-genug-ist' }, /`billing` has other characters/],
    [{ billing: KNOWN, ops: [KNOWN] }, /`ops` and `billing` have the same token/]
  ]
  for (const [tokens, message] of wrong) t.throws(() => bearerTokens(tokens as {}), { code: 'FGG_ERR_AUTH', message })
  t.throws(() => bearerTokens({ billing: KNOWN }, { realm: 'a"b' }), { code: 'FGG_ERR_AUTH', message: /realm/ })
})

t.test('tokens are compared in constant time: all of them, by their hashes', async t => {
  const compared: Array<[a: number, b: number]> = []
  const { bearerTokens } = await t.mockImport('../src/auth/bearer-tokens.ts', {
    'node:crypto': { ...crypto, timingSafeEqual: (a: Buffer, b: Buffer) => { compared.push([a.length, b.length]); return timingSafeEqual(a, b) } }
  }) as typeof import('../src/auth/bearer-tokens.ts')
  const authenticate = bearerTokens({ a: 'the-first-of-all-tokens', b: ['the-second-of-all-tokens', 'the-third-of-all-tokens'] })
  for (const token of ['the-first-of-all-tokens', 'the-third-of-all-tokens', 'x', 'x'.repeat(1000)]) {
    compared.length = 0
    const metadata = new Metadata()
    metadata.set('authorization', `Bearer ${token}`)
    try {
      await authenticate({ metadata } as CallContext)
    } catch {}
    t.same(compared, [[32, 32], [32, 32], [32, 32]], token.slice(0, 30))
  }
})

// ---- JSON Web Tokens

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const SECRET = 'a secret of at least thirty-two bytes'
const ISSUER = 'https://login.example.com/'
const now = (): number => Math.floor(Date.now() / 1000)
const claims = (more: object = {}): object => ({ iss: ISSUER, aud: 'bookstore', sub: 'ann', exp: now() + 60, ...more })
const base64 = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token, however wrong. */
function token (header: Record<string, unknown>, payload: unknown, key: KeyObject | string): string {
  const text = `${base64(header)}.${base64(payload)}`
  if (header.alg === 'none') return `${text}.`
  if (typeof key === 'string' || String(header.alg).startsWith('HS')) {
    const secret = typeof key === 'string' ? key : key.export({ type: 'spki', format: 'pem' })
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
  }
  const signature = key.asymmetricKeyType === 'ec'
    ? signBytes('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' })
    : signBytes(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', Buffer.from(text), key)
  return `${text}.${signature.toString('base64url')}`
}

const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }) as string
const jwk = (key: KeyObject, more: object = {}): Record<string, unknown> => ({ ...key.export({ format: 'jwk' }), ...more })
const good = (payload = claims(), header = {}): string => token({ alg: 'RS256', kid: 'one', ...header }, payload, rsa.privateKey)

/** An endpoint that publishes keys, and counts how often. */
async function publish (t: Test, answer: () => { status?: number, keys?: unknown, body?: string } | undefined): Promise<{ url: string, count (): number }> {
  let count = 0
  const server = createServer((_request, response) => {
    count++
    const given = answer()
    if (given === undefined) return
    response.statusCode = given.status ?? 200
    response.end(given.body ?? JSON.stringify({ keys: given.keys }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}/jwks.json`, count: () => count }
}

const FOR_ALL = { issuer: ISSUER, audience: 'bookstore' }

t.test('a token gets in by every source of keys', async t => {
  const { url } = await publish(t, () => ({ keys: [jwk(otherRsa.publicKey, { kid: 'two' }), jwk(rsa.publicKey, { kid: 'one' })] }))
  const sources: Record<string, [options: Partial<JwtOptions>, token: string]> = {
    jwksUrl: [{ jwksUrl: url, algorithms: ['RS256'] }, good()],
    'a URL object': [{ jwksUrl: new URL(url), algorithms: ['RS256'] }, good()],
    jwks: [{ jwks: { keys: [jwk(rsa.publicKey, { kid: 'one', alg: 'RS256' })] } }, good()],
    'a key of RSA': [{ key: pem(rsa.publicKey), algorithms: ['RS256'] }, good()],
    'a key object': [{ key: rsa.publicKey, algorithms: ['RS256'] }, good()],
    'a key of a curve': [{ key: pem(ec.publicKey) }, token({ alg: 'ES256' }, claims(), ec.privateKey)],
    'a key of Ed25519': [{ key: Buffer.from(pem(ed.publicKey)) }, token({ alg: 'EdDSA' }, claims(), ed.privateKey)],
    'a secret': [{ secret: SECRET }, token({ alg: 'HS256' }, claims(), SECRET)],
    'a secret of bytes': [{ secret: Buffer.from(SECRET) }, token({ alg: 'HS256' }, claims(), SECRET)]
  }
  for (const [name, [options, accepted]] of Object.entries(sources)) {
    const served = await everywhere(t, { authenticate: jwt({ ...FOR_ALL, ...options }) })
    await alike(t, served, bearer(accepted), { code: status.OK, message: { text: /^\{"type":"jwt","subject":"ann","scopes":\[\],"claims":\{"iss"/ } }, name)
  }
})

t.test('scopes, audiences, issuers and the subject', async t => {
  const identity = async (options: Partial<JwtOptions>, payload: object): Promise<JwtIdentity> => {
    const metadata = new Metadata()
    metadata.set('authorization', `Bearer ${good(payload)}`)
    return await jwt({ ...FOR_ALL, key: rsa.publicKey, algorithms: ['RS256'], ...options })({ metadata } as CallContext) as JwtIdentity
  }
  t.match(await identity({}, claims({ scope: 'read  write' })), { scopes: ['read', 'write'] })
  t.match(await identity({}, claims({ scp: ['read', 7, 'write'] })), { scopes: ['read', 'write'] })
  t.match(await identity({}, claims({ scp: 'read' })), { scopes: ['read'] })
  t.match(await identity({}, claims({ scope: { read: true } })), { scopes: [] })
  t.match(await identity({ audience: ['other', 'bookstore'] }, claims({ aud: ['x', 'bookstore'] })), { subject: 'ann' })
  t.match(await identity({ issuer: ['https://a/', ISSUER] }, claims()), { subject: 'ann' })
  t.match(await identity({ subjectClaim: 'oid' }, claims({ sub: undefined, oid: 'bob' })), { subject: 'bob' })
  const odd = await identity({}, JSON.parse(JSON.stringify(claims()).replace('{', '{"__proto__":{"isAdmin":true},"constructor":1,')))
  t.equal((odd.claims as { isAdmin?: boolean }).isAdmin, undefined, 'a claim __proto__ is a claim')
  t.equal(({} as { isAdmin?: boolean }).isAdmin, undefined)
})

t.test('tokens that are refused', async t => {
  const { url, count } = await publish(t, () => ({ keys: [jwk(rsa.publicKey, { kid: 'one' }), jwk(otherRsa.publicKey, { kid: 'two' })] }))
  const byUrl = await everywhere(t, { authenticate: jwt({ ...FOR_ALL, jwksUrl: url, algorithms: ['RS256'], requiredClaims: ['scope'] }) })
  const invalid = (description: string): string => `Bearer realm="api", error="invalid_token", error_description="${description}"`
  const whole = (more: object = {}): object => claims({ scope: 'read', ...more })
  const cut = good(whole()).split('.')
  const refused: Array<[name: string, token: string, details: string]> = [
    ['alg none', token({ alg: 'none' }, whole(), ''), 'The token is not valid'],
    ['alg None', `${base64({ alg: 'None' })}.${base64(whole())}.`, 'The token is not valid'],
    ['HS256 with the public key for a secret', token({ alg: 'HS256', kid: 'one' }, whole(), rsa.publicKey), 'The token is not valid'],
    ['an algorithm that is not one of those', token({ alg: 'RS512', kid: 'one' }, whole(), rsa.privateKey), 'The token is not valid'],
    ['the signature of another key', token({ alg: 'RS256', kid: 'one' }, whole(), otherRsa.privateKey), 'The token is not valid'],
    ['a key that the token brings', token({ alg: 'RS256', jwk: jwk(otherRsa.publicKey) }, whole(), otherRsa.privateKey), 'The token is not valid'],
    ['an unknown key', good(whole(), { kid: 'three' }), 'The token is not valid'],
    ['no kid where there are several keys', good(whole(), { kid: undefined }), 'The token is not valid'],
    ['critical extensions', good(whole(), { crit: ['x'], x: 1 }), 'The token is not valid'],
    ['other claims under the signature', [cut[0], base64(whole({ sub: 'root' })), cut[2]].join('.'), 'The token is not valid'],
    ['no signature', `${cut[0]}.${cut[1]}.`, 'The token is not valid'],
    ['no JWT', 'abc', 'The token is not valid'],
    ['five parts', 'a.b.c.d.e', 'The token is not valid'],
    ['claims that are a list', good([] as never), 'The token is not valid'],
    ['claims that are no JSON', token({ alg: 'RS256', kid: 'one' }, '{', rsa.privateKey), 'The token is not valid'],
    ['expired', good(whole({ exp: now() - 10 })), 'The token has expired'],
    ['no exp', good(whole({ exp: undefined })), 'The token lacks the claim exp'],
    ['an exp that is text', good(whole({ exp: '9999999999' })), 'The token has the wrong exp'],
    ['not valid yet', good(whole({ nbf: now() + 60 })), 'The token is not valid yet'],
    ['another audience', good(whole({ aud: 'other' })), 'The token has the wrong aud'],
    ['no audience', good(whole({ aud: undefined })), 'The token lacks the claim aud'],
    ['another issuer', good(whole({ iss: 'https://evil.example.com/' })), 'The token has the wrong iss'],
    ['no issuer', good(whole({ iss: undefined })), 'The token lacks the claim iss'],
    ['no subject', good(whole({ sub: undefined })), 'The token lacks the claim sub'],
    ['an empty subject', good(whole({ sub: '' })), 'The token lacks the claim sub'],
    ['a subject that is a number', good(whole({ sub: 7 })), 'The token lacks the claim sub'],
    ['a required claim is missing', good(claims()), 'The token lacks the claim scope']
  ]
  for (const [name, wrong, details] of refused) await alike(t, byUrl, bearer(wrong), { code: status.UNAUTHENTICATED, details, message: undefined, challenge: invalid(details) }, name)
  await alike(t, byUrl, bearer(good(whole())), { code: status.OK }, 'a good one')
  for (const [name, headers, challenge] of NOT_TOKENS.slice(0, 7)) await alike(t, byUrl, headers, { code: status.UNAUTHENTICATED, challenge }, name)
  t.equal(count(), 1, 'unknown keys do not make the keys be fetched again and again')
  t.same(byUrl.lines.filter(({ level }) => level === 'error' || level === 'warn'), [])
})

t.test('expired within the tolerance of clocks', async t => {
  const served = await everywhere(t, { authenticate: jwt({ ...FOR_ALL, key: rsa.publicKey, algorithms: ['RS256'], clockToleranceSec: 60 }) })
  await alike(t, served, bearer(good(claims({ exp: now() - 30, nbf: now() + 30 }))), { code: status.OK }, 'half a minute')
})

t.test('the type of a token can be demanded', async t => {
  const served = await everywhere(t, { authenticate: jwt({ ...FOR_ALL, key: rsa.publicKey, algorithms: ['RS256'], typ: 'at+jwt' }) })
  await alike(t, served, bearer(good(claims(), { typ: 'at+jwt' })), { code: status.OK }, 'an access token')
  await alike(t, served, bearer(good(claims(), { typ: 'JWT' })), { code: status.UNAUTHENTICATED, details: 'The token has the wrong typ' }, 'an ID token')
})

t.test('when keys cannot be fetched, nobody is told that a token is wrong', async t => {
  const broken: Array<[name: string, answer: () => { status?: number, keys?: unknown, body?: string } | undefined]> = [
    ['an error', () => ({ status: 500 })],
    ['a redirect', () => ({ status: 302 })],
    ['no JSON', () => ({ body: '<html>' })],
    ['no keys', () => ({ body: '{}' })],
    ['no answer', () => undefined]
  ]
  for (const [name, answer] of broken) {
    const { url, count } = await publish(t, answer)
    const served = await everywhere(t, { authenticate: jwt({ ...FOR_ALL, jwksUrl: url, algorithms: ['RS256'], ...name === 'no answer' ? { timeoutMs: 200 } : {} }) })
    const headers = bearer(good())
    const results = await Promise.all([...CALL_PROTOCOLS.map(protocol => served.call(protocol, { headers })), ...Array.from({ length: 10 }, () => served.call('grpc', { headers }))])
    for (const result of results) t.match(result, { code: status.UNAVAILABLE, details: 'Tokens cannot be verified now', challenge: '' }, name)
    for (let i = 0; i < 10; i++) t.match(await served.call('grpc', { headers }), { code: status.UNAVAILABLE })
    t.ok(count() < 10, 'whoever publishes them is left alone for a while')
    t.match(served.lines.filter(({ level }) => level === 'error'), Array(count()).fill({ message: 'The keys that verify tokens could not be fetched' }), 'each time is logged once')
    await alike(t, served, bearer('no.valid.token'), { code: status.UNAUTHENTICATED }, 'what is no token needs no keys')
  }
})

t.test('keys are fetched again: for an unknown key after the cooldown, and when they are old; meanwhile known keys work on', async t => {
  let answer: { status?: number, keys?: unknown } = { keys: [jwk(rsa.publicKey, { kid: 'one' })] }
  const { url, count } = await publish(t, () => answer)
  const served = await everywhere(t, { authenticate: jwt({ ...FOR_ALL, jwksUrl: url, algorithms: ['RS256'], cooldownMs: 1 }) })
  const next = token({ alg: 'RS256', kid: 'two' }, claims(), otherRsa.privateKey)
  await alike(t, served, bearer(good()), { code: status.OK }, 'the first key')
  t.equal(count(), 1)
  answer = { status: 503 }
  const fetched = Date.now()
  await until(() => Date.now() - fetched > 2, 'the end of the cooldown')
  t.match(await served.call('grpc', { headers: bearer(next) }), { code: status.UNAVAILABLE })
  await alike(t, served, bearer(good()), { code: status.OK }, 'what a stranger tries harms nobody')
  answer = { keys: [jwk(rsa.publicKey, { kid: 'one' }), jwk(otherRsa.publicKey, { kid: 'two' })] }
  await until(() => count() === 2, 'the second request')
  let result = await served.call('grpc', { headers: bearer(next) })
  while (result.code === status.UNAVAILABLE) result = await served.call('grpc', { headers: bearer(next) })
  t.equal(result.code, status.OK)
  t.equal(count(), 3, 'after a pause')
})

t.test('what is wrong with the options of jwt is said at once', async t => {
  const wrong: Array<[options: unknown, message: RegExp]> = [
    [undefined, /needs options/],
    [{ ...FOR_ALL }, /one of `jwksUrl`, `jwks`, `key`, `secret` must be given/],
    [{ ...FOR_ALL, secret: SECRET, key: pem(rsa.publicKey) }, /not key and secret/],
    [{ secret: SECRET, audience: 'a' }, /`issuer` is required/],
    [{ secret: SECRET, issuer: 'a' }, /`audience` is required/],
    [{ secret: SECRET, issuer: [], audience: 'a' }, /`issuer` is required/],
    [{ secret: SECRET, issuer: '', audience: 'a' }, /`issuer` is required/],
    [{ ...FOR_ALL, secret: SECRET, algorithm: 'HS256' }, /no option `algorithm`/],
    [{ ...FOR_ALL, jwksUrl: 'https://a/' }, /`algorithms` must be stated/],
    [{ ...FOR_ALL, jwksUrl: 'https://a/', algorithms: [] }, /`algorithms` must be a list/],
    [{ ...FOR_ALL, jwksUrl: 'https://a/', algorithms: ['none'] }, /`algorithms` must be a list of those for public keys/],
    [{ ...FOR_ALL, jwksUrl: 'https://a/', algorithms: ['RS256', 'HS256'] }, /for public keys/],
    [{ ...FOR_ALL, jwksUrl: 'https://a/', algorithms: ['RS256'], timeoutMs: 0 }, /`timeoutMs`/],
    [{ ...FOR_ALL, jwksUrl: 'not a url', algorithms: ['RS256'] }, /`jwksUrl` must be a URL/],
    [{ ...FOR_ALL, jwksUrl: 'http://login.example.com/', algorithms: ['RS256'] }, /must begin with https/],
    [{ ...FOR_ALL, jwksUrl: 'file:///etc/keys', algorithms: ['RS256'] }, /must begin with https/],
    [{ ...FOR_ALL, secret: SECRET, algorithms: ['RS256'] }, /for a secret: HS256/],
    [{ ...FOR_ALL, secret: SECRET, algorithms: ['HS512'] }, /64 bytes/],
    [{ ...FOR_ALL, secret: 'short' }, /32 bytes or more/],
    [{ ...FOR_ALL, secret: pem(rsa.publicKey) }, /is a PEM/],
    [{ ...FOR_ALL, secret: {} }, /`secret` must be/],
    [{ ...FOR_ALL, key: pem(rsa.publicKey) }, /`algorithms` must be stated/],
    [{ ...FOR_ALL, key: pem(rsa.publicKey), algorithms: ['HS256'] }, /for public keys/],
    [{ ...FOR_ALL, key: pem(rsa.publicKey), algorithms: ['ES256'] }, /for a key of RSA/],
    [{ ...FOR_ALL, key: pem(ec.publicKey), algorithms: ['RS256'] }, /for its key: ES256/],
    [{ ...FOR_ALL, key: rsa.privateKey, algorithms: ['RS256'] }, /a private key/],
    [{ ...FOR_ALL, key: rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }), algorithms: ['RS256'] }, /a private key/],
    [{ ...FOR_ALL, key: 'abc', algorithms: ['RS256'] }, /cannot be used/],
    [{ ...FOR_ALL, key: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey, algorithms: ['RS256'] }, /2048 bits/],
    [{ ...FOR_ALL, key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey }, /one of the curves/],
    [{ ...FOR_ALL, jwks: { keys: [] } }, /JSON Web Key Set/],
    [{ ...FOR_ALL, jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] } }, /public keys only/],
    [{ ...FOR_ALL, jwks: { keys: [jwk(rsa.privateKey)] } }, /public keys only/],
    [{ ...FOR_ALL, jwks: { keys: [{ kty: 'RSA' }] } }, /cannot be used/],
    [{ ...FOR_ALL, jwks: { keys: [jwk(rsa.publicKey)] } }, /`algorithms` must be stated/],
    [{ ...FOR_ALL, secret: SECRET, clockToleranceSec: -1 }, /clockToleranceSec/],
    [{ ...FOR_ALL, secret: SECRET, requiredClaims: 'sub' }, /requiredClaims/],
    [{ ...FOR_ALL, secret: SECRET, requiredClaims: ['a"b'] }, /requiredClaims/],
    [{ ...FOR_ALL, secret: SECRET, subjectClaim: '' }, /subjectClaim/],
    [{ ...FOR_ALL, secret: SECRET, typ: '' }, /typ/],
    [{ ...FOR_ALL, secret: SECRET, realm: 'a\r\nb' }, /realm/]
  ]
  for (const [options, message] of wrong) t.throws(() => jwt(options as JwtOptions), { code: 'FGG_ERR_AUTH', message })
  t.doesNotThrow(() => jwt({ ...FOR_ALL, jwksUrl: 'http://keys.internal/', algorithms: ['RS256'], allowInsecureRequests: true }))
})

t.test('a gateway whose authenticator cannot get ready does not start, nor does its app', async t => {
  const failing = Object.assign(() => 'ann', { ready: Promise.reject(new Error('needs the package jose')) })
  failing.ready.catch(() => {})
  for (const authenticate of [failing, anyOf(failing, () => 'bob')]) {
    const gateway = new GrpcGateway({ services: [whoami], port: 0, authenticate })
    await t.rejects(gateway.startup(), /jose/)
    await t.rejects(gateway.listen({ port: 0 }), /jose/)
    const app = Fastify()
    registerGrpcHttpRoutes(app, [gateway])
    await t.rejects(async () => await app.ready(), /jose/)
  }
})

// ---- certificates

t.test('client certificates', async t => {
  const pair = async (name: string, extensions: object[], ca?: { key: string, cert: string }): Promise<{ key: string, cert: string }> => {
    const subject = name === '' ? [{ name: 'organizationName', value: 'Example' }] : [{ name: 'commonName', value: name }]
    const { private: key, cert } = await generate(subject, { keyType: 'ec', algorithm: 'sha256', notAfterDate: new Date(Date.now() + 3_600_000), extensions: extensions as never, ...ca === undefined ? {} : { ca } })
    return { key, cert }
  }
  const authority = await pair('Example CA', [{ name: 'basicConstraints', cA: true, critical: true }, { name: 'keyUsage', keyCertSign: true, critical: true }])
  const server = await pair('localhost', [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }, { type: 7, ip: '127.0.0.1' }] }], authority)
  const client = async (name: string, altNames: object[] = []): Promise<{ key: string, cert: string }> => await pair(name, [{ name: 'extKeyUsage', clientAuth: true }, ...altNames.length === 0 ? [] : [{ name: 'subjectAltName', altNames }]], authority)
  const tlsOf = (certificate?: { key: string, cert: string }) => ({
    credentials: grpcCredentials.createSsl(Buffer.from(authority.cert), ...certificate === undefined ? [] : [Buffer.from(certificate.key), Buffer.from(certificate.cert)]),
    options: { ca: authority.cert, servername: 'localhost', ...certificate }
  })
  const strangers = await pair('billing', [{ name: 'extKeyUsage', clientAuth: true }])
  const app = (): any => Fastify({ https: { key: server.key, cert: server.cert, ca: authority.cert, requestCert: true, rejectUnauthorized: false } })
  const tls = { key: server.key, cert: server.cert, ca: authority.cert, requireClientCert: false }
  const secured = async (authenticate: Authenticator): Promise<Everywhere> => await serveEverywhere(t, { services: [whoami], tls, authenticate }, { app: app() })
  const billing = await client('billing', [{ type: 6, value: 'spiffe://prod/billing' }, { type: 2, value: 'billing.internal' }])

  await t.test('everybody whom the authority knows', async t => {
    const { call } = await secured(mtlsIdentity())
    for (const protocol of CALL_PROTOCOLS) {
      const { code, message } = await call(protocol, { tls: tlsOf(billing) })
      t.equal(code, status.OK, protocol)
      t.match(JSON.parse(message!.text!), { type: 'certificate', subject: 'URI:spiffe://prod/billing', names: ['URI:spiffe://prod/billing', 'DNS:billing.internal', 'CN:billing'], commonName: 'billing', uris: ['spiffe://prod/billing'], dnsNames: ['billing.internal'], fingerprint256: /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/, scopes: [] })
      t.match(JSON.parse((await call(protocol, { tls: tlsOf(await client('reports')) })).message!.text!), { subject: 'CN:reports' })
    }
  })

  await t.test('nobody else', async t => {
    const { call } = await secured(mtlsIdentity())
    for (const protocol of CALL_PROTOCOLS) {
      for (const [who, certificate] of Object.entries({ 'no certificate': undefined, 'one of another authority': strangers })) {
        t.match(await call(protocol, { tls: tlsOf(certificate) }), { code: status.UNAUTHENTICATED, details: 'A client certificate is required', challenge: 'ClientCertificate realm="api"' }, `${who} over ${protocol}`)
      }
      t.match(await call(protocol, { tls: tlsOf(await client('')) }), { code: status.UNAUTHENTICATED, details: 'The client certificate names nobody' }, protocol)
    }
  })

  await t.test('names are allowed with their kind, so that one cannot pass for another', async t => {
    const imposters = [await client('spiffe://prod/billing'), await client('billing.internal'), await client('x', [{ type: 2, value: 'billing' }]), await client('x', [{ type: 6, value: 'spiffe://prod/billing/x' }])]
    const { call } = await secured(mtlsIdentity({ allow: ['URI:spiffe://prod/billing', 'DNS:billing.internal', 'CN:billing'] }))
    for (const protocol of CALL_PROTOCOLS) {
      for (const imposter of imposters) t.match(await call(protocol, { tls: tlsOf(imposter) }), { code: status.PERMISSION_DENIED }, protocol)
      for (const known of [billing, await client('x', [{ type: 6, value: 'spiffe://prod/billing' }]), await client('x', [{ type: 2, value: 'billing.internal' }]), await client('billing')]) t.match(await call(protocol, { tls: tlsOf(known) }), { code: status.OK }, protocol)
    }
    const fingerprint = new crypto.X509Certificate(billing.cert).fingerprint256
    const byFingerprint = await secured(mtlsIdentity({ allow: [`SHA256:${fingerprint.toLowerCase()}`] }))
    t.match(await byFingerprint.call('grpc', { tls: tlsOf(billing) }), { code: status.OK })
    t.match(await byFingerprint.call('grpc', { tls: tlsOf(await client('billing')) }), { code: status.PERMISSION_DENIED })
  })

  await t.test('a certificate is enough, and so is a token', async t => {
    const { call } = await secured(anyOf(mtlsIdentity({ allow: ['CN:reports'] }), bearerTokens({ billing: KNOWN })))
    for (const protocol of CALL_PROTOCOLS) {
      t.match(await call(protocol, { tls: tlsOf(await client('reports')) }), { code: status.OK, message: { text: /CN:reports/ } }, protocol)
      t.match(await call(protocol, { tls: tlsOf(billing), headers: bearer(KNOWN) }), { code: status.OK, message: { text: /"token"/ } }, protocol)
      t.match(await call(protocol, { tls: tlsOf(billing) }), { code: status.PERMISSION_DENIED }, protocol)
      t.match(await call(protocol, { tls: tlsOf(), headers: bearer(KNOWN) }), { code: status.OK }, protocol)
      t.match(await call(protocol, { tls: tlsOf() }), { code: status.UNAUTHENTICATED, details: 'Authentication is required', challenge: `ClientCertificate realm="api", ${DEFAULT_CHALLENGE}` }, protocol)
      t.match(await call(protocol, { tls: tlsOf(), headers: bearer('x') }), { code: status.UNAUTHENTICATED, details: 'The token is not known', challenge: /^ClientCertificate realm="api", Bearer .*invalid_token/ }, protocol)
    }
  })

  t.throws(() => mtlsIdentity({ allow: ['billing'] }), { code: 'FGG_ERR_AUTH', message: /URI:, DNS:, CN:, SHA256:, not billing/ })
  t.throws(() => mtlsIdentity({ allow: ['CN:'] }), { code: 'FGG_ERR_AUTH' })
})

t.test('a certificate that has expired since the connection began, or that names somebody in a way that could be taken for two', async t => {
  const of = (certificate: object): unknown => mtlsIdentity()({ authContext: { transportSecurityType: 'ssl', sslPeerCertificate: { valid_to: 'Jan  1 00:00:00 2999 GMT', subject: {}, fingerprint256: 'AA', ...certificate } } } as unknown as CallContext)
  t.throws(() => of({ subject: { CN: 'a' }, valid_to: 'Jan  1 00:00:00 2020 GMT' }), { code: status.UNAUTHENTICATED, message: /expired/ })
  t.throws(() => of({ subject: { CN: 'a' }, valid_to: 'never' }), { code: status.UNAUTHENTICATED })
  t.throws(() => of({ subject: { CN: ['a', 'b'] } }), { code: status.UNAUTHENTICATED, message: /nobody/ })
  t.match(of({ subjectaltname: 'DNS:a.example, IP Address:127.0.0.1, email:a@b, othername:<unsupported>, URI:spiffe://a/b:c' }), { names: ['URI:spiffe://a/b:c', 'DNS:a.example'] })
  t.match(of({ subjectaltname: 'DNS:"a.example\\u002c URI:spiffe://prod/root", URI:"spiffe://a,b"' }), { uris: ['spiffe://a,b'], dnsNames: ['a.example, URI:spiffe://prod/root'] })
  t.throws(() => of({ subjectaltname: 'DNS:a, nonsense' }), { message: /nobody/ }, 'what cannot be understood whole names nobody')
  t.throws(() => of({ subjectaltname: 'URI:"a' }), { message: /nobody/ })
  t.throws(() => of({ subjectaltname: 'URI:"\\x"' }), { message: /nobody/ })
})

t.test('anyOf: other errors end the call, for they may hide somebody', async t => {
  const down: Authenticator = () => { throw new GrpcError(status.UNAVAILABLE, 'down') }
  const bug: Authenticator = () => { throw new Error('bug') }
  const nobody: Authenticator = () => undefined
  await alike(t, await everywhere(t, { authenticate: anyOf(nobody, down, () => 'ann') }), {}, { code: status.UNAVAILABLE }, 'down')
  await alike(t, await everywhere(t, { authenticate: anyOf(bug, () => 'ann') }), {}, { code: status.INTERNAL }, 'a bug')
  await alike(t, await everywhere(t, { authenticate: anyOf(nobody, () => 'ann') }), {}, { code: status.OK }, 'the next')
  await alike(t, await everywhere(t, { authenticate: anyOf(nobody, nobody) }), {}, { code: status.UNAUTHENTICATED, challenge: DEFAULT_CHALLENGE }, 'none')
})

t.test('requireScopes', async t => {
  const authenticate: Authenticator = ({ metadata }) => ({ scopes: metadata.get('x-scopes').flatMap(value => String(value).split(' ')) })
  const served = await everywhere(t, { authenticate, authorize: requireScopes('books.read', 'books.write') })
  await alike(t, served, { 'x-scopes': 'a books.write books.read' }, { code: status.OK }, 'all')
  await alike(t, served, { 'x-scopes': 'books.read' }, { code: status.PERMISSION_DENIED, details: 'The call needs the scope books.read books.write', challenge: 'Bearer error="insufficient_scope", scope="books.read books.write"' }, 'not all')
  for (const scopes of ['books.read books.write', undefined, null, {}]) {
    const odd = await everywhere(t, { authenticate: () => ({ scopes }), authorize: requireScopes('books.read') })
    await alike(t, odd, {}, { code: status.PERMISSION_DENIED }, `scopes ${String(scopes)}`)
  }
  for (const wrong of [[], [''], ['a b'], ['a"'], [7]]) t.throws(() => requireScopes(...wrong as string[]), { code: 'FGG_ERR_AUTH' })
})

// ---- HTTP

t.test('every 401 over HTTP has a challenge, and what errors bring as retry-after is a header', async t => {
  const metadata = new Metadata()
  metadata.set('retry-after', '7')
  metadata.set('x-other', 'kept')
  const service = implement(Greeter, { SayHello: ({ name }) => { throw name === 'busy' ? new GrpcError(status.RESOURCE_EXHAUSTED, 'busy', { metadata }) : new GrpcError(status.UNAUTHENTICATED, 'who?') } })
  const app = Fastify()
  app.addHook('onRequest', async request => { if (request.headers['x-hook'] !== undefined) throw Object.assign(new Error('hook'), { statusCode: 401 }) })
  app.addHook('onRequest', async (request, reply) => { if (request.headers['x-digest'] !== undefined) reply.header('www-authenticate', 'Digest realm="x"') })
  const { post } = await serve(t, { services: [service] }, { app })
  t.match(Object.fromEntries((await post('/grpc/greeter/sayhello', {})).headers), { 'www-authenticate': DEFAULT_CHALLENGE }, 'of a handler')
  t.match(Object.fromEntries((await post('/grpc/greeter/sayhello', {}, { 'x-hook': '1' })).headers), { 'www-authenticate': DEFAULT_CHALLENGE }, 'of a hook')
  t.match(Object.fromEntries((await post('/grpc/greeter/sayhello', {}, { 'x-digest': '1' })).headers), { 'www-authenticate': 'Digest realm="x"' }, 'its own')
  const busy = await post('/grpc/greeter/sayhello', { name: 'busy' })
  t.equal(busy.status, 429)
  t.match(Object.fromEntries(busy.headers), { 'retry-after': '7', 'grpc-trailer-x-other': 'kept' })
  t.notOk(busy.headers.has('grpc-trailer-retry-after'))
})

t.test('over HTTP/2, and without any connection', async t => {
  const app = Fastify({ http2: true })
  const { url } = await serve(t, { services: [whoami], authenticate: bearerTokens({ billing: KNOWN }) }, { app: app as never })
  const session = http2Connect(url)
  t.teardown(() => session.close())
  const call = async (headers: object): Promise<Record<string, unknown>> => await new Promise((resolve, reject) => {
    const request = session.request({ ':method': 'POST', ':path': '/grpc/kinds/unary', ...headers })
    request.on('response', resolve).on('error', reject).resume().end()
  })
  t.match(await call({}), { ':status': 401, 'www-authenticate': DEFAULT_CHALLENGE })
  t.match(await call({ authorization: `Bearer ${KNOWN}` }), { ':status': 200 })
  const plain = Fastify()
  await plain.register(websocket)
  registerGrpcHttpRoutes(plain, [new GrpcGateway({ services: [whoami], authenticate: bearerTokens({ billing: KNOWN }) })])
  t.teardown(() => plain.close())
  const url1 = '/grpc/kinds/unary'
  t.match(await plain.inject({ method: 'POST', url: url1 }), { statusCode: 401, headers: { 'www-authenticate': DEFAULT_CHALLENGE } })
  t.match(await plain.inject({ method: 'POST', url: url1, headers: { authorization: `Bearer ${KNOWN}` } }), { statusCode: 200 })
  await t.rejects(plain.injectWS(url1), { message: 'Unexpected server response: 401' })
  const socket = await plain.injectWS(url1, { headers: { authorization: `Bearer ${KNOWN}` } })
  const message = new Promise(resolve => socket.once('message', data => resolve(JSON.parse(String(data)))))
  socket.send('{}')
  t.match(await message, { text: /billing/ })
  socket.terminate()
})

t.test('a WebSocket that is let in after its client has left is not upgraded, and leaves nothing open', async t => {
  let open: ((principal: string) => void) | undefined
  let left = false
  const served = await everywhere(t, {
    authenticate: ({ signal }) => {
      signal.addEventListener('abort', () => { left = true })
      return new Promise(resolve => { open = resolve })
    }
  })
  const socket = new WebSocket(`${served.url.replace('http', 'ws')}/grpc/kinds/unary`, ['json']).on('error', () => {})
  await until(() => open !== undefined, 'authenticate')
  socket.terminate()
  await until(() => left, 'the client to be missed')
  open!('ann')
  await served.gateway.shutdown({ graceMs: 60_000 })
  t.pass('the shutdown did not wait')
})

t.test('a handshake that fails after the call was let in leaves nothing open', async t => {
  const served = await everywhere(t, { authenticate: () => 'ann' })
  const socket = connect(Number(new URL(served.url).port), '127.0.0.1')
  socket.write('GET /grpc/kinds/unary HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: bad\r\n\r\n')
  const [head] = await new Promise<Buffer[]>(resolve => socket.once('data', (...args) => resolve(args)))
  t.match(String(head), /^HTTP\/1\.1 400/)
  socket.destroy()
  await served.gateway.shutdown({ graceMs: 60_000 })
})

t.test('an interceptor may answer over a WebSocket before the gate is asked', async t => {
  const answering: ServerInterceptor = (_descriptor, call) => new ServerInterceptingCall(call, {
    start () {
      call.start({ onReceiveMetadata () {}, onReceiveMessage () {}, onReceiveHalfClose () {}, onCancel () {} })
      call.sendMetadata(new Metadata())
      call.sendMessage({ text: 'from the cache' }, () => call.sendStatus({ code: status.OK, details: 'OK' }))
    }
  })
  const { call } = await everywhere(t, { interceptors: [answering], authenticate: () => undefined })
  for (const protocol of CALL_PROTOCOLS) t.match(await call(protocol), { code: status.OK, message: { text: 'from the cache' } }, protocol)
})
