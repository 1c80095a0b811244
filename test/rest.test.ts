/** HTTP manners: routes, methods, media types, bodies, queries, headers. */
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { Writable } from 'node:stream'
import websocket from '@fastify/websocket'
import { Metadata } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { defaultIncoming, GrpcGateway, implement, loadProto, registerGrpcHttpRoutes, status, GrpcError, type GatewayOptions, type JsonForm, type ServiceRegistrar, type UnaryMethod } from '../src/index.ts'
import { Greeter, Kinds, recordingLogger, serve, sleep, until, type Note } from './serving.ts'

const echo = implement(Kinds, { Unary: note => note })
const PATH = '/grpc/kinds/unary'

t.test('every method has two routes, in lower case and by its full name', async t => {
  const { post, gateway } = await serve(t, { services: [echo] }, { basePath: '/api' })
  for (const url of ['/api/grpc/kinds/unary', '/api/grpc/test.Kinds/Unary']) t.equal((await post(url, { text: 'a' })).text, '{"text":"a"}', url)
  t.match(gateway.routes().slice(0, 2), [
    { httpMethods: ['POST'], url: '/api/grpc/kinds/unary', rpc: '/test.Kinds/Unary', kind: 'unary', implemented: true },
    { httpMethods: ['POST'], url: '/api/grpc/test.Kinds/Unary', rpc: '/test.Kinds/Unary', kind: 'unary', implemented: true }
  ])
})

t.test('404 below the path of the gateway is an error body, elsewhere it is the app\'s', async t => {
  const { request } = await serve(t, { services: [echo] })
  t.match(await request('/grpc/kinds/nope', { method: 'POST' }), { status: 404, json: { status: 404, title: 'NOT_FOUND', code: 5, detail: 'No RPC answers POST /grpc/kinds/nope.' } })
  t.match(await request('/grpc'), { status: 404, json: { title: 'NOT_FOUND' } })
  t.match(await request('/else'), { status: 404, json: { error: 'Not Found' } })
})

t.test('405 names the methods that are allowed, and OPTIONS answers with them', async t => {
  const { request } = await serve(t, { services: [echo], httpMethods: ['GET', 'PUT'] })
  const wrong = await request(PATH, { method: 'DELETE' })
  t.match(wrong, { status: 405, json: { status: 405, code: 12, detail: 'Method DELETE not allowed.' } })
  t.equal(wrong.headers.get('allow'), 'GET, HEAD, OPTIONS, POST, PUT')
  const options = await request(PATH, { method: 'OPTIONS' })
  t.same([options.status, options.headers.get('allow'), options.text], [204, 'GET, HEAD, OPTIONS, POST, PUT', ''])
})

t.test('httpMethods adds methods; HEAD goes with GET', async t => {
  const { request } = await serve(t, { services: [echo], httpMethods: ['GET', 'PUT', 'PATCH', 'DELETE', 'QUERY'] })
  const json = { 'content-type': 'application/json' }
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'QUERY']) {
    t.equal((await request(PATH, { method, body: '{"text":"a"}', headers: json })).text, '{"text":"a"}', method)
    // Fastify, as the QUERY specification, wants a media type of every QUERY.
    if (method !== 'QUERY') t.equal((await request(`${PATH}?text=b`, { method })).text, '{"text":"b"}', `${method} without a body`)
  }
  t.equal((await request(`${PATH}?text=b`)).text, '{"text":"b"}')
  t.match(await request(`${PATH}?text=b`, { method: 'HEAD' }), { status: 200, text: '' })
})

t.test('a gateway at the root leaves the root\'s 404 to the app', async t => {
  const { post, request } = await serve(t, { services: [echo], path: '/' })
  t.equal((await post('/kinds/unary', { text: 'a' })).text, '{"text":"a"}')
  t.match(await request('/kinds/unary'), { status: 405 })
  t.match(await request('/kinds/nope'), { status: 404, json: { title: 'NOT_FOUND' } })
  t.match(await request('/nope'), { status: 404, json: { error: 'Not Found' } })
})

