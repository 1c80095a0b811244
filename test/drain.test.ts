/** Draining, and shutdowns that lose nothing: real connections of every protocol. */
import dns from 'node:dns'
import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect as http2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { ServerInterceptingCall, status as codes, type ServerInterceptor } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { GrpcGateway, implement, type GatewayOptions, type ListenOptions } from '../src/index.ts'
import { Greeter, grpcClient, Kinds, recordingLogger, serve, until, type TestClient } from './serving.ts'

const HELLO = '/grpc/greeter/sayhello'
const STREAM = '/grpc/kinds/serverstream'
const greeter = implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) })

/** Calls that go on until they are told to end. */
function gate (): { service: GatewayOptions['services'][number], waiting: Array<() => void> } {
  const waiting: Array<() => void> = []
  const service = implement(Greeter, { SayHello: ({ name }) => new Promise(resolve => waiting.push(() => resolve({ message: name }))) })
  return { service, waiting }
}

/** A gateway with an app of its own. */
async function listen (t: Test, options: GatewayOptions, listenOptions: ListenOptions = {}): Promise<{ gateway: GrpcGateway, app: FastifyInstance, port: number, url: string, client: (definition?: object) => TestClient }> {
  const gateway = new GrpcGateway({ port: 0, ...options })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', ...listenOptions })
  const { port } = app.server.address() as { port: number }
  t.teardown(() => gateway.shutdown({ graceMs: 0 }))
  return {
    gateway,
    app,
    port,
    url: `http://127.0.0.1:${port}`,
    client (definition = Greeter) {
      const client = grpcClient(definition, gateway.address)
      t.teardown(() => client.raw.close())
      return client
    }
  }
}

interface Reply { status: number, headers: IncomingHttpHeaders, text: string }

/** POSTs over the connections of an agent. */
async function post (agent: Agent, url: string, body: object = {}): Promise<Reply> {
  const request = httpRequest(url, { agent, method: 'POST', headers: { 'content-type': 'application/json' } })
  request.end(JSON.stringify(body))
  const [response] = await once(request, 'response')
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, headers: response.headers, text }
}

function keepAlive (t: Test): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  return agent
}

/** A bare connection, and what has come over it. */
interface Bare { socket: Socket, received: string, closed: Promise<unknown>, isClosed: boolean }

async function bare (t: Test, port: number, host = '127.0.0.1'): Promise<Bare> {
  const socket = connect(port, host)
  const connection: Bare = { socket, received: '', closed: once(socket, 'close').then(() => { connection.isClosed = true }), isClosed: false }
  socket.on('data', chunk => { connection.received += chunk })
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  return connection
}

