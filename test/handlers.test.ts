/** Handlers of both styles and all four kinds: what they get, and what becomes of their answers and failures. */
import type { EventEmitter } from 'node:events'
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { Metadata, ServerInterceptingCall, ServerListenerBuilder, status as codes, type ServerDuplexStream, type ServerInterceptor, type ServerReadableStream, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { contextOf, GrpcError, implement, status, type CallContext, type ServiceRegistrar } from '../src/index.ts'
import { callOverHttp, Kinds, KINDS, recordingLogger, serve, until, type Kind, type Note, type Outcome, type Served } from './serving.ts'

/** A service of grpc-js handlers. */
function grpcJsService (handlers: object): object {
  class KindsService {
    static addToServer (_instance: KindsService, server: ServiceRegistrar): void {
      server.addService(Kinds, handlers)
    }
  }
  return KindsService
}

type Unary = ServerUnaryCall<Note, Partial<Note>>
type Writing = ServerWritableStream<Note, Partial<Note>>
type Reading = ServerReadableStream<Note, Partial<Note>>
type Duplex = ServerDuplexStream<Note, Partial<Note>>
type Callback = sendUnaryData<Partial<Note>>

const styles = {
  'implement()': () => implement(Kinds, {
    Unary: ({ text }) => ({ text: `${text}!` }),
    async * ServerStream ({ text }) {
      for (const letter of text) yield { text: letter }
    },
    async ClientStream (notes) {
      let text = ''
      for await (const note of notes) text += note.text
      return { text }
    },
    async * Bidi (notes) {
      for await (const note of notes) yield { text: `${note.text}!` }
    }
  }),
  'addService()': () => grpcJsService({
    Unary: (call: Unary, callback: Callback) => callback(null, { text: `${call.request.text}!` }),
    ServerStream (call: Writing) {
      for (const letter of call.request.text) call.write({ text: letter })
      call.end()
    },
    ClientStream (call: Reading, callback: Callback) {
      let text = ''
      call.on('data', (note: Note) => { text += note.text })
      call.on('end', () => callback(null, { text }))
    },
    Bidi (call: Duplex) {
      call.on('data', (note: Note) => call.write({ text: `${note.text}!` }))
      call.on('end', () => call.end())
    }
  })
}

for (const [style, service] of Object.entries(styles)) {
  t.test(`${style} answers all four kinds over gRPC, and unary over HTTP`, async t => {
    const { client, post } = await serve(t, { services: [service()] })
    const kinds = client(Kinds)
    const texts = async (method: Kind, ...inputs: string[]): Promise<string[]> => {
      const { messages, code } = await kinds.call(method, inputs.map(text => ({ text })))
      t.equal(code, codes.OK)
      return messages.map(message => (message as Note).text)
    }
    t.same(await texts('Unary', 'a'), ['a!'])
    t.same(await texts('ServerStream', 'abc'), ['a', 'b', 'c'])
    t.same(await texts('ServerStream', ''), [])
    t.same(await texts('ClientStream', 'a', 'b', 'c'), ['abc'])
    t.same(await texts('ClientStream'), [''])
    t.same(await texts('Bidi', 'a', 'b'), ['a!', 'b!'])
    t.same(await texts('Bidi'), [])
    const path = style === 'implement()' ? '/grpc/kinds/unary' : '/grpc/kindsservice/unary'
    t.equal((await post(path, { text: 'a' })).text, '{"text":"a!"}')
  })
}

t.test('methods are found under the name of the RPC or with a small first letter, and keep their this', async t => {
  class KindsService {
    #mark = '?'
    unary ({ text }: Note): Partial<Note> {
      return { text: text + this.#mark }
    }

    static addToServer (instance: KindsService, server: ServiceRegistrar): void {
      server.implement(Kinds, instance)
    }
  }
  for (const service of [KindsService, new KindsService()]) {
    const { post } = await serve(t, { services: [service] })
    t.equal((await post('/grpc/kindsservice/unary', { text: 'a' })).json.text, 'a?')
  }
})

t.test('what an implementation lacks is reported at start and answers UNIMPLEMENTED', async t => {
  const logger = recordingLogger()
  const { client, post, gateway } = await serve(t, { services: [implement(Kinds, { Unary: note => note })], logger })
  t.match(logger.lines.find(({ level }) => level === 'warn'), { fields: { missing: ['ServerStream', 'ClientStream', 'Bidi'] }, message: /Kinds.*UNIMPLEMENTED/ })
  for (const method of ['ServerStream', 'ClientStream', 'Bidi'] as const) {
    t.match(await client(Kinds).call(method, [{}]), { code: codes.UNIMPLEMENTED, details: `The server does not implement the method /test.Kinds/${method}` })
  }
  t.match(gateway.routes().filter(({ implemented }) => implemented).map(({ rpc }) => rpc), ['/test.Kinds/Unary', '/test.Kinds/Unary'])
  t.equal((await post('/grpc/test.Kinds/Nope', {})).status, 404)
})

/** Failures that a client sees as a status which the handler chose. */
const intended = { code: codes.NOT_FOUND, details: 'no such note' }
const statusErrors: Record<string, () => unknown> = {
  GrpcError: () => new GrpcError(status.NOT_FOUND, 'no such note'),
  'an Error with a status code and details': () => Object.assign(new Error('5 NOT_FOUND'), { code: status.NOT_FOUND, details: 'no such note' }),
  'a status object': () => ({ code: status.NOT_FOUND, details: 'no such note' })
}

/** What grpc-js handlers may pass on, yet says too little when it is thrown: a process that exits with 5 has a code too. */
const codedError = (): Error => Object.assign(new Error('no such note'), { code: status.NOT_FOUND })

/** Failures whose cause is nobody's business. */
const unexpected = { code: codes.INTERNAL, details: 'Internal error' }
const faults: Record<string, () => unknown> = {
  Error: () => new Error('secret'),
  'a string': () => 'secret',
  undefined: () => undefined,
  null: () => null,
  'a system error': () => Object.assign(new Error('secret'), { code: 'ENOENT', errno: -2 }),
  'an Error with the status OK': () => Object.assign(new Error('secret'), { code: 0 }),
  'an Error with a code that is no status': () => Object.assign(new Error('secret'), { code: 404 }),
  'a DOMException': () => new DOMException('secret', 'SyntaxError'),
  'an Error with an exit code': () => Object.assign(new Error('secret'), { code: 1, cmd: 'sh' }),
  'an object without text': () => Object.create(null),
  'an Error whose code cannot be read': () => unreadable('code'),
  'an Error whose details cannot be read': () => unreadable('details', { code: status.NOT_FOUND }),
  'an Error whose message cannot be read': () => unreadable('message', { code: status.NOT_FOUND })
}

/** An error with a getter that throws. */
function unreadable (property: string, others: object = {}): Error {
  return Object.defineProperty(Object.assign(new Error('secret'), others), property, { get () { throw new Error('secret getter') } })
}

const failures = [
  ...Object.entries(statusErrors).map(([name, make]) => ({ name, make, expected: intended })),
  ...Object.entries(faults).map(([name, make]) => ({ name, make, expected: unexpected }))
]

/** Ways in which each kind of method can fail with a value. */
const waysToFail: Record<string, (fail: () => unknown) => object> = {
  'throws at once': fail => implement(Kinds, Object.fromEntries(KINDS.map(kind => [kind, () => { throw fail() }]))),
  rejects: fail => implement(Kinds, Object.fromEntries(KINDS.map(kind => [kind, async () => { throw fail() }]))),
  'throws in a generator before the first message': fail => implement(Kinds, {
    Unary: async () => { throw fail() },
    ClientStream: async () => { throw fail() },

    async * ServerStream () { throw fail() },

    * Bidi () { throw fail() }
  }),
  'throws in a grpc-js handler': fail => grpcJsService(Object.fromEntries(KINDS.map(kind => [kind, () => { throw fail() }]))),
  'rejects in an async grpc-js handler': fail => grpcJsService(Object.fromEntries(KINDS.map(kind => [kind, async () => { throw fail() }]))),
  'emits an error': fail => grpcJsService(Object.fromEntries(KINDS.map(kind => [kind, (call: EventEmitter) => { call.emit('error', fail()) }])))
}

async function outcomes (t: Test, { client, post }: Served, path: string): Promise<Array<{ code: number, details: string }>> {
  const kinds = client(Kinds)
  const overGrpc = await Promise.all(KINDS.map(kind => kinds.call(kind, [{ text: 'a' }])))
  const { json } = await post(path, { text: 'a' })
  t.notMatch(JSON.stringify(json), 'secret')
  return [...overGrpc.map(({ code, details }) => ({ code, details })), { code: json.code, details: json.detail }]
}

for (const [way, service] of Object.entries(waysToFail)) {
  t.test(`a handler that ${way} gives one status on every kind and protocol`, async t => {
    const emits = way === 'emits an error'
    for (const { name, make, expected } of [...failures, { name: 'an Error with a status code', make: codedError, expected: emits ? intended : unexpected }]) {
      if (emits && name === 'an Error with an exit code') continue
      const logger = recordingLogger()
      const served = await serve(t, { services: [service(make)], logger })
      const path = way.includes('grpc-js') || way.includes('emits') ? '/grpc/kindsservice/unary' : '/grpc/kinds/unary'
      t.same(await outcomes(t, served, path), Array.from({ length: 5 }, () => expected), name)
      const logged = logger.lines.filter(({ level }) => level === 'error')
      t.equal(logged.length, expected === unexpected ? 5 : 0, `${name} is logged once a call`)
      for (const { fields } of logged) t.match(fields, { rpc: /^\/test\.Kinds\//, requestId: /./ })
      t.ok(logged.every(({ fields }) => fields.err !== undefined), `${name} is the cause in the log`)
    }
  })
}

t.test('a grpc-js callback may bring any error', async t => {
  for (const { name, make, expected } of [...failures, { name: 'an Error with a status code', make: codedError, expected: intended }]) {
    if (name === 'an Error with an exit code') continue // as far as grpc-js goes, that is CANCELLED
    const error = make()
    if (error === undefined || error === null) continue
    const respond = (_call: unknown, callback: sendUnaryData<Note>): void => callback(error as Error)
    const { client, post } = await serve(t, { services: [grpcJsService({ Unary: respond, ClientStream: respond })] })
    t.match(await client(Kinds).call('Unary', {}), expected, name)
    t.match(await client(Kinds).call('ClientStream', [{}]), expected, name)
    t.match(await post('/grpc/kindsservice/unary', {}), { json: { code: expected.code, detail: expected.details } }, name)
  }
})

const nonMessages: Record<string, unknown> = { undefined, null: null, 'a string': 'abc', 'a number': 7, 'an array': [{ text: 'a' }], 'a function': () => {} }

t.test('what is no message is INTERNAL on both protocols, and the log says what it was', async t => {
  for (const [name, value] of Object.entries(nonMessages)) {
    for (const service of [
      implement(Kinds, Object.fromEntries(KINDS.map(kind => [kind, kind.endsWith('Stream') && kind !== 'ClientStream' ? function * () { yield value } : () => value]))),
      grpcJsService({ Unary: (_call: unknown, callback: Callback) => callback(null, value as Note), ServerStream: (call: Writing) => { call.write(value as Note); call.end() } })
    ]) {
      const logger = recordingLogger()
      const { client, gateway, post } = await serve(t, { services: [service], logger })
      t.match(await client(Kinds).call('Unary', {}), unexpected, name)
      const { code } = await client(Kinds).call('ServerStream', {})
      t.equal(code, codes.INTERNAL, `${name} in a stream`)
      t.match(await post(gateway.routes()[0]!.url, {}), { status: 500, json: { detail: 'Internal error' } }, name)
      t.match(String(logger.lines.find(({ level }) => level === 'error')?.fields.err), /test\.Kinds\.Unary returned .* where an object for test\.Note was expected/)
    }
  }
})

t.test('a message that does not fit its type is INTERNAL on both protocols, and logged once', async t => {
  const logger = recordingLogger()
  const { client, post } = await serve(t, { services: [implement(Kinds, { Unary: () => ({ notes: 'none' as never }) })], logger })
  t.match(await client(Kinds).call('Unary', {}), { code: codes.INTERNAL, details: 'Error serializing response' })
  t.match(await post('/grpc/kinds/unary', {}), { status: 500, json: { code: 13, detail: 'The response test.Note is wrong at notes: expected a list, got "none"' } })
  const logged = logger.lines.filter(({ level }) => level === 'error')
  t.equal(logged.length, 2)
  for (const { fields } of logged) t.match(fields, { rpc: '/test.Kinds/Unary', err: { message: /notes/ } })
})

t.test('messages before a failure arrive, then its status', async t => {
  const failing: Record<string, object> = {
    'a generator': implement(Kinds, {
      async * ServerStream () {
        yield { text: 'a' }
        throw new GrpcError(status.DATA_LOSS, 'lost')
      }
    }),
    'emit after write': grpcJsService({
      ServerStream (call: Writing) {
        call.write({ text: 'a' })
        call.emit('error', { code: status.DATA_LOSS, details: 'lost' })
      }
    }),
    'destroy after write': grpcJsService({
      ServerStream (call: Writing) {
        call.write({ text: 'a' }, () => call.destroy(Object.assign(new Error('lost'), { code: status.DATA_LOSS })))
      }
    })
  }
  for (const [name, service] of Object.entries(failing)) {
    const { client } = await serve(t, { services: [service] })
    t.match(await client(Kinds).call('ServerStream', {}), { messages: [{ text: 'a' }], code: codes.DATA_LOSS, details: 'lost' }, name)
  }
})

t.test('a response stream that is no iterable is INTERNAL', async t => {
  const logger = recordingLogger()
  const { client } = await serve(t, { services: [implement(Kinds, { ServerStream: () => ({ text: 'a' }) as never })], logger })
  t.match(await client(Kinds).call('ServerStream', {}), unexpected)
  t.match(String(logger.lines.find(({ level }) => level === 'error')?.fields.err), /test\.Kinds\.ServerStream must return an iterable/)
})

t.test('iterables of every sort are response streams', async t => {
  const sorts: Record<string, () => unknown> = {
    'an array': () => [{ text: 'a' }, { text: 'b' }],
    'a promise of an array': async () => [{ text: 'a' }, { text: 'b' }],
    'a set': () => new Set([{ text: 'a' }, { text: 'b' }]),
    'a generator': function * () { yield { text: 'a' }; yield { text: 'b' } },
    'an async generator': async function * () { yield { text: 'a' }; yield { text: 'b' } },
    'an object with an async iterator': () => ({ [Symbol.asyncIterator]: async function * () { yield { text: 'a' }; yield { text: 'b' } } })
  }
  for (const [name, ServerStream] of Object.entries(sorts)) {
    const { client } = await serve(t, { services: [implement(Kinds, { ServerStream: ServerStream as never })] })
    t.match(await client(Kinds).call('ServerStream', {}), { code: codes.OK, messages: [{ text: 'a' }, { text: 'b' }] }, name)
  }
})

t.test('a second answer, and whatever comes after the first, has no effect', async t => {
  const service = grpcJsService({
    Unary (_call: Unary, callback: Callback) {
      callback(null, { text: 'first' })
      callback(null, { text: 'second' })
      callback({ code: status.ABORTED })
      throw new Error('late')
    }
  })
  const logger = recordingLogger()
  const { client, post } = await serve(t, { services: [service], logger })
  t.match(await client(Kinds).call('Unary', {}), { code: codes.OK, messages: [{ text: 'first' }] })
  t.match(await post('/grpc/kindsservice/unary', {}), { status: 200, json: { text: 'first' } })
  t.match(logger.lines.filter(({ level }) => level === 'warn' && /after its call was over/.test(level)), [])
})

t.test('a handler that ends early leaves the rest of the requests unread', async t => {
  const { client } = await serve(t, {
    services: [implement(Kinds, {
      ClientStream: async notes => {
        const first = await notes[Symbol.asyncIterator]().next()
        return { text: first.value.text }
      }
    })]
  })
  t.match(await client(Kinds).call('ClientStream', [{ text: 'a' }, { text: 'b' }, { text: 'c' }]), { code: codes.OK, messages: [{ text: 'a' }] })
})

t.test('a client that goes away closes generators and rejects pending reads, and is not taken for the end of its requests', async t => {
  const events: string[] = []
  const { client, gateway } = await serve(t, {
    services: [implement(Kinds, {
      async * ServerStream (_request, { signal }) {
        try {
          for (;;) yield { text: 'x'.repeat(1000) }
        } finally {
          events.push(`server stream closed, aborted: ${signal.aborted}`)
        }
      },
      async ClientStream (notes) {
        try {
          for await (const note of notes) events.push(`got ${note.text}`)
        } catch (error) {
          events.push(`client stream: ${(error as GrpcError).code}`)
          throw error
        }
        return {}
      }
    })]
  })
  const raw = client(Kinds).raw as unknown as {
    ServerStream (request: object): { cancel (): void, on (event: string, listener: () => void): void, once (event: string, listener: () => void): void }
  }
  const reading = raw.ServerStream({})
  reading.on('error', () => {})
  reading.once('data', () => reading.cancel())
  await until(() => events.some(event => event.startsWith('server stream')), 'the generator to close')
  t.ok(events.includes('server stream closed, aborted: true'))

  const { session, request } = rawCall(t, gateway.address, 'ClientStream')
  request.write(frame(Kinds.ClientStream.requestSerialize({ text: 'a', n: '0', notes: [] })))
  await until(() => events.includes('got a'), 'the message')
  session.destroy()
  await until(() => events.includes(`client stream: ${codes.CANCELLED}`), 'the rejection')
})

/** A call by bare HTTP/2, for what no gRPC client does. */
function rawCall (t: Test, address: string, method: Kind): { session: ClientHttp2Session, request: ClientHttp2Stream } {
  const session = connect(`http://${address}`)
  t.teardown(() => session.destroy())
  const request = session.request({ ':method': 'POST', ':path': `/test.Kinds/${method}`, 'content-type': 'application/grpc', te: 'trailers' })
  request.on('error', () => {})
  return { session, request }
}

/** A message with gRPC's prefix: not compressed, and its length. */
function frame (message: Buffer): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

t.test('a slow reader stops a fast generator', async t => {
  let yielded = 0
  const { gateway } = await serve(t, {
    services: [implement(Kinds, {
      async * ServerStream () {
        for (; yielded < 10_000; yielded++) yield { text: 'x'.repeat(10_000) }
      }
    })]
  })
  rawCall(t, gateway.address, 'ServerStream').request.end(frame(Buffer.alloc(0))) // the response is never read
  let before = -1
  await until(() => {
    const still = before === yielded && yielded > 0
    before = yielded
    return still
  }, 'the generator to pause')
  t.ok(yielded < 1000, `stopped after ${yielded} of 10,000 messages of 10 kB`)
})

t.test('grpc-js call objects have what grpc-js documents', async t => {
  const seen: Record<string, unknown> = {}
  const { client, post, url } = await serve(t, {
    services: [grpcJsService({
      Unary (call: Unary, callback: Callback) {
        seen[contextOf(call).protocol] = {
          path: call.getPath(), host: call.getHost(), peer: call.getPeer(), deadline: call.getDeadline(), auth: call.getAuthContext(), cancelled: call.cancelled, client: call.metadata.get('client')
        }
        call.getMetricsRecorder().recordQpsMetric(1)
        const metadata = new Metadata()
        metadata.set('greeting', 'hi')
        call.sendMetadata(metadata)
        call.on('cancelled', () => { seen[`${contextOf(call).protocol} ended`] = call.cancelled })
        const trailers = new Metadata()
        trailers.set('bye', 'now')
        callback(null, {}, trailers)
      }
    })]
  })
  const metadata = new Metadata()
  metadata.set('client', 'test')
  const outcome = await client(Kinds).call('Unary', {}, { metadata })
  t.same([outcome.metadata.get('greeting'), outcome.trailers.get('bye')], [['hi'], ['now']])
  const reply = await post('/grpc/kindsservice/unary', {}, { client: 'test' })
  t.same([reply.headers.get('greeting'), reply.headers.get('grpc-trailer-bye')], ['hi', 'now'])
  const common = { path: '/test.Kinds/Unary', peer: /^127\.0\.0\.1:\d+$/, deadline: Infinity, auth: {}, cancelled: false, client: ['test'] }
  await until(() => seen['grpc ended'] === true && seen['http ended'] === true, "both calls' end")
  t.match(seen.grpc, { ...common, host: /^127\.0\.0\.1:\d+$/ })
  t.match(seen.http, { ...common, host: new URL(url).host })
})

t.test('contextOf refuses what is no call', async t => {
  t.throws(() => contextOf({}), /contextOf takes the call object/)
})

t.test('a class may register several services, in both styles', async t => {
  const { Greeter } = await import('./serving.ts')
  class Everything {
    SayHello ({ name }: { name: string }, context: CallContext): { message: string } {
      return { message: `${name} by ${context.method.name}` }
    }

    static addToServer (instance: Everything, server: ServiceRegistrar): void {
      server.implement(Greeter, instance)
      server.addService(Kinds, { unary: (call: Unary, callback: Callback) => callback(null, call.request) })
    }
  }
  const { post } = await serve(t, { services: [Everything] })
  t.equal((await post('/grpc/everything/sayhello', { name: 'a' })).json.message, 'a by SayHello')
  t.equal((await post('/grpc/everything/unary', { text: 'b' })).json.text, 'b')
})

t.test('a grpc-js handler may pass null for trailers, and nothing for metadata', async t => {
  const { client, post } = await serve(t, {
    services: [grpcJsService({
      Unary (call: Unary, callback: Callback) {
        call.sendMetadata(undefined as never)
        if (call.request.text === 'error') callback({ code: status.NOT_FOUND, details: 'gone' }, null, null as never)
        else callback(null, call.request, null as never)
      },
      ServerStream (call: Writing) {
        call.write(call.request)
        call.end(null as never)
      }
    })]
  })
  const kinds = client(Kinds)
  t.match(await kinds.call('Unary', { text: 'a' }), { code: codes.OK, messages: [{ text: 'a' }] })
  t.match(await kinds.call('Unary', { text: 'error' }), { code: codes.NOT_FOUND, details: 'gone' })
  t.match(await kinds.call('ServerStream', { text: 'a' }), { code: codes.OK, messages: [{ text: 'a' }] })
  t.match(await post('/grpc/kindsservice/unary', { text: 'a' }), { status: 200, json: { text: 'a' } })
  t.match(await post('/grpc/kindsservice/unary', { text: 'error' }), { status: 404, json: { detail: 'gone' } })
})

t.test('what a grpc-js handler has written arrives before its failure, however it fails', async t => {
  const write = (call: Writing): void => { for (const text of ['a', 'b', 'c']) call.write({ text }) }
  const failing: Record<string, (call: Writing) => unknown> = {
    throws (call) { write(call); throw new GrpcError(status.ABORTED, 'enough') },
    async rejects (call) { write(call); throw new GrpcError(status.ABORTED, 'enough') },
    emits (call) { write(call); call.emit('error', new GrpcError(status.ABORTED, 'enough')) }
  }
  for (const [name, ServerStream] of Object.entries(failing)) {
    const { client } = await serve(t, { services: [grpcJsService({ ServerStream })] })
    t.match(await client(Kinds).call('ServerStream', {}), { code: codes.ABORTED, details: 'enough', messages: [{ text: 'a' }, { text: 'b' }, { text: 'c' }] }, name)
  }
})

t.test('a stream may be an iterable of promises', async t => {
  const { client } = await serve(t, { services: [implement(Kinds, { ServerStream: () => [Promise.resolve({ text: 'a' }), { text: 'b' }] as never })] })
  t.match(await client(Kinds).call('ServerStream', {}), { code: codes.OK, messages: [{ text: 'a' }, { text: 'b' }] })
})

/** A call of a method of `KindsService` over gRPC, then over HTTP. */
async function overBoth ({ client, url }: Served, kind: Kind, ...notes: Array<Partial<Note>>): Promise<Array<[protocol: string, outcome: Outcome]>> {
  return [
    ['gRPC', await client(Kinds).call(kind, notes)],
    ['HTTP', await callOverHttp(`${url}/grpc/kindsservice/${kind.toLowerCase()}`, Kinds[kind], Kinds[kind].requestStream ? notes : notes[0]!)]
  ]
}

t.test('an error that cannot be read is exposed no more than others', async t => {
  for (const expose of ['message', 'stack'] as const) {
    const served = await serve(t, { services: [grpcJsService({ Unary () { throw unreadable(expose) } })], errors: { expose }, logger: recordingLogger() })
    for (const [protocol, outcome] of await overBoth(served, 'Unary', {})) t.match(outcome, unexpected, `${expose} over ${protocol}`)
  }
})

t.test('a grpc-js handler whose listener throws fails its call', async t => {
  const onData = (call: Reading | Duplex): void => { call.on('data', () => { throw new Error('in a listener') }) }
  const logger = recordingLogger()
  const served = await serve(t, { services: [grpcJsService({ ClientStream: onData, Bidi: onData })], logger })
  for (const kind of ['ClientStream', 'Bidi'] as const) {
    for (const notes of [[{ text: 'a' }], [{ text: 'a' }, { text: 'b' }, { text: 'c' }]]) {
      logger.lines.length = 0
      for (const [protocol, outcome] of await overBoth(served, kind, ...notes)) t.match(outcome, unexpected, `${kind} of ${notes.length} messages over ${protocol}`)
      t.match(logger.lines.filter(({ level }) => level === 'error').map(({ fields }) => fields.err), [{ message: 'in a listener' }, { message: 'in a listener' }], 'it is logged once a call')
    }
  }
})

t.test('trailers of a grpc-js callback that are no Metadata are left out', async t => {
  const wrong = { not: 'Metadata' } as unknown as Metadata
  const served = await serve(t, {
    services: [grpcJsService({
      Unary: (_call: Unary, callback: Callback) => callback(null, { text: 'a' }, wrong),
      ClientStream (call: Reading, callback: Callback) {
        call.resume().on('end', () => callback(null, { text: 'a' }, wrong))
      }
    })]
  })
  for (const kind of ['Unary', 'ClientStream'] as const) {
    for (const [protocol, outcome] of await overBoth(served, kind, {})) t.match(outcome, { code: codes.OK, messages: [{ text: 'a' }] }, `${kind} over ${protocol}`)
  }
})

t.test('a grpc-js handler that destroys its call without an error fails it', async t => {
  const ways: Record<string, (call: Writing | Duplex) => unknown> = {
    'at once': call => call.destroy(),
    later: call => setImmediate(() => call.destroy()),
    'after a message': call => call.write({ text: 'a' }, () => call.destroy()),
    'with a message on its way': call => { call.write({ text: 'a' }); call.destroy() }
  }
  for (const [name, destroy] of Object.entries(ways)) {
    const served = await serve(t, { services: [grpcJsService({ ServerStream: destroy, Bidi: destroy })], logger: recordingLogger() })
    for (const kind of ['ServerStream', 'Bidi'] as const) {
      for (const [protocol, outcome] of await overBoth(served, kind, {})) t.match(outcome, unexpected, `${name}: ${kind} over ${protocol}`)
    }
  }
})

t.test('a call that an interceptor holds back beyond a shutdown does not reach its handler', async t => {
  const held: Array<() => void> = []
  const called: string[] = []
  const hold: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, {
    start: next => next(new ServerListenerBuilder().withOnReceiveMetadata((metadata, forward) => { held.push(() => forward(metadata)) }).build())
  })
  const { gateway, url } = await serve(t, {
    services: [grpcJsService(Object.fromEntries(KINDS.map(kind => [kind, () => { called.push(kind) }])))],
    interceptors: [hold],
    logger: recordingLogger()
  })
  const outcomes = KINDS.map(kind => callOverHttp(`${url}/grpc/kindsservice/${kind.toLowerCase()}`, Kinds[kind], Kinds[kind].requestStream ? [{}] : {}))
  await until(() => held.length === KINDS.length, 'the calls')
  await gateway.shutdown({ graceMs: 50 })
  for (const goOn of held) goOn()
  for (const [i, outcome] of (await Promise.all(outcomes)).entries()) t.match(outcome, { code: codes.UNAVAILABLE, details: 'The server is shutting down' }, KINDS[i]!)
  t.same(called, [])
})