t.test('a service may name routes of its own, which come right after the base path', async t => {
  const greeter = { SayHello: ({ name }: { name: string }) => ({ message: name }) }
  class Notes {
    async ClientStream (notes: AsyncIterable<Note>): Promise<Partial<Note>> {
      let all = ''
      for await (const { text } of notes) all += text
      return { text: all }
    }

    static addToServer (instance: Notes, server: ServiceRegistrar): void {
      server.implement(Kinds, instance, { routes: { ClientStream: '/notes/all' } })
    }
  }
  const services = [implement(Greeter, greeter, { routes: { SayHello: ['/hello', '/v1/greetings.hello'] } }), Notes]
  for (const path of ['/grpc', '/']) {
    const { post, request, gateway } = await serve(t, { services, path }, { basePath: '/api' })
    for (const url of ['/api/hello', '/api/v1/greetings.hello', `/api${path === '/' ? '' : path}/greeter/sayhello`]) t.equal((await post(url, { name: 'a' })).text, '{"message":"a"}', url)
    t.equal((await post('/api/notes/all', '{"text":"a"}\n{"text":"b"}\n', { 'content-type': 'application/x-ndjson' })).text, '{"text":"ab"}')
    t.match(await request('/api/hello'), { status: 405, json: { detail: 'Method GET not allowed.' } })
    t.match(await request('/hello'), { status: 404, json: { error: 'Not Found' } }, 'not without the base path')
    t.same(gateway.routes().filter(({ rpc }) => rpc === '/test.Greeter/SayHello').map(({ url }) => url).slice(2), ['/api/hello', '/api/v1/greetings.hello'])
  }
  const silent = await serve(t, { services, exposeHttp: false })
  t.match(await silent.post('/hello', {}), { status: 404 })
})

t.test('a named route may have a form of JSON of its own', async t => {
  const form: JsonForm = {
    read (text) {
      if (text === 'null') throw new GrpcError(status.INVALID_ARGUMENT, 'Nobody')
      return { name: text === '' ? 'nobody' : JSON.parse(text) }
    },
    write: message => JSON.stringify(Object.values(message as object))
  }
  const loggedRequest = () => ({ hidden: true })
  let log = ''
  const logger = { stream: new Writable({ write (chunk, _encoding, done) { log += String(chunk); done() } }) }
  const app = Fastify({ logger }) as unknown as FastifyInstance
  await app.register(websocket)
  const greeter = implement(Greeter, { SayHello: ({ name }, { requestId }) => ({ message: `${name} ${requestId}` }) }, { routes: { SayHello: { path: '/hello', form, loggedRequest } } })
  const { post, request } = await serve(t, { services: [greeter], limits: { messageBytes: 1000 } }, { app })
  const headers = { 'x-request-id': 'rid' }
  t.match(await post('/hello', '"Ann"', headers), { status: 200, text: '["Ann rid"]' })
  t.match(await request('/hello', { method: 'POST', headers }), { status: 200, text: '["nobody rid"]' })
  t.match(await post('/hello', 'null'), { status: 400, json: { detail: 'Nobody' } })
  t.match(await post('/hello', '"Ann"', { 'content-type': 'text/plain' }), { status: 415 })
  t.match(await post('/hello', JSON.stringify('x'.repeat(1000))), { status: 413 })
  t.match(await request('/hello'), { status: 405 })
  t.match(log, '"req":{"hidden":true}')
  t.match((await post('/grpc/greeter/sayhello', { name: 'Ann' }, headers)).text, '{"message":"Ann rid"}', 'others have ProtoJSON')
  t.throws(() => new GrpcGateway({ services: [implement(Kinds, {}, { routes: { Bidi: { path: '/bidi', form } } })] }), { code: 'FGG_ERR_SERVICE', message: /names a form of JSON for Bidi, which streams/ })
})

