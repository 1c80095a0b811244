/** Fastify's neighbours on the routes of a gateway, and beside it: @fastify/jwt, rate-limit, cors, helmet and compress. */
import { gunzipSync, gzipSync } from 'node:zlib'
import compress from '@fastify/compress'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import fastifyJwt from '@fastify/jwt'
import rateLimit, { type RateLimitPluginOptions } from '@fastify/rate-limit'
import { Metadata } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { bearerToken, corsHeaders, GrpcError, GrpcGateway, implement, registerGrpcHttpRoutes, status, type Authenticator, type CallContext } from '../src/index.ts'
import { CALL_PROTOCOLS, serveEverywhere } from './every-protocol.ts'
import { Greeter, Kinds, serve } from './serving.ts'

const greeter = implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) })
const whoami = implement(Kinds, { Unary: (_request, { principal }) => ({ text: JSON.stringify(principal) }) })

t.test('@fastify/jwt: one secret for every protocol', async t => {
  const app = Fastify()
  const authenticate: Authenticator = context => {
    const token = bearerToken(context)
    try {
      return token === undefined ? undefined : app.jwt.verify(token)
    } catch {
      return undefined
    }
  }
  const { call } = await serveEverywhere(t, { services: [whoami], authenticate }, {
    app,
    prepare: app => app.register(fastifyJwt, { secret: 'a secret of at least thirty-two bytes', sign: { expiresIn: '1m' }, verify: { algorithms: ['HS256'] } })
  })
  const authorization = `Bearer ${app.jwt.sign({ sub: 'ann' })}`
  for (const protocol of CALL_PROTOCOLS) {
    t.match(await call(protocol, { headers: { authorization } }), { code: status.OK, message: { text: /"sub":"ann"/ } }, protocol)
    t.match(await call(protocol, { headers: { authorization: `${authorization}x` } }), { code: status.UNAUTHENTICATED, challenge: 'Bearer realm="api"' }, protocol)
    t.match(await call(protocol), { code: status.UNAUTHENTICATED }, protocol)
  }
})

/** Counts calls over gRPC by the limit of the plugin, which counts those over HTTP itself. */
function limited (app: FastifyInstance, authenticate: Authenticator): Authenticator {
  let check: ReturnType<FastifyInstance['createRateLimit']> | undefined
  return async context => {
    check ??= app.createRateLimit()
    if (context.protocol === 'grpc') await count(check, context)
    return await authenticate(context)
  }
}

async function count (check: ReturnType<FastifyInstance['createRateLimit']>, { peer }: CallContext): Promise<void> {
  const result = await check({ ip: peer.replace(/:\d+$/, ''), routeOptions: {} } as unknown as FastifyRequest)
  if (result.isAllowed || !result.isExceeded) return
  const metadata = new Metadata()
  metadata.set('retry-after', String(result.ttlInSeconds))
  throw new GrpcError(status.RESOURCE_EXHAUSTED, 'Too many calls', { metadata })
}

t.test('@fastify/rate-limit: one limit for every protocol', async t => {
  const orders = [['grpc', 'http', 'websocket', 'grpc'], ['http', 'http', 'http', 'http'], ['grpc', 'grpc', 'grpc', 'grpc']] as const
  for (const order of orders) {
    const app = Fastify()
    const { call } = await serveEverywhere(t, { services: [whoami], authenticate: limited(app, () => 'ann') }, { app, prepare: app => app.register(rateLimit, { max: 4, timeWindow: 60_000 }) })
    for (const protocol of order) t.equal((await call(protocol)).code, status.OK, protocol)
    for (const protocol of CALL_PROTOCOLS) t.match(await call(protocol), { code: status.RESOURCE_EXHAUSTED, retryAfter: /^\d+$/, http: protocol === 'grpc' ? undefined : 429 }, `${protocol} after ${order.join()}`)
  }
})

