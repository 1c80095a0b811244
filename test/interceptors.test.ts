/** grpc-js server interceptors, which run unchanged on every protocol. */
import { Metadata, ResponderBuilder, ServerInterceptingCall, ServerListenerBuilder, status as codes, type ServerInterceptor } from '@grpc/grpc-js'
import t from 'tap'
import { GrpcError, implement, status } from '../src/index.ts'
import { Kinds, KINDS, recordingLogger, serve, sleep, type Note } from './serving.ts'

const service = implement(Kinds, {
  Unary: ({ text }, { metadata }) => ({ text: `${text} for ${metadata.get('user').join()}` }),
  async * ServerStream ({ text }) { yield { text }; yield { text } },
  async ClientStream (notes) {
    const texts = []
    for await (const { text } of notes) texts.push(text)
    return { text: texts.join() }
  },
  async * Bidi (notes) { for await (const { text } of notes) yield { text } }
})

/** Refuses calls without a token and tells the handler who calls. */
const authenticate: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, {
  start (next) {
    next(new ServerListenerBuilder().withOnReceiveMetadata((metadata, forward) => {
      if (metadata.get('authorization')[0] !== 'Bearer secret') {
        call.sendStatus({ code: codes.UNAUTHENTICATED, details: 'A token is needed' })
        return
      }
      metadata.set('user', 'ada')
      forward(metadata)
    }).build())
  }
})

t.test('an interceptor that authenticates guards both protocols', async t => {
  const { client, post } = await serve(t, { services: [service], interceptors: [authenticate] })
  const kinds = client(Kinds)
  for (const kind of KINDS) t.match(await kinds.call(kind, [{}]), { code: codes.UNAUTHENTICATED, details: 'A token is needed', messages: [] }, kind)
  t.match(await post('/grpc/kinds/unary', {}), { status: 401, json: { title: 'UNAUTHENTICATED', detail: 'A token is needed' } })
  t.equal((await post('/grpc/kinds/unary', '{bad')).status, 401, 'before the body is looked at')

  const metadata = new Metadata()
  metadata.set('authorization', 'Bearer secret')
  t.match(await kinds.call('Unary', { text: 'a' }, { metadata }), { code: codes.OK, messages: [{ text: 'a for ada' }] })
  t.match(await post('/grpc/kinds/unary', { text: 'a' }, { authorization: 'Bearer secret' }), { status: 200, json: { text: 'a for ada' } })
  t.match(await post('/grpc/kinds/unary', '{bad', { authorization: 'Bearer secret' }), { status: 400 })
})

t.test('an interceptor that rewrites messages, status and trailers does so on both protocols', async t => {
  const rewrite: ServerInterceptor = ({ path, requestStream, responseStream }, call) => new ServerInterceptingCall(call, new ResponderBuilder()
    .withStart(next => next(new ServerListenerBuilder().withOnReceiveMessage((note: Note, forward) => forward({ ...note, text: `<${note.text}>` })).build()))
    .withSendMetadata((metadata, next) => {
      metadata.set('seen', path)
      next(metadata)
    })
    .withSendMessage((note: Note, next) => next({ ...note, n: '7' }))
    .withSendStatus((ending, next) => {
      const trailers = ending.metadata ?? new Metadata()
      trailers.set('streams', `${requestStream},${responseStream}`)
      next(ending.code === codes.NOT_FOUND ? { code: codes.PERMISSION_DENIED, details: 'hidden', metadata: trailers } : { ...ending, metadata: trailers })
    })
    .build())
  const { client, post } = await serve(t, {
    services: [implement(Kinds, {
      Unary ({ text }) {
        if (text === '<gone>') throw new GrpcError(status.NOT_FOUND, 'gone')
        return { text }
      }
    })],
    interceptors: [rewrite]
  })
  const outcome = await client(Kinds).call('Unary', { text: 'a' })
  t.match(outcome, { code: codes.OK, messages: [{ text: '<a>', n: '7' }] })
  t.same([outcome.metadata.get('seen'), outcome.trailers.get('streams')], [['/test.Kinds/Unary'], ['false,false']])
  t.match(await client(Kinds).call('Unary', { text: 'gone' }), { code: codes.PERMISSION_DENIED, details: 'hidden' })

  const reply = await post('/grpc/kinds/unary', { text: 'a' })
  t.equal(reply.text, '{"text":"<a>","n":"7"}')
  t.same([reply.headers.get('seen'), reply.headers.get('grpc-trailer-streams')], ['/test.Kinds/Unary', 'false,false'])
  t.match(await post('/grpc/kinds/unary', { text: 'gone' }), { status: 403, json: { detail: 'hidden' } })
})

t.test('an asynchronous interceptor delays every step without loss or disorder', async t => {
  const slow: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, new ResponderBuilder()
    .withStart(next => next(new ServerListenerBuilder()
      .withOnReceiveMetadata(async (metadata, forward) => { await sleep(5); forward(metadata) })
      .withOnReceiveMessage(async (message, forward) => { await sleep(5); forward(message) })
      .withOnReceiveHalfClose(async forward => { await sleep(5); forward() })
      .build()))
    .withSendMetadata(async (metadata, next) => { await sleep(5); next(metadata) })
    .withSendMessage(async (message, next) => { await sleep(5); next(message) })
    .withSendStatus(async (ending, next) => { await sleep(5); next(ending) })
    .build())
  const { client, post } = await serve(t, { services: [service], interceptors: [slow, slow] })
  const kinds = client(Kinds)
  const letters = ['a', 'b', 'c'].map(text => ({ text }))
  t.match(await kinds.call('Unary', letters[0]!), { code: codes.OK, messages: [{ text: 'a for ' }] })
  t.match(await kinds.call('ServerStream', letters[0]!), { code: codes.OK, messages: [{ text: 'a' }, { text: 'a' }] })
  t.match(await kinds.call('ClientStream', letters), { code: codes.OK, messages: [{ text: 'a,b,c' }] })
  t.match(await kinds.call('Bidi', letters), { code: codes.OK, messages: letters })
  t.match(await post('/grpc/kinds/unary', { text: 'a' }), { status: 200, json: { text: 'a for ' } })
})