t.test('a route that cannot be is refused at start', async t => {
  const greeter = (routes: object, name = 'greeter'): object => implement(Greeter, {}, { name, routes })
  for (const path of ['hello', '/', '/hello/', '/:name', '/a*', '/a b', '/a?b', '//a']) {
    t.throws(() => new GrpcGateway({ services: [greeter({ SayHello: path })] }), { code: 'FGG_ERR_SERVICE', message: `greeter names the route ${path} for SayHello` }, path)
  }
  t.throws(() => new GrpcGateway({ services: [greeter({ SayBye: '/bye' })] }), { code: 'FGG_ERR_SERVICE', message: 'greeter names a route for SayBye, which is no method of test.Greeter' })
  const taken = { code: 'FGG_ERR_DUPLICATE_ROUTE', message: /\/hello is claimed by test\.Greeter\.SayHello of greeter and by test\.Kinds\.Unary of Kinds/ }
  const kinds = implement(Kinds, {}, { routes: { Unary: '/hello' } })
  t.throws(() => new GrpcGateway({ services: [greeter({ SayHello: '/hello' }), kinds] }), taken)
  const app = Fastify()
  registerGrpcHttpRoutes(app, [new GrpcGateway({ services: [greeter({ SayHello: '/hello' })] }), new GrpcGateway({ path: '/other', services: [kinds] })])
  await t.rejects(async () => await app.ready(), taken)
})

t.test('media types', async t => {
  const { request } = await serve(t, { services: [echo] })
  const send = async (type: string | undefined, body: string | Buffer = '{"text":"a"}', more: Record<string, string> = {}) =>
    await request(PATH, { method: 'POST', body: Buffer.from(body), headers: { ...type === undefined ? {} : { 'content-type': type }, ...more } })
  for (const type of [undefined, 'application/json', 'application/json; charset=utf-8', 'application/json;charset="UTF-8"', 'Application/JSON', 'application/vnd.api+json']) {
    t.equal((await send(type)).text, '{"text":"a"}', String(type))
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/grpc', 'application/jsonp', 'application/json; charset=latin1', 'nonsense']) {
    const { status, json, headers } = await send(type)
    t.match([status, json, headers.get('content-type')], [415, { status: 415, code: 3, title: 'INVALID_ARGUMENT' }, 'application/problem+json'], type)
  }
  t.match((await send('application/grpc')).json.detail, /call the gRPC port/)
  t.match(await send('application/json', '{}', { 'content-encoding': 'gzip' }), { status: 415, json: { detail: /Content-Encoding gzip/ } })
  t.equal((await send('application/json', '{}', { 'content-encoding': 'identity' })).status, 200)
  t.match(await send('application/json', Buffer.from([0x7b, 0xff, 0x7d])), { status: 400, json: { detail: /not valid UTF-8/ } })
})

t.test('an empty body is an empty message, whatever its type', async t => {
  const { request } = await serve(t, { services: [echo] })
  for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-type': 'text/plain' }]) {
    t.match(await request(PATH, { method: 'POST', headers }), { status: 200, text: '{}' }, JSON.stringify(headers))
  }
})

t.test('bodies past limits.messageBytes get 413, messages past it RESOURCE_EXHAUSTED', async t => {
  const { post, client } = await serve(t, { services: [echo], limits: { messageBytes: 1000 } })
  t.equal((await post(PATH, { text: 'x'.repeat(900) })).status, 200)
  t.match(await post(PATH, { text: 'x'.repeat(1000) }), { status: 413, json: { status: 413, code: 8, title: 'RESOURCE_EXHAUSTED' } })
  t.equal((await client(Kinds).call('Unary', { text: 'x'.repeat(1000) })).code, status.RESOURCE_EXHAUSTED)
})

t.test('a client that reads nothing before all of too large a body is sent does not lose the answer', async t => {
  const { url } = await serve(t, { services: [echo], limits: { messageBytes: 1000 } })
  const piece = Buffer.alloc(2 ** 20, ' ')
  const pieces = 16
  const chunk = Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
  for (const [framing, part] of [[`content-length: ${pieces * piece.length}`, piece], ['transfer-encoding: chunked', chunk]] as const) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(`POST ${PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${framing}\r\n\r\n`)
    for (let i = 0; i < pieces; i++) if (!socket.write(part)) await once(socket, 'drain')
    socket.setEncoding('utf8')
    let text = ''
    for await (const data of socket) text += data
    t.match(text, /^HTTP\/1\.1 413 .*\r\nconnection: close\r\n.*larger than 1000 bytes/s, framing)
  }
})