t.test('@fastify/rate-limit: by principal, on every protocol, with a store that others share', async t => {
  const hits = new Map<string, number>()
  /** What its Redis store does, without Redis. */
  class SharedStore {
    incr (key: string, callback: (error: Error | null, result?: { current: number, ttl: number }) => void, timeWindow: number): void {
      hits.set(key, (hits.get(key) ?? 0) + 1)
      setImmediate(callback, null, { current: hits.get(key)!, ttl: timeWindow })
    }

    child (): SharedStore {
      return this
    }
  }
  const member = async (t: Test) => {
    const app = Fastify()
    const options = { global: false, max: 2, timeWindow: 60_000, store: SharedStore, keyGenerator: (request: { ip: string }) => request.ip } as unknown as RateLimitPluginOptions
    return await serveEverywhere(t, {
      services: [whoami],
      authenticate: ({ metadata }) => metadata.get('x-user')[0],
      authorize: async (principal: string) => {
        const result = await app.createRateLimit()({ ip: principal, routeOptions: {} } as unknown as FastifyRequest)
        if (!result.isAllowed && result.isExceeded) throw new GrpcError(status.RESOURCE_EXHAUSTED, 'Too many calls')
        return true
      }
    }, { app, prepare: app => app.register(rateLimit, options) })
  }
  const members = [await member(t), await member(t)]
  const call = async (i: number, protocol: typeof CALL_PROTOCOLS[number], user: string): Promise<number> => (await members[i]!.call(protocol, { headers: { 'x-user': user } })).code
  t.equal(await call(0, 'grpc', 'ann'), status.OK)
  t.equal(await call(1, 'http', 'ann'), status.OK)
  t.equal(await call(0, 'websocket', 'ann'), status.RESOURCE_EXHAUSTED)
  t.equal(await call(1, 'grpc', 'ann'), status.RESOURCE_EXHAUSTED)
  t.equal(await call(1, 'grpc', 'bob'), status.OK)
})

