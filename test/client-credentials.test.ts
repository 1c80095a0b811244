/** OAuth2 client credentials: how programs get tokens, and what the tokens are good for. */
import { createHmac } from 'node:crypto'
import * as crypto from 'node:crypto'
import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { anyOf, bearerTokens, clientCredentials, implement, loggedRequest, requireScopes, status, type ClientCredentials, type ClientCredentialsOptions } from '../src/index.ts'
import { CALL_PROTOCOLS, serveEverywhere, type Everywhere, type Headers } from './every-protocol.ts'
import { Kinds, until, type HttpReply } from './serving.ts'

const SECRET = 'a secret of at least thirty-two bytes'
const BILLING = 'the-secret-of-billing'
const OPS = 'ops+secret/with%40odd=characters'

const whoami = implement(Kinds, { Unary: (_request, { principal }) => ({ text: JSON.stringify(principal) }) })

interface Issuing extends Everywhere {
  credentials: ClientCredentials
  /** Asks for a token by a form. */
  ask (form: Record<string, string> | string, headers?: Record<string, string>): Promise<HttpReply>
  bearer (id: string, secret: string): Promise<Headers>
}

async function issue (t: Test, options: Partial<ClientCredentialsOptions> = {}, more: object = {}): Promise<Issuing> {
  const credentials = clientCredentials({ secret: SECRET, clients: { billing: BILLING, ops: { secret: OPS, scopes: ['read', 'write'] } }, ...options })
  const served = await serveEverywhere(t, { services: [whoami], authenticate: credentials.authenticate, ...more }, { prepare: app => app.register(credentials.tokenEndpoint) })
  const ask: Issuing['ask'] = (form, headers = {}) => served.request('/token', {
    method: 'POST',
    body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }
  })
  return {
    ...served,
    credentials,
    ask,
    async bearer (id, secret) {
      const { json } = await ask({ grant_type: 'client_credentials', client_id: id, client_secret: secret })
      return { authorization: `Bearer ${json.access_token}` }
    }
  }
}