t.test('what is wrong with a body is told field by field, by JSON paths', async t => {
  const { post } = await serve(t, { services: [echo] })
  const { status, json } = await post(PATH, { text: 1, n: 'x', notes: [{}, { text: [] }, { notes: [null] }], more: true })
  t.equal(status, 400)
  t.same(json.details[0].fieldViolations.map(({ field }: { field: string }) => field), ['text', 'n', 'notes[1].text', 'notes[2].notes[0]', 'more'])
  t.equal(json.details[0]['@type'], 'type.googleapis.com/google.rpc.BadRequest')
  for (const [body, field] of [['{"text":"a","text":"b"}', ''], ['[]', ''], ['7', ''], ['"a"', ''], ['', undefined], ['{"n":1.5}', 'n'], ['{"n":"9223372036854775808"}', 'n'], ['{"notes":{}}', 'notes'], ['{"text":null}', undefined]] as const) {
    const reply = await post(PATH, body)
    if (field === undefined) t.equal(reply.status, 200, body)
    else t.match(reply, { status: 400, json: { details: [{ fieldViolations: [field === '' ? { description: /./ } : { field }] }] } }, body)
  }
})

t.test('hostile bodies are refused, and change nothing', async t => {
  const { post } = await serve(t, { services: [echo] })
  t.equal((await post(PATH, '{"__proto__":{"text":"x"}}')).status, 400)
  t.equal((await post(PATH, '{"constructor":{"prototype":{}}}')).status, 400)
  t.equal((await post(PATH, '{"notes":['.repeat(50_000) + ']}'.repeat(50_000))).status, 400)
  t.equal((await post(PATH, '['.repeat(1_000_000))).status, 400)
  const many = await post(PATH, { notes: Array.from({ length: 20_000 }, () => ({ text: 1 })) })
  t.equal(many.status, 400)
  t.ok(many.text.length < 50_000, 'an error body is no amplifier')
  t.equal(({} as Note).text, undefined)
})

t.test('json options change what is written, per method too', async t => {
  const { post } = await serve(t, { services: [echo], json: { int64: 'number', emitDefaults: true }, methods: { 'test.Kinds.Unary': { json: { space: 2 } } } })
  t.equal((await post(PATH, { n: '9007199254740993' })).text, '{\n  "text": "",\n  "n": 9007199254740993,\n  "notes": []\n}')
})

t.test('json.unknownFields: ignore lets unknown members pass, per method too', async t => {
  const bodies = async (t: Test, options: Partial<GatewayOptions>): Promise<number[]> => {
    const { post, request } = await serve(t, { services: [echo], httpMethods: ['GET'], ...options })
    return [(await post(PATH, { more: 1, notes: [{ more: 1 }] })).status, (await request(`${PATH}?more=1&x.y=2`)).status]
  }
  t.same(await bodies(t, {}), [400, 400])
  t.same(await bodies(t, { json: { unknownFields: 'ignore' } }), [200, 200])
  t.same(await bodies(t, { methods: { 'test.Kinds.Unary': { json: { unknownFields: 'ignore' } } } }), [200, 200])
  t.same(await bodies(t, { json: { unknownFields: 'ignore' }, methods: { 'test.Kinds.*': { json: { unknownFields: 'reject' } } } }), [400, 400])
})