const hello = (name: string): string => {
  const body = JSON.stringify({ name })
  return `POST ${HELLO} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}
const replies = ({ received }: Bare): string[] => [...received.matchAll(/"message":"(.*?)"/g)].map(([, message]) => message!)
const closes = ({ received }: Bare): number => received.match(/^connection: close/gim)?.length ?? 0

t.test('a drain serves on, and asks clients to use other connections', async t => {
  const { gateway, url, client } = await serve(t, { services: [greeter] })
  const agent = keepAlive(t)
  t.match(await post(agent, url + HELLO, { name: 'a' }), { status: 200, headers: { connection: 'keep-alive' } })
  t.equal(await gateway.drain(), true)
  t.match(await post(agent, url + HELLO, { name: 'b' }), { status: 200, headers: { connection: 'close' }, text: '{"message":"Hello, b!"}' })
  t.match(await post(agent, url + HELLO, { name: 'c' }), { status: 200, headers: { connection: 'close' } }, 'on a new connection too')
  t.match(await post(agent, `${url}/nowhere`), { status: 404, headers: { connection: 'close' } }, 'as does every route of the app')
  t.match(await client(Greeter).call('SayHello', { name: 'd' }), { code: codes.OK, messages: [{ message: 'Hello, d!' }] })
  gateway.undrain()
  t.match(await post(agent, url + HELLO, { name: 'e' }), { status: 200, headers: { connection: 'keep-alive' } })
})

t.test('a drain is done when its time is over and no call is open', async t => {
  const { service, waiting } = gate()
  const { gateway, client } = await serve(t, { services: [service] })
  const began = Date.now()
  const open = client(Greeter).call('SayHello', {})
  await until(() => waiting.length === 1, 'the call')
  const outcomes: unknown[] = []
  const patient = gateway.drain({ minMs: 100 }).then(outcome => outcomes.push(outcome))
  const quick = gateway.drain().then(outcome => outcomes.push(outcome))
  await new Promise(resolve => setTimeout(resolve, 150))
  t.same(outcomes, [], 'not as long as a call is open')
  waiting[0]!()
  await Promise.all([patient, quick])
  t.same(outcomes, [true, true])
  t.ok(Date.now() - began >= 99)
  t.match(await open, { code: codes.OK })

  gateway.undrain()
  const later = gateway.drain({ minMs: 60_000 }).then(() => outcomes.push('later'))
  t.equal(await gateway.drain(), true, 'each caller has a minimum of its own')
  t.same(outcomes, [true, true])
  await gateway.shutdown()
  await later
  t.same(outcomes, [true, true, 'later'], 'a shutdown ends the wait')
})

t.test('undrain takes a drain back, and ends its wait with false', async t => {
  const { service, waiting } = gate()
  const { gateway, client } = await serve(t, { services: [service] })
  gateway.undrain()
  const open = client(Greeter).call('SayHello', {})
  await until(() => waiting.length === 1, 'the call')
  const drains = [gateway.drain(), gateway.drain({ minMs: 60_000 })]
  gateway.undrain()
  t.same(await Promise.all(drains), [false, false])
  const again = gateway.drain()
  waiting[0]!()
  t.equal(await again, true)
  t.match(await open, { code: codes.OK })
})

t.test('a gateway can be drained in every state', async t => {
  const gateway = new GrpcGateway({ services: [greeter], port: 0, logger: recordingLogger() })
  t.equal(await gateway.drain(), true, 'before it starts')
  await gateway.startup()
  const client = grpcClient(Greeter, gateway.address)
  t.teardown(() => client.raw.close())
  t.match(await client.call('SayHello', {}), { code: codes.OK })
  const [drained] = await Promise.all([gateway.drain({ minMs: 60_000 }), gateway.shutdown()])
  t.equal(drained, true, 'while it stops')
  t.equal(await gateway.drain({ minMs: 60_000 }), true, 'when it is stopped')
  gateway.undrain()
  await gateway.startup()
  t.equal(await gateway.drain(), true)
  await gateway.shutdown()
})

t.test('times that are none are refused by name', async t => {
  const gateway = new GrpcGateway({ services: [greeter] })
  for (const wrong of [-1, NaN, '1s', null, 2 ** 31]) {
    await t.rejects(gateway.drain({ minMs: wrong as number }), { code: 'FGG_ERR_OPTION', message: /minMs/ })
    await t.rejects(gateway.shutdown({ graceMs: wrong as number }), { code: 'FGG_ERR_OPTION', message: /graceMs/ })
  }
})

t.test('a drain sends GOAWAY, and open calls go on', async t => {
  const { service, waiting } = gate()
  const h2 = Fastify({ http2: true }) as unknown as FastifyInstance
  const { gateway, url, client } = await serve(t, { services: [service] }, { app: h2 })
  const session = http2(url)
  t.teardown(() => session.destroy())
  const stream = session.request({ ':method': 'POST', ':path': HELLO, 'content-type': 'application/json' })
  stream.end('{"name":"http2"}')
  const grpcSession = http2(`http://${gateway.address}`)
  t.teardown(() => grpcSession.destroy())
  await once(grpcSession, 'remoteSettings')
  const open = client(Greeter).call('SayHello', { name: 'grpc' })
  await until(() => waiting.length === 2, 'both calls')
  const gone = [once(session, 'goaway'), once(grpcSession, 'goaway')]
  const drained = gateway.drain()
  for (const [code] of await Promise.all(gone)) t.equal(code, 0)
  for (const finish of waiting.splice(0)) finish()
  t.match(await open, { code: codes.OK, messages: [{ message: 'grpc' }] })
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += chunk
  t.equal(text, '{"message":"http2"}')
  t.equal(await drained, true)

  const next = client(Greeter).call('SayHello', { name: 'next' })
  await until(() => waiting.length === 1, 'a call on a new connection')
  waiting[0]!()
  t.match(await next, { code: codes.OK })
})

t.test('a drain loses no request of a pipeline', async t => {
  const { service, waiting } = gate()
  const { gateway, app } = await serve(t, { services: [service] })
  const connection = await bare(t, (app.server.address() as { port: number }).port)
  connection.socket.write(hello('a') + hello('b'))
  await until(() => waiting.length === 2, 'two calls')
  gateway.drain()
  connection.socket.write(hello('c') + hello('d'))
  await until(() => waiting.length === 4, 'four calls')
  for (const finish of waiting) finish()
  await connection.closed
  t.same(replies(connection), ['a', 'b', 'c', 'd'])
  t.equal(closes(connection), 1, 'the last response says that it is the last')
})