t.test('the first interceptor is the nearest to the client', async t => {
  const mark = (name: string): ServerInterceptor => (_method, call) => new ServerInterceptingCall(call, {
    start (next) {
      next({
        onReceiveMetadata (metadata, forward) {
          metadata.add('user', name)
          forward(metadata)
        }
      })
    }
  })
  const { client, post } = await serve(t, { services: [service], interceptors: [mark('first'), mark('second')] })
  t.match((await client(Kinds).call('Unary', {})).messages, [{ text: ' for first,second' }])
  t.match((await post('/grpc/kinds/unary', {})).json, { text: ' for first,second' })
})

t.test('a fault of an interceptor ends its call, not the process', async t => {
  const faulty: Record<string, ServerInterceptor> = {
    'when it is made': () => { throw new Error('secret') },
    'when metadata come': (_method, call) => new ServerInterceptingCall(call, { start: next => next({ onReceiveMetadata () { throw new Error('secret') } }) }),
    'when a message comes': (_method, call) => new ServerInterceptingCall(call, { start: next => next({ onReceiveMessage () { throw new Error('secret') } }) }),
    'when requests end': (_method, call) => new ServerInterceptingCall(call, { start: next => next({ onReceiveHalfClose () { throw new Error('secret') } }) }),
    'when a message is sent': (_method, call) => new ServerInterceptingCall(call, { sendMessage () { throw new Error('secret') } }),
    'when the status is sent': (_method, call) => new ServerInterceptingCall(call, { sendStatus () { throw new Error('secret') } })
  }
  for (const [name, interceptor] of Object.entries(faulty)) {
    const logger = recordingLogger()
    const { client, post } = await serve(t, { services: [service], interceptors: [interceptor], logger })
    for (const kind of KINDS) t.match(await client(Kinds).call(kind, [{ text: 'a' }]), { code: codes.INTERNAL, details: 'Internal error' }, `${kind} ${name}`)
    t.match(await post('/grpc/kinds/unary', { text: 'a' }), { status: 500, json: { detail: 'Internal error' } }, `HTTP ${name}`)
    t.match(logger.lines.filter(({ level }) => level === 'error').map(({ message }) => message), Array.from({ length: 5 }, () => 'An interceptor failed'))
  }
})

t.test('a GrpcError thrown by an interceptor is the status of its call', async t => {
  const refuse: ServerInterceptor = () => { throw new GrpcError(status.RESOURCE_EXHAUSTED, 'too many calls') }
  const { client, post } = await serve(t, { services: [service], interceptors: [refuse] })
  t.match(await client(Kinds).call('Unary', {}), { code: codes.RESOURCE_EXHAUSTED, details: 'too many calls' })
  t.match(await post('/grpc/kinds/unary', {}), { status: 429, json: { detail: 'too many calls' } })
})

t.test('calls that an interceptor refuses, or that end while it waits, do not hold up a shutdown', async t => {
  const refusing: Record<string, ServerInterceptor> = {
    'by throwing': () => { throw new GrpcError(status.UNAUTHENTICATED, 'no') },
    'by answering': (_method, call) => new ServerInterceptingCall(call, { start () { call.sendStatus({ code: codes.UNAUTHENTICATED, details: 'no' }) } }),
    'by letting in too late': (_method, call) => new ServerInterceptingCall(call, { start (next) { setTimeout(next, 100) } })
  }
  for (const [way, interceptor] of Object.entries(refusing)) {
    const logger = recordingLogger()
    const { client, post, gateway } = await serve(t, { services: [service], interceptors: [interceptor], timeout: { default: 60_000 }, logger })
    await Promise.all(KINDS.map(kind => client(Kinds).call(kind, [{}], { deadline: Date.now() + 50 })))
    await post('/grpc/kinds/unary', {}, { 'grpc-timeout': '50m' })
    await gateway.shutdown({ graceMs: 5000 })
    t.notOk(logger.lines.some(({ message }) => message.startsWith('Calls outlasted')), way)
  }
})

t.test('an interceptor may read messages before the handler does; none is lost', async t => {
  const readAhead: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, {
    start (next) {
      let admit: (() => void) | undefined
      next({
        onReceiveMetadata (metadata, forward) {
          admit = () => forward(metadata)
          call.startRead()
        },
        onReceiveMessage (message, forward) {
          forward(message)
          admit?.()
          admit = undefined
        }
      })
    }
  })
  const { client } = await serve(t, { services: [service], interceptors: [readAhead] })
  t.match(await client(Kinds).call('ClientStream', ['a', 'b', 'c'].map(text => ({ text }))), { code: codes.OK, messages: [{ text: 'a,b,c' }] })
})