t.test('without a body, fields come from the query', async t => {
  interface Query { name: string, flag: boolean, kind: string, tags: string[], data: Buffer, inner: { x: number } | null, at: unknown, maybe: unknown, any: unknown, labels: object, ratio: number }
  const { Search } = loadProto<{ Search: { Find: UnaryMethod<Query, Query> } }>(new URL('fixtures/search.proto', import.meta.url))
  const { request } = await serve(t, { services: [implement(Search, { Find: query => query })], httpMethods: ['GET'] })
  const get = async (query: string) => await request(`/grpc/search/find?${query}`)
  const cases: Array<[string, string]> = [
    ['name=Ada%20L&flag=true', '{"name":"Ada L","flag":true}'],
    ['name=a+b', '{"name":"a b"}'],
    ['tags=a&tags=b', '{"tags":["a","b"]}'],
    ['kind=SMALL', '{"kind":"SMALL"}'],
    ['kind=1', '{"kind":"SMALL"}'],
    ['inner.x=5&inner.inner.x=6', '{"inner":{"x":5,"inner":{"x":6}}}'],
    ['page_size=5', '{"pageSize":5}'],
    ['pageSize=5', '{"pageSize":5}'],
    ['data=_-8', '{"data":"/+8="}'],
    ['at=2026-01-02T03:04:05Z', '{"at":"2026-01-02T03:04:05Z"}'],
    ['maybe=false', '{"maybe":false}'],
    ['any={"a":[1]}', '{"any":{"a":[1]}}'],
    ['ratio=NaN', '{"ratio":"NaN"}'],
    ['name=', '{}'],
    ['', '{}']
  ]
  for (const [query, text] of cases) t.equal((await get(query)).text, text, query)
  const wrong: Array<[string, string]> = [
    ['nope=1', 'nope'], ['name=a&name=b', 'name'], ['flag=yes', 'flag'], ['flag=', 'flag'], ['pageSize=x', 'pageSize'], ['pageSize=1.5', 'pageSize'],
    ['kind=HUGE', 'kind'], ['inner=1', 'inner'], ['name.x=1', 'name.x'], ['labels=1', 'labels'], ['labels.a=1', 'labels.a'], ['tags.a=1', 'tags.a'],
    ['any=x', 'any'], ['page_size=1&pageSize=2', 'pageSize'], ['__proto__=1', '__proto__'], ['inner.__proto__.x=1', 'inner.__proto__.x'], ['at=yesterday', 'at']
  ]
  for (const [query, field] of wrong) {
    t.match(await get(query), { status: 400, json: { details: [{ fieldViolations: [{ field }] }] } }, query)
  }
})

t.test('headers become metadata, except those of connection, body and gRPC', async t => {
  const service = implement(Greeter, { SayHello: (_request, { metadata }) => ({ message: JSON.stringify(metadata.toJSON()) }) })
  const { url } = await serve(t, { services: [service] })
  const seen = await new Promise<Record<string, unknown[]>>((resolve, reject) => {
    const request = httpRequest(`${url}/grpc/greeter/sayhello`, {
      method: 'POST',
      headers: { 'X-Two': ['1', '2'], 'grpc-metadata-plain': 'p', 'grpc-metadata-grpc-x': 'no', 'grpc-metadata-': 'no', 'grpc-encoding': 'no', 'accept-encoding': 'no', te: 'trailers', connection: 'close', 'proxy-authorization': 'no', authorization: 'yes', 'data-bin': 'AAEC, _w', 'x-latin': 'caf\u00e9', cookie: 'a=1' }
    }, response => {
      let text = ''
      response.on('data', chunk => { text += chunk }).on('end', () => resolve(JSON.parse(JSON.parse(text).message)))
    })
    request.on('error', reject).end()
  })
  t.same(Object.keys(seen).sort(), ['authorization', 'cookie', 'data-bin', 'plain', 'x-request-id', 'x-two'])
  t.same(seen['x-two'], ['1', '2'])
  t.match(seen['data-bin'], [{ data: [0, 1, 2] }, { data: [255] }])
})

t.test('headers.incoming and headers.outgoing choose names', async t => {
  const service = implement(Greeter, {
    SayHello (_request, context) {
      const metadata = new Metadata()
      for (const key of ['a', 'b', 'content-length', 'connection']) metadata.set(key, '1')
      context.sendHeaders(metadata)
      context.trailers.set('c', '1')
      return { message: Object.keys(context.metadata.getMap()).sort().join() }
    }
  })
  const { post } = await serve(t, {
    services: [service],
    headers: {
      incoming: name => name === 'x-user' ? 'user' : name.startsWith('x-') ? defaultIncoming(name) : undefined,
      outgoing: (key, position) => key === 'a' ? undefined : `${position}-${key}`
    }
  })
  const { json, headers } = await post('/grpc/greeter/sayhello', {}, { 'x-user': 'ada', 'x-more': '1' })
  t.equal(json.message, 'user,x-more,x-request-id')
  t.same([headers.get('initial-b'), headers.get('trailing-c'), headers.get('a')], ['1', '1', null])
})