t.test('@fastify/cors: preflights and replies, errors included, with the headers of a gateway', async t => {
  const origin = 'https://app.example.com'
  const service = implement(Greeter, { SayHello: ({ name }) => { if (name === '') throw new GrpcError(status.NOT_FOUND, 'who?'); return { message: name } } })
  for (const httpMethods of [[], ['GET', 'PUT']] as const) {
    const app = Fastify()
    await app.register(cors, { origin, ...corsHeaders })
    const { request, post } = await serve(t, { services: [service], httpMethods: [...httpMethods], authenticate: ({ metadata }) => metadata.get('authorization')[0], publicMethods: [] }, { app })
    const preflight = await request('/grpc/greeter/sayhello', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type,grpc-timeout' } })
    t.equal(preflight.status, 204, 'nobody has to authenticate for that')
    t.equal(preflight.headers.get('access-control-allow-origin'), origin)
    for (const name of ['authorization', 'content-type', 'grpc-timeout', 'x-request-id', 'last-event-id']) t.ok(preflight.headers.get('access-control-allow-headers')!.split(', ').includes(name), name)
    t.match(preflight.headers.get('access-control-allow-methods'), 'POST')
    for (const [body, headers, expected] of [[{ name: 'a' }, { authorization: 'x' }, 200], [{}, { authorization: 'x' }, 404], [{}, {}, 401]] as const) {
      const reply = await post('/grpc/greeter/sayhello', body, { origin, ...headers })
      t.equal(reply.status, expected)
      t.equal(reply.headers.get('access-control-allow-origin'), origin, `${expected}`)
      for (const name of ['grpc-status', 'x-request-id', 'retry-after', 'www-authenticate']) t.ok(reply.headers.get('access-control-expose-headers')!.split(', ').includes(name), `${expected}: ${name}`)
    }
    t.equal((await request('/grpc/greeter/nothing', { method: 'POST', headers: { origin } })).headers.get('access-control-allow-origin'), origin, 'not found')
  }
})

t.test('@fastify/helmet: its headers are on every reply', async t => {
  const app = Fastify()
  await app.register(helmet)
  const { post } = await serve(t, { services: [greeter, implement(Kinds, { async * ServerStream () { yield { text: 'a' } } })] }, { app })
  for (const [path, expected] of [['/grpc/greeter/sayhello', 200], ['/grpc/kinds/serverstream', 200], ['/grpc/kinds/unary', 501], ['/grpc/nothing', 404]] as const) {
    const { status, headers } = await post(path, {})
    t.equal(status, expected, path)
    t.equal(headers.get('x-content-type-options'), 'nosniff', path)
  }
})

t.test('@fastify/compress: responses are compressed, and requests may be; streams arrive message by message', async t => {
  const app = Fastify()
  await app.register(compress, { threshold: 100 })
  let next: (() => void) | undefined
  const service = implement(Kinds, {
    Unary: ({ text }) => ({ text: text.repeat(100) }),
    async ClientStream (requests) {
      let joined = ''
      for await (const { text } of requests) joined += text
      return { text: joined }
    },
    async * ServerStream () {
      for (const text of ['first', 'second']) {
        yield { text: text + ' '.repeat(200) }
        if (text === 'first') await new Promise<void>(resolve => { next = resolve })
      }
    }
  })
  const { url } = await serve(t, { services: [service], httpMethods: ['GET'] }, { app })
  const unary = await app.inject({ method: 'POST', url: '/grpc/kinds/unary', headers: { 'accept-encoding': 'gzip', 'content-type': 'application/json' }, payload: { text: 'x' } })
  t.equal(unary.headers['content-encoding'], 'gzip')
  t.match(JSON.parse(String(gunzipSync(unary.rawPayload))), { text: 'x'.repeat(100) })
  const zipped = await fetch(`${url}/grpc/kinds/unary`, { method: 'POST', headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' }, body: gzipSync('{"text":"x"}') })
  t.match(await zipped.json(), { text: 'x'.repeat(100) })
  const uploaded = await fetch(`${url}/grpc/kinds/clientstream`, { method: 'POST', headers: { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' }, body: gzipSync('{"text":"x"}\n{"text":"y"}\n') })
  t.match(await uploaded.json(), { text: 'xy' })
  for (const accept of ['application/x-ndjson', 'text/event-stream', 'application/json']) {
    const response = await fetch(`${url}/grpc/kinds/serverstream`, { method: 'POST', headers: { accept, 'accept-encoding': 'gzip, br' } })
    t.equal(response.headers.get('content-encoding'), null, accept)
    let text = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      if (!text.includes('first')) continue
      // The second message is made only after the first has arrived.
      next?.()
      next = undefined
    }
    t.match(text, /first[\s\S]*second/, accept)
  }
})

t.test('the recipes together on one app, with hooks of its own', async t => {
  const app = Fastify()
  const gateway = new GrpcGateway({ services: [greeter], authenticate: ({ metadata }) => metadata.get('x-user')[0] })
  app.register(helmet)
  app.register(cors, { origin: true, ...corsHeaders })
  app.register(compress)
  app.register(rateLimit, { max: 100 })
  registerGrpcHttpRoutes(app, [gateway], { basePath: '/api/v1' })
  t.teardown(() => app.close())
  const reply = await app.inject({ method: 'POST', url: '/api/v1/grpc/greeter/sayhello', headers: { origin: 'https://a', 'x-user': 'ann' }, payload: { name: 'ann' } })
  t.match(reply, { statusCode: 200, headers: { 'x-content-type-options': 'nosniff', 'access-control-allow-origin': 'https://a', 'x-ratelimit-limit': '100' } })
  t.match(await app.inject({ method: 'POST', url: '/api/v1/grpc/greeter/sayhello' }), { statusCode: 401 })
})