t.test('a response that is under way when the drain begins says that it is the last', async t => {
  const { service, waiting } = gate()
  const { gateway, url } = await serve(t, { services: [service] })
  const reply = post(keepAlive(t), url + HELLO, { name: 'a' })
  await until(() => waiting.length === 1, 'the call')
  gateway.drain()
  waiting[0]!()
  t.match(await reply, { status: 200, headers: { connection: 'close' } })
})

t.test('both addresses of localhost are drained, and closed', async t => {
  const { lookup } = dns
  t.teardown(() => { dns.lookup = lookup })
  dns.lookup = ((host: string, options: { all?: boolean }, callback: (error: null, addresses: unknown) => void) => {
    if (host === 'localhost' && options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }])
    else lookup(host, options, callback as never)
  }) as typeof lookup
  const { gateway, app } = await listen(t, { services: [greeter] }, { host: 'localhost' })
  const { port } = app.server.address() as { port: number }
  if (app.addresses().length < 2) return t.pass('there is no IPv6 here')
  const idle = [await bare(t, port, '127.0.0.1'), await bare(t, port, '::1')]
  for (const { socket } of idle) socket.write(hello('a'))
  await until(() => idle.every(connection => replies(connection).length === 1), 'answers')
  await gateway.drain()
  for (const host of ['127.0.0.1', '[::1]']) {
    t.match(await post(keepAlive(t), `http://${host}:${port}${HELLO}`), { status: 200, headers: { connection: 'close' } }, host)
  }
  await gateway.shutdown()
  for (const { closed } of idle) await closed
  t.same(idle.map(closes), [0, 0])
})