t.test('metadata never overrule the framing of the response', async t => {
  const service = implement(Greeter, {
    SayHello (_request, context) {
      const metadata = new Metadata()
      for (const key of ['content-length', 'content-type', 'transfer-encoding', 'connection', 'grpc-status', 'keep-alive']) metadata.set(key, '1')
      context.sendHeaders(metadata)
      return { message: 'whole' }
    }
  })
  const { post } = await serve(t, { services: [service] })
  t.match(await post('/grpc/greeter/sayhello', {}), { status: 200, text: '{"message":"whole"}' })
})

t.test('the id of the app is used where it makes its own; x-request-id goes first', async t => {
  const service = implement(Greeter, { SayHello: (_request, { requestId }) => ({ message: requestId }) })
  const { post } = await serve(t, { services: [service] }, { app: Fastify({ genReqId: () => 'own-7' }) })
  t.equal((await post('/grpc/greeter/sayhello', {})).json.message, 'own-7')
  const { json, headers } = await post('/grpc/greeter/sayhello', {}, { 'x-request-id': 'rid-1' })
  t.same([json.message, headers.get('x-request-id')], ['rid-1', 'rid-1'])
  t.equal((await post('/grpc/nope/nope', {}, { 'x-request-id': 'rid-1' })).headers.get('x-request-id'), 'rid-1')
})

t.test('hooks of the app run on the routes, and their errors have the same form', async t => {
  const app = Fastify()
  app.addHook('onRequest', async request => {
    if (request.headers['x-fail'] === 'status') throw Object.assign(new Error('no entry'), { statusCode: 403 })
    if (request.headers['x-fail'] === 'grpc') throw new GrpcError(status.PERMISSION_DENIED, 'not you')
    if (request.headers['x-fail'] === 'fault') throw new Error('secret')
  })
  app.addHook('onSend', async (_request, reply) => { reply.header('x-hook', 'ran') })
  const { post } = await serve(t, { services: [echo] }, { app })
  t.equal((await post(PATH, {})).headers.get('x-hook'), 'ran')
  t.match(await post(PATH, {}, { 'x-fail': 'status' }), { status: 403, json: { status: 403, code: 7, detail: 'no entry' } })
  t.match(await post(PATH, {}, { 'x-fail': 'grpc' }), { status: 403, json: { code: 7, detail: 'not you' } })
  t.match(await post(PATH, {}, { 'x-fail': 'fault' }), { status: 500, json: { code: 13, detail: 'Internal error' } })
})

t.test('parsers, serializers and error handlers of the app stay outside', async t => {
  const app = Fastify()
  app.setErrorHandler((_error, _request, reply) => { reply.code(418).send('teapot') })
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, _body, done) => done(new Error('never')))
  const { post } = await serve(t, { services: [echo] }, { app })
  t.equal((await post(PATH, { text: 'a' })).text, '{"text":"a"}')
  t.equal((await post(PATH, '{')).status, 400)
})

t.test('hooks and logs see the headers of an answer, whether it went through Fastify or not', async t => {
  for (const withOnSend of [false, true]) {
    const app = Fastify()
    const seen: unknown[] = []
    if (withOnSend) app.addHook('onSend', async () => {})
    app.addHook('onRequest', async (_request, reply) => { reply.header('set-cookie', ['a=1', 'b=2']).header('x-own', 'yes') })
    app.addHook('onResponse', async (_request, reply) => {
      seen.push(['content-type', 'content-length', 'x-own'].map(name => reply.getHeader(name)), typeof reply.getHeader('x-request-id'), reply.statusCode)
    })
    const { post } = await serve(t, { services: [echo] }, { app })
    const { headers, text } = await post(PATH, { text: 'a' })
    t.same([text, headers.get('content-length'), headers.getSetCookie(), headers.get('x-own')], ['{"text":"a"}', '12', ['a=1', 'b=2'], 'yes'])
    await until(() => seen.length === 3, 'the hook')
    t.same(seen.map(String), ['application/json; charset=utf-8,12,yes', 'string', '200'])
  }
})

t.test('an answer whose hooks set a status without a body has none of its headers', async t => {
  const app = Fastify()
  app.addHook('onRequest', async (_request, reply) => { reply.code(204) })
  const { post } = await serve(t, { services: [echo] }, { app })
  const { status, headers, text } = await post(PATH, { text: 'a' })
  t.same([status, headers.get('content-length'), headers.get('content-type'), text], [204, null, null, ''])
})