const basic = (id: string, secret: string): Record<string, string> => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` })
const GRANT = { grant_type: 'client_credentials' }

t.test('a client gets a token for its secret, and calls with it on every protocol', async t => {
  const { ask, call } = await issue(t)
  const asked = {
    form: await ask({ ...GRANT, client_id: 'billing', client_secret: BILLING }),
    basic: await ask(GRANT, basic('billing', BILLING)),
    'basic with the id in the form too': await ask({ ...GRANT, client_id: 'billing' }, basic('billing', BILLING))
  }
  for (const [name, { status: code, json, headers }] of Object.entries(asked)) {
    t.equal(code, 200, name)
    t.match(json, { token_type: 'Bearer', expires_in: 3600, scope: undefined })
    t.match([headers.get('cache-control'), headers.get('pragma')], ['no-store', 'no-cache'])
    for (const protocol of CALL_PROTOCOLS) {
      const { message, code } = await call(protocol, { headers: { authorization: `Bearer ${json.access_token}` } })
      t.equal(code, status.OK, `${name} over ${protocol}`)
      t.match(JSON.parse(message!.text!), { type: 'jwt', subject: 'billing', scopes: [], claims: { client_id: 'billing', aud: 'fastify-grpc-gateway' } })
    }
  }
})

t.test('a secret in the Authorization header may be form-encoded, as RFC 6749 says, or not, as curl does', async t => {
  const { ask } = await issue(t)
  t.equal((await ask(GRANT, basic('ops', OPS))).status, 200, 'as it is')
  t.equal((await ask(GRANT, basic('ops', encodeURIComponent(OPS)))).status, 200, 'encoded')
  t.equal((await ask({ ...GRANT, client_id: 'ops', client_secret: OPS })).status, 200, 'in the form')
})

t.test('what is wrong with a request for a token is said as RFC 6749 says it', async t => {
  const { ask, request, post } = await issue(t)
  const good = { ...GRANT, client_id: 'billing', client_secret: BILLING }
  const cases: Array<[string, Promise<HttpReply>, number, string]> = [
    ['a wrong secret', ask({ ...good, client_secret: 'another-secret-of-billing' }), 401, 'invalid_client'],
    ['an unknown client', ask({ ...good, client_id: 'nobody' }), 401, 'invalid_client'],
    ['a name of every object', ask({ ...good, client_id: 'constructor' }), 401, 'invalid_client'],
    ['no credentials', ask(GRANT), 401, 'invalid_client'],
    ['no secret', ask({ ...GRANT, client_id: 'billing' }), 401, 'invalid_client'],
    ['wrong Basic credentials', ask(GRANT, basic('billing', 'x')), 401, 'invalid_client'],
    ['malformed Basic credentials', ask(GRANT, { authorization: 'Basic !' }), 401, 'invalid_client'],
    ['another scheme', ask(GRANT, { authorization: `Bearer ${BILLING}` }), 401, 'invalid_client'],
    ['two ways of credentials', ask(good, basic('billing', BILLING)), 400, 'invalid_request'],
    ['two ids', ask({ ...GRANT, client_id: 'ops' }, basic('billing', BILLING)), 400, 'invalid_request'],
    ['a parameter twice', ask(`${new URLSearchParams(good).toString()}&client_id=ops`), 400, 'invalid_request'],
    ['no grant_type', ask({ client_id: 'billing', client_secret: BILLING }), 400, 'invalid_request'],
    ['another grant_type', ask({ ...good, grant_type: 'password' }), 400, 'unsupported_grant_type'],
    ['a scope that the client lacks', ask({ ...good, scope: 'read' }), 400, 'invalid_scope'],
    ['JSON', post('/token', good), 400, 'invalid_request'],
    ['no body', request('/token', { method: 'POST' }), 400, 'invalid_request'],
    ['a large body', ask({ ...good, more: 'x'.repeat(20_000) }), 413, 'invalid_request'],
    ['GET', request('/token'), 405, 'invalid_request']
  ]
  for (const [name, reply, code, error] of cases) {
    const { status, json, headers } = await reply
    t.match({ status, json }, { status: code, json: { error, error_description: String } }, name)
    t.equal(headers.get('cache-control'), 'no-store', name)
    t.equal(headers.get('www-authenticate'), code === 401 ? 'Basic realm="api", charset="UTF-8"' : null, name)
  }
})

t.test('scopes: all that the client has, or those that it asks for', async t => {
  const { ask, call } = await issue(t, {}, { authorize: requireScopes('write') })
  const whole = await ask({ ...GRANT, client_id: 'ops', client_secret: OPS })
  const part = await ask({ ...GRANT, client_id: 'ops', client_secret: OPS, scope: 'read' })
  t.match([whole.json.scope, part.json.scope], ['read write', 'read'])
  for (const protocol of CALL_PROTOCOLS) {
    t.equal((await call(protocol, { headers: { authorization: `Bearer ${whole.json.access_token}` } })).code, status.OK, protocol)
    t.equal((await call(protocol, { headers: { authorization: `Bearer ${part.json.access_token}` } })).code, status.PERMISSION_DENIED, protocol)
  }
})

t.test('a process with the same secret takes the tokens of another', async t => {
  const one = await issue(t)
  const replica = await issue(t)
  const stranger = await issue(t, { secret: 'another secret of thirty-two bytes' })
  const elsewhere = await issue(t, { audience: 'another-api' })
  const headers = await one.bearer('billing', BILLING)
  t.equal((await replica.call('grpc', { headers })).code, status.OK)
  t.match(await stranger.call('grpc', { headers }), { code: status.UNAUTHENTICATED, details: 'The token is not valid' })
  t.match(await elsewhere.call('grpc', { headers }), { code: status.UNAUTHENTICATED, details: 'The token has the wrong aud' })
})

t.test('tokens that are refused', async t => {
  const { call, bearer } = await issue(t)
  const { authorization } = await bearer('billing', BILLING)
  const made = (claims: object, typ = 'at+jwt'): Headers => {
    const text = [{ alg: 'HS256', typ }, claims].map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
    return { authorization: `Bearer ${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}` }
  }
  const claims = { iss: 'fastify-grpc-gateway', aud: 'fastify-grpc-gateway', sub: 'billing', exp: Math.floor(Date.now() / 1000) + 60 }
  t.equal((await call('grpc', { headers: made(claims) })).code, status.OK, 'what is made like one is taken')
  const cases: Array<[string, Headers, string]> = [
    ['none', {}, 'A Bearer token is required'],
    ['changed', { authorization: `${String(authorization).slice(0, -4)}AAAA` }, 'The token is not valid'],
    ['expired', made({ ...claims, exp: 1 }), 'The token has expired'],
    ['of another type', made(claims, 'JWT'), 'The token has the wrong typ'],
    ['in the metadata, where that is not said', { oauth_token: String(authorization).slice(7) }, 'A Bearer token is required']
  ]
  for (const [name, headers, details] of cases) {
    for (const protocol of CALL_PROTOCOLS) t.match(await call(protocol, { headers }), { code: status.UNAUTHENTICATED, details }, `${name}: ${protocol}`)
  }
})

t.test('clients come, change and go while the gateway serves', async t => {
  const { ask, call, bearer, credentials } = await issue(t)
  t.equal((await ask(GRANT, basic('new', 'a-secret-of-the-new-client'))).status, 401)
  credentials.setClient('new', { secret: ['a-secret-of-the-new-client', 'the-next-of-the-new-client'], scopes: ['read'] })
  const headers = await bearer('new', 'a-secret-of-the-new-client')
  t.equal((await ask(GRANT, basic('new', 'the-next-of-the-new-client'))).status, 200)
  t.match(JSON.parse((await call('grpc', { headers })).message!.text!), { subject: 'new', scopes: ['read'] })
  credentials.setClient('new', 'the-next-of-the-new-client')
  t.equal((await ask(GRANT, basic('new', 'a-secret-of-the-new-client'))).status, 401, 'the old secret')
  t.match(JSON.parse((await call('grpc', { headers })).message!.text!), { subject: 'new', scopes: [] }, 'scopes that are taken away are gone at once')
  t.equal(credentials.removeClient('new'), true)
  t.equal(credentials.removeClient('new'), false)
  t.match(await call('grpc', { headers }), { code: status.UNAUTHENTICATED, details: 'The client is not known any more' })
})

t.test('tokens in the metadata and the query, where the option says so; never two at once', async t => {
  const { call, bearer, post } = await issue(t, { tokensFrom: ['authorization', 'metadata', 'query'] })
  const { authorization } = await bearer('billing', BILLING)
  const token = String(authorization).slice(7)
  for (const protocol of CALL_PROTOCOLS) {
    t.equal((await call(protocol, { headers: { oauth_token: token } })).code, status.OK, protocol)
    t.match(await call(protocol, { headers: { oauth_token: token, authorization: String(authorization) } }), { code: status.UNAUTHENTICATED, details: 'The call has several tokens' }, protocol)
  }
  t.equal((await post(`/grpc/kinds/unary?oauth_token=${token}`, {})).status, 200)
  t.equal((await post(`/grpc/kinds/unary?oauth_token=${token}&oauth_token=${token}`, {})).status, 401)
  t.equal((await post('/grpc/kinds/unary?oauth_token=a%20b', {})).status, 401)
})

t.test('Seldon: /token?consumer_key=&consumer_secret=, by GET and POST', async t => {
  const { request, ask, call, post } = await issue(t, { legacy: true })
  for (const method of ['GET', 'POST']) {
    const get = (query: string): Promise<HttpReply> => request(`/token?${query}`, { method })
    const { status: code, json, headers } = await get(`consumer_key=billing&consumer_secret=${BILLING}`)
    t.equal(code, 200)
    t.strictSame({ ...json, access_token: '' }, { access_token: '', token_type: 'rummblelabs', token_scope: 'all', expires_in: 6000, name: 'token' })
    t.equal(headers.get('cache-control'), 'no-store')
    t.equal((await call('grpc', { headers: { oauth_token: json.access_token } })).code, status.OK)
    t.equal((await post(`/grpc/kinds/unary?oauth_token=${json.access_token}`, {})).status, 200)
    for (const [query, id, message] of [
      ['', 16, 'Please specify your consumer_key'],
      [`consumer_secret=${BILLING}`, 16, 'Please specify your consumer_key'],
      ['consumer_key=billing', 17, 'Please specify your consumer_secret'],
      [`consumer_key=nobody&consumer_secret=${BILLING}`, 5, 'Consumer key not recognized'],
      ['consumer_key=billing&consumer_secret=x', 6, 'Consumer secret not correct']
    ] as const) {
      const reply = await get(query)
      t.strictSame([reply.status, reply.json], [400, { error_id: id, error_msg: message, http_response: 400 }], `${method} ${query}`)
    }
  }
  t.match(await ask({ ...GRANT, client_id: 'ops', client_secret: OPS }), { status: 200, json: { token_type: 'Bearer', expires_in: 6000 } }, 'the form of RFC 6749 too')
})

t.test('neither tokens nor secrets in URLs are logged', async t => {
  let log = ''
  const stream = new Writable({ write (chunk, _encoding, done) { log += String(chunk); done() } })
  const app: FastifyInstance = Fastify({ logger: { stream, serializers: { req: loggedRequest } } })
  const credentials = clientCredentials({ secret: SECRET, clients: { billing: BILLING }, legacy: true })
  const served = await serveEverywhere(t, { services: [whoami], authenticate: credentials.authenticate, telemetry: { accessLog: { metadata: true } } as object }, { app, prepare: app => app.register(credentials.tokenEndpoint) })
  const { json } = await served.request(`/token?consumer_key=billing&consumer_secret=${BILLING}`)
  t.equal((await served.post(`/grpc/kinds/unary?oauth_token=${json.access_token}`, {})).status, 200)
  t.equal((await served.call('http', { headers: { oauth_token: json.access_token } })).code, status.OK)
  await until(() => log.split('request completed').length > 3, 'the log')
  const logged = log + JSON.stringify(served.lines)
  t.match(logged, '/token?consumer_key=billing&consumer_secret=[redacted]')
  t.match(logged, '/grpc/kinds/unary?oauth_token=[redacted]')
  t.notOk(logged.includes(BILLING), 'no secret')
  t.notOk(logged.includes(json.access_token), 'no token')
})

t.test('the route of tokens hides them by itself', async t => {
  let log = ''
  const app = Fastify({ logger: { stream: new Writable({ write (chunk, _encoding, done) { log += String(chunk); done() } }) } })
  await app.register(clientCredentials({ secret: SECRET, clients: { billing: BILLING }, legacy: true }).tokenEndpoint, { prefix: '/oauth2', url: '/tokens' })
  t.equal((await app.inject(`/oauth2/tokens?consumer_key=billing&consumer_secret=${BILLING}`)).statusCode, 200)
  t.match(log, 'consumer_secret=[redacted]')
  t.notOk(log.includes(BILLING))
})

t.test('secrets are compared in constant time, known client or not', async t => {
  const compared: number[][] = []
  const { OAuthClients } = await t.mockImport('../src/auth/oauth/clients.ts', {
    'node:crypto': { ...crypto, timingSafeEqual: (a: Buffer, b: Buffer) => { compared.push([a.length, b.length]); return crypto.timingSafeEqual(a, b) } }
  }) as typeof import('../src/auth/oauth/clients.ts')
  const clients = new OAuthClients()
  clients.set('billing', BILLING)
  for (const [id, secret, known] of [['billing', BILLING, true], ['billing', 'x', false], ['nobody', BILLING, false], ['nobody', '', false]] as const) {
    compared.length = 0
    t.equal(clients.verify(id, [secret]) !== undefined, known, `${id} ${secret}`)
    t.same(compared, [[32, 32]])
  }
})

t.test('one of several ways to authenticate', async t => {
  const credentials = clientCredentials({ secret: SECRET, clients: { billing: BILLING } })
  const { call, request } = await serveEverywhere(t, { services: [whoami], authenticate: anyOf(credentials.authenticate, bearerTokens({ ops: 'a-token-that-is-long-enough' })) }, { prepare: app => app.register(credentials.tokenEndpoint) })
  const { json } = await request('/token', { method: 'POST', body: new URLSearchParams(GRANT), headers: basic('billing', BILLING) })
  for (const [token, subject] of [[json.access_token, 'billing'], ['a-token-that-is-long-enough', 'ops']] as const) {
    t.match(JSON.parse((await call('grpc', { headers: { authorization: `Bearer ${token}` } })).message!.text!), { subject })
  }
})

t.test('what is wrong with the options is said at once', async t => {
  const wrong: Array<[unknown, RegExp]> = [
    [undefined, /needs options/],
    [{ secret: 'short' }, /`secret` must have 32 bytes or more; it has 5/],
    [{}, /`secret` must be text or bytes/],
    [{ secret: SECRET, client: {} }, /has no option `client`/],
    [{ secret: SECRET, clients: [] }, /`clients` must be an object/],
    [{ secret: SECRET, clients: { a: 'short' } }, /the secret of `a` must have 20 characters/],
    [{ secret: SECRET, clients: { a: undefined } }, /the secret of `a`/],
    [{ secret: SECRET, clients: { a: { secret: [] } } }, /the secret of `a`/],
    [{ secret: SECRET, clients: { 'a b': BILLING } }, /`a b` cannot be the id/],
    [{ secret: SECRET, clients: { a: { secret: BILLING, scopes: ['a b'] } } }, /the scopes of `a`/],
    [{ secret: SECRET, legacy: 1 }, /`legacy` must be true or false/],
    [{ secret: SECRET, expiresInSeconds: 0 }, /`expiresInSeconds`/],
    [{ secret: SECRET, tokensFrom: ['header'] }, /`tokensFrom` must be a list of authorization, metadata, query/],
    [{ secret: SECRET, issuer: '' }, /`issuer` must be text/],
    [{ secret: SECRET, realm: '"' }, /`realm`/]
  ]
  for (const [options, message] of wrong) t.throws(() => clientCredentials(options as ClientCredentialsOptions), { code: 'FGG_ERR_AUTH', message }, String(message))
  t.throws(() => clientCredentials({ secret: SECRET }).setClient('a', 'short'), { code: 'FGG_ERR_AUTH' })
})