t.test('WebSockets go on while a gateway drains, and may finish while it shuts down', async t => {
  const echo = implement(Kinds, { async * Bidi (notes) { for await (const { text } of notes) yield { text } } })
  const { gateway, port } = await listen(t, { services: [echo] }, { webSocket: true })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/grpc/kinds/bidi`)
  const received: string[] = []
  socket.on('message', data => received.push(String(data)))
  await once(socket, 'open')
  gateway.drain()
  socket.send('{"text":"a"}')
  await until(() => received.length === 1, 'the echo')
  const down = gateway.shutdown()
  socket.send('{"text":"b"}')
  await until(() => received.length === 2, 'the echo')
  socket.close(1000)
  await down
  t.same(received.slice(0, 2).map(text => JSON.parse(text)), [{ text: 'a' }, { text: 'b' }])
})

t.test('a shutdown answers what clients have sent before it, also on connections that were not accepted yet', async t => {
  const { gateway, port } = await listen(t, { services: [greeter] })
  const used = await bare(t, port)
  used.socket.write(hello('first'))
  await until(() => replies(used).length === 1, 'an answer')
  const fresh = await bare(t, port)
  const connecting = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'))
  const answers = connecting.map(async socket => {
    let text = ''
    socket.end(hello('c'))
    for await (const chunk of socket.setEncoding('utf8')) text += chunk
    return text
  })
  used.socket.write(hello('a'))
  fresh.socket.write(hello('b'))
  await gateway.shutdown()
  await Promise.all([used.closed, fresh.closed])
  t.same([replies(used), replies(fresh)], [['Hello, first!', 'Hello, a!'], ['Hello, b!']])
  t.same([closes(used), closes(fresh)], [1, 1])
  for (const text of await Promise.all(answers)) t.match(text, /Hello, c!/)
})

t.test('while a shutdown waits, open connections are served', async t => {
  const { service, waiting } = gate()
  const { gateway, port, client } = await listen(t, { services: [service] })
  const open = client().call('SayHello', { name: 'open' })
  await until(() => waiting.length === 1, 'the call')
  const connection = await bare(t, port)
  const down = gateway.shutdown()
  connection.socket.write(hello('late'))
  await until(() => waiting.length === 2, 'the late call')
  for (const finish of waiting) finish()
  await connection.closed
  await down
  t.same([replies(connection), closes(connection)], [['late'], 1])
  t.match(await open, { code: codes.OK })
})

t.test('an app that stays open gets UNAVAILABLE from the routes of a gateway that shuts down', async t => {
  const { service, waiting } = gate()
  const { gateway, url, client } = await serve(t, { services: [service] })
  const open = client(Greeter).call('SayHello', { name: 'open' })
  await until(() => waiting.length === 1, 'the call')
  const down = gateway.shutdown()
  const refused = await post(keepAlive(t), url + HELLO)
  t.match(refused, { status: 503, headers: { 'content-type': /^application\/problem\+json/, 'x-request-id': /.+/ } })
  t.match(JSON.parse(refused.text), { title: 'UNAVAILABLE', detail: 'The server is shutting down' })
  waiting[0]!()
  await down
  t.match(await open, { code: codes.OK })
  t.match(await post(keepAlive(t), url + HELLO), { status: 503, headers: { connection: 'keep-alive' } })
})

t.test('an app that closes by itself answers what comes on open connections, if it may', async t => {
  const { service, waiting } = gate()
  const { app, client } = await serve(t, { services: [service] }, { app: Fastify({ return503OnClosing: false }) })
  const open = client(Greeter).call('SayHello', { name: 'open' })
  await until(() => waiting.length === 1, 'the call')
  const connection = await bare(t, (app.server.address() as { port: number }).port)
  const down = app.close()
  connection.socket.write(hello('late'))
  await until(() => waiting.length === 2, 'the late call')
  for (const finish of waiting) finish()
  await connection.closed
  t.same([replies(connection), closes(connection)], [['late'], 1])
  t.match(await open, { code: codes.OK })
  await down
})

t.test('connections that say nothing hold no shutdown', async t => {
  const { gateway, port } = await listen(t, { services: [greeter] })
  const silent = await bare(t, port)
  await gateway.shutdown({ graceMs: 60_000 })
  await silent.closed
  t.equal(silent.received, '')
})

t.test('half a request holds a shutdown for the grace time, and no longer', async t => {
  const { gateway, port } = await listen(t, { services: [greeter] })
  const half = await bare(t, port)
  half.socket.write(hello('a').slice(0, 20))
  await gateway.shutdown({ graceMs: 100 })
  await half.closed
  t.equal(half.received, '')
})

t.test('a connection whose response began before the shutdown ends with it', async t => {
  const finish: Array<() => void> = []
  const stream = implement(Kinds, { async * ServerStream () { yield { text: 'a' }; await new Promise<void>(resolve => finish.push(resolve)) } })
  const { gateway, port } = await listen(t, { services: [stream] })
  const connection = await bare(t, port)
  connection.socket.write(`POST ${STREAM} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n`)
  await until(() => connection.received.includes('"a"') && finish.length === 1, 'the first message')
  const down = gateway.shutdown()
  await new Promise(resolve => setImmediate(resolve))
  finish[0]!()
  await connection.closed
  await down
  t.match(connection.received, /\r\n0\r\n\r\n$/, 'whole')
})

t.test('calls that interceptors hold back are open calls, on each protocol', async t => {
  const held: Array<() => void> = []
  const inMetadata: ServerInterceptor = (_method, next) => new ServerInterceptingCall(next, {
    start (proceed) {
      proceed({ onReceiveMetadata (metadata, go) { held.push(() => go(metadata)) } })
    }
  })
  const inStart: ServerInterceptor = (_method, next) => new ServerInterceptingCall(next, { start (proceed) { held.push(() => proceed()) } })
  for (const interceptor of [inMetadata, inStart]) {
    const { gateway, client, post } = await serve(t, { services: [greeter], interceptors: [interceptor] })
    const calls = [async () => (await client(Greeter).call('SayHello', {})).code, async () => (await post(HELLO, {})).status]
    for (const call of calls) {
      const outcome = call()
      await until(() => held.length === 1, 'the call')
      let drained = false
      const drain = gateway.drain().then(() => { drained = true })
      await new Promise(resolve => setTimeout(resolve, 20))
      t.equal(drained, false)
      held.pop()!()
      await drain
      t.ok([codes.OK, 200].includes(await outcome))
      gateway.undrain()
    }
    const last = [calls[0]!(), calls[1]!()]
    await until(() => held.length === 2, 'both calls')
    await gateway.shutdown({ graceMs: 20 })
    t.same(await Promise.all(last), [codes.UNAVAILABLE, 503], 'a shutdown ends them')
    held.length = 0
  }
})

t.test('calls that interceptors answer themselves are open no longer', async t => {
  const inStart: ServerInterceptor = (_method, next) => new ServerInterceptingCall(next, {
    start () { setImmediate(() => next.sendStatus({ code: codes.PERMISSION_DENIED, details: 'No' })) }
  })
  const inMetadata: ServerInterceptor = (_method, next) => new ServerInterceptingCall(next, {
    start (proceed) {
      proceed({ onReceiveMetadata () { setImmediate(() => next.sendStatus({ code: codes.PERMISSION_DENIED, details: 'No' })) } })
    }
  })
  for (const interceptor of [inStart, inMetadata]) {
    const { gateway, client, post } = await serve(t, { services: [greeter], interceptors: [interceptor] })
    t.match(await client(Greeter).call('SayHello', {}), { code: codes.PERMISSION_DENIED })
    t.match(await post(HELLO, {}), { status: 403 })
    t.equal(await gateway.drain(), true)
  }
})