t.test('a header that Node.js refuses is a 500, not a request without an answer', async t => {
  const app = Fastify()
  app.addHook('onRequest', async (_request, reply) => { reply.header('x-user', 'Łukasz') })
  const logger = recordingLogger()
  const { post } = await serve(t, { services: [echo], logger }, { app })
  t.equal((await post(PATH, {})).status, 500)
  t.match(logger.lines.filter(({ level }) => level === 'error'), [{ message: 'The response could not be written' }])
})

t.test('hooks may pause, change and replace the body', async t => {
  const app = Fastify()
  app.addHook('preParsing', async (_request, _reply, payload) => { payload.pause(); return payload })
  app.addHook('preHandler', async request => {
    const { 'x-body': kind } = request.headers
    if (kind === 'object') request.body = { text: 'from a hook', n: '7' }
    if (kind === 'text') request.body = '{"text":"from a hook"}'
    if (kind === 'bytes') request.body = new TextEncoder().encode('{"text":"from a hook"}')
  })
  const { post } = await serve(t, { services: [echo] }, { app })
  t.equal((await post(PATH, { text: 'a' })).text, '{"text":"a"}')
  t.equal((await post(PATH, { text: 'a' }, { 'x-body': 'object' })).text, '{"text":"from a hook","n":"7"}')
  for (const kind of ['text', 'bytes']) t.equal((await post(PATH, { text: 'a' }, { 'x-body': kind })).text, '{"text":"from a hook"}', kind)
})

t.test('bodies in many pieces, and too large by surprise', async t => {
  const { url } = await serve(t, { services: [echo], limits: { messageBytes: 100 } })
  const send = (pieces: readonly string[], headers: Record<string, string> = {}): Promise<{ status: number, text: string }> => new Promise((resolve, reject) => {
    const request = httpRequest(url + PATH, { method: 'POST', headers: { 'content-type': 'application/json', ...headers } }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => { text += chunk }).on('end', () => resolve({ status: response.statusCode!, text }))
    })
    request.on('error', reject)
    for (const piece of pieces) request.write(piece)
    request.end()
  })
  t.same(await send(['{"te', 'xt":"ä', 'b"', '}']), { status: 200, text: '{"text":"äb"}' })
  t.match(await send(['{"text":"', 'x'.repeat(100), '"}']), { status: 413, text: /larger than 100 bytes/ })
})

t.test('app.inject reaches the routes without a port', async t => {
  const { app } = await serve(t, { services: [echo] })
  const response = await app.inject({ method: 'POST', url: PATH, payload: { text: 'a' } })
  t.equal(response.body, '{"text":"a"}')
})

t.test('a client that leaves in the middle of its body starts no call', async t => {
  let calls = 0
  const { url } = await serve(t, { services: [implement(Kinds, { Unary: note => { calls++; return note } })] })
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"text":`)
  await sleep(50)
  socket.destroy()
  await sleep(50)
  t.equal(calls, 0)
})

t.test('the routes answer over HTTP/2, and hear of its cancellations', async t => {
  const signals: AbortSignal[] = []
  const service = implement(Greeter, {
    async SayHello ({ name }, { metadata, signal }) {
      signals.push(signal)
      if (name === 'hang') await new Promise(() => {})
      return { message: JSON.stringify(metadata.toJSON()) }
    }
  })
  const app = Fastify({ http2: true })
  const { url } = await serve(t, { services: [service] }, { app: app as never })
  const session = connectHttp2(url)
  t.teardown(() => session.destroy())
  const open = () => session.request({ ':method': 'POST', ':path': '/grpc/greeter/sayhello', 'content-type': 'application/json', cookie: ['a=1', 'b=2'], 'x-two': ['1', '2'] })

  const request = open()
  request.end('{}')
  let text = ''
  for await (const chunk of request) text += chunk
  const { 'x-request-id': id, ...others } = JSON.parse(JSON.parse(text).message)
  t.match(id, [/^[0-9a-f-]{36}$/])
  t.same(others, { cookie: ['a=1; b=2'], 'x-two': ['1', '2'] })

  const cancelled = open()
  cancelled.on('error', () => {})
  cancelled.end('{"name":"hang"}')
  await until(() => signals.length === 2, 'the call')
  cancelled.close(8)
  await until(() => signals[1]!.aborted, 'the abort')
  t.match(signals[1]!.reason, { code: status.CANCELLED })
})

t.test('a response that cannot be written as told still ends', async t => {
  const service = implement(Greeter, {
    SayHello (_request, context) {
      context.trailers.set('a:b', '1') // a key of gRPC that is no header name
      return { message: 'sent' }
    }
  })
  const plain = await serve(t, { services: [service] })
  t.match(await plain.post('/grpc/greeter/sayhello', {}), { status: 200, json: { message: 'sent' } })

  for (const outgoing of [(key: string) => `x ${key}`, () => { throw new Error('secret') }]) {
    const { post } = await serve(t, { services: [service], headers: { outgoing }, logger: recordingLogger() })
    const { status, text } = await post('/grpc/greeter/sayhello', {})
    t.match(status, /^(200|500)$/)
    t.notMatch(text, 'secret')
  }
  for (const httpStatus of [() => 42, () => 200, () => NaN]) {
    const { post } = await serve(t, { services: [implement(Greeter, { SayHello () { throw new GrpcError(status.NOT_FOUND, 'x') } })], errors: { httpStatus } })
    t.match(await post('/grpc/greeter/sayhello', {}), { status: 404, json: { status: 404 } })
  }
})

t.test('error bodies stay small, whatever the request', async t => {
  const { post } = await serve(t, { services: [echo] })
  const bodies = [
    { notes: Array.from({ length: 100_000 }, () => 1) },
    { notes: [{ ['k'.repeat(1_000_000)]: 1 }] },
    { text: Array.from({ length: 100_000 }, () => 'x') },
    `{"notes":[${'{"n":99999999999999999},'.repeat(50_000)}{}]}`
  ]
  for (const body of bodies) {
    const { status, text } = await post(PATH, body)
    t.equal(status, 400)
    t.ok(text.length < 100_000, `${text.length} characters`)
  }
})

t.test('a wrong field is found among many that are right', async t => {
  const { post } = await serve(t, { services: [echo] })
  const notes: object[] = Array.from({ length: 1000 }, () => ({ text: 'fine', notes: [{ text: 'fine' }] }))
  notes.push({ notes: [{ text: 1 }] })
  t.match(await post(PATH, { notes }), { status: 400, json: { detail: /^notes\[1000\]\.notes\[0\]\.text: / } })
})

t.test('a client that leaves before its handler runs starts none, and one that leaves after is noticed behind others', async t => {
  const app = Fastify()
  let arrived = 0
  app.addHook('preHandler', async request => {
    arrived++
    if (request.headers['x-slow'] !== undefined) await sleep(150)
  })
  const signals: AbortSignal[] = []
  const service = implement(Greeter, {
    SayHello (_request, { signal }) {
      signals.push(signal)
      return new Promise(() => {})
    }
  })
  const { url } = await serve(t, { services: [service] }, { app })
  const { port } = new URL(url)
  const head = (more = ''): string => `POST /grpc/greeter/sayhello HTTP/1.1\r\nhost: x\r\n${more}content-length: 0\r\n\r\n`

  const early = connect(Number(port), '127.0.0.1')
  early.write(head('x-slow: 1\r\n'))
  await until(() => arrived === 1, 'the request')
  early.destroy()
  await sleep(250)
  t.equal(signals.length, 0)

  const pipelined = connect(Number(port), '127.0.0.1')
  pipelined.write(head() + head())
  await until(() => signals.length > 0, 'a call')
  await sleep(50)
  pipelined.destroy()
  await until(() => signals.every(({ aborted }) => aborted), 'the aborts')
  t.ok(signals.length > 0)
})

t.test('a header goes before grpc-metadata- of its name', async t => {
  const service = implement(Greeter, { SayHello: (_request, { metadata }) => ({ message: [metadata.get('authorization'), metadata.get('other')].join(' and ') }) })
  const { post } = await serve(t, { services: [service] })
  const { json } = await post('/grpc/greeter/sayhello', {}, { 'grpc-metadata-authorization': 'forged', authorization: 'mine', 'grpc-metadata-other': 'x' })
  t.equal(json.message, 'mine and x')
})
