/** Response streams over HTTP: the forms in which messages arrive, what ends them, and who waits for whom. */
import { once } from 'node:events'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { connect as http2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { createGzip, gunzipSync } from 'node:zlib'
import { Metadata, type ServerDuplexStream, type ServerWritableStream } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { contextOf, GrpcError, implement, status, type ServiceRegistrar } from '../src/index.ts'
import { Kinds, sleep, until, type CallContext, type Kind, type Note, type Served } from './serving.ts'
import { checkStream, collect, everywhere, forms, http2Post, numbered, protocols, PROTOCOLS, serveStreams, texts, whole, type Asked, type Expected, type Form, type Source, type Whole } from './stream-client.ts'

type Writing = ServerWritableStream<Note, Partial<Note>>
type Duplex = ServerDuplexStream<Note, Partial<Note>>

/** A service of grpc-js handlers. */
function grpcJs (handlers: object): Source {
  return class {
    static addToServer (_instance: object, server: ServiceRegistrar): void {
      server.addService(Kinds, handlers)
    }
  }
}

const RPC = '/grpc/test.Kinds/ServerStream'

/** The first `n` messages, then an error when there is a `text`; or an echo, until a text is `fail`. */
const styles: Record<string, Source> = {
  'implement()': implement(Kinds, {
    async * ServerStream ({ n, text }) {
      for (let i = 0; i < Number(n); i++) yield { text: `m${i}` }
      if (text !== '') throw new GrpcError(status.DATA_LOSS, text)
    },
    async * Bidi (notes) {
      for await (const { text } of notes) {
        if (text === 'fail') throw new GrpcError(status.DATA_LOSS, 'lost')
        yield { text }
      }
    }
  }),
  'addService()': grpcJs({
    ServerStream (call: Writing) {
      const { n, text } = call.request
      let i = 0
      const goOn = (): unknown => {
        while (i < Number(n)) if (!call.write({ text: `m${i++}` })) return call.once('drain', goOn)
        return text === '' ? call.end() : call.emit('error', { code: status.DATA_LOSS, details: text })
      }
      goOn()
    },
    Bidi (call: Duplex) {
      call.on('data', ({ text }: Note) => {
        if (text === 'fail') return call.emit('error', { code: status.DATA_LOSS, details: 'lost' })
        if (call.write({ text })) return
        call.pause()
        call.once('drain', () => call.resume())
      })
      call.on('end', () => call.end())
    }
  })
}

/** What asks for `count` messages, and for an error after them. */
const wanting: Partial<Record<Kind, (count: number, failing: boolean) => object | string>> = {
  ServerStream: (count, failing) => ({ n: String(count), text: failing ? 'lost' : '' }),
  Bidi: (count, failing) => [...numbered(count), ...failing ? ['fail'] : []].map(text => `${JSON.stringify({ text })}\n`).join('')
}

for (const [style, service] of Object.entries(styles)) {
  for (const { name, form, protocol } of everywhere) {
    if (style !== 'implement()' && form.envelope === true) continue
    t.test(`${style}: ${name} has 10,000 messages in order, and tells of an error after any of them`, async t => {
      const { get } = await serveStreams(t, service, { form, protocol })
      for (const [rpc, body] of Object.entries(wanting) as Array<[Kind, NonNullable<typeof wanting.Bidi>]>) {
        checkStream(t, form, await get({ rpc, body: body(10_000, false) }), numbered(10_000))
        checkStream(t, form, await get({ rpc, body: body(0, false) }), [])
        for (const count of [1, 5000]) {
          checkStream(t, form, await get({ rpc, body: body(count, true) }), numbered(count), { status: 500, title: 'DATA_LOSS', detail: 'lost', code: 15 })
        }
        const early = await get({ rpc, body: body(0, true) })
        t.match([early.status, early.headers['content-type'], early.isCut], [500, 'application/problem+json', false])
        t.match(JSON.parse(early.text), { status: 500, title: 'DATA_LOSS', detail: 'lost', code: 15 })
      }
    })
  }
}

t.test('a client that reads slowly at first loses nothing', async t => {
  const service = implement(Kinds, {
    async * ServerStream () {
      for (const text of numbered(3000)) yield { text, notes: [{ text: 'x'.repeat(500) } as Note] }
    }
  })
  await Promise.all(everywhere.map(async ({ form, protocol }) => {
    const { ask } = await serveStreams(t, service, { form, protocol })
    const answer = await ask({ body: {} }).answer
    let text = ''
    let messages = 0
    for await (const chunk of answer.body.setEncoding('utf8')) {
      for (const char of messages < 20 ? chunk : '') if (char === '}' && ++messages <= 20) await sleep(50)
      text += chunk
    }
    checkStream(t, form, { ...answer, text, isCut: false }, numbered(3000))
  }))
})

const never = async (signal: AbortSignal): Promise<never> => await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

/** Streams as many messages as asked for, then waits for the end of the call; and what became of its calls. */
function lasting (style: string): { service: Source, events: string[], produced: () => number } {
  const events: string[] = []
  let produced = 0
  const size = (text: string): string => text === 'large' ? 'x'.repeat(10_000) : ''
  async function * stream ({ n, text }: Note, { signal }: CallContext): AsyncGenerator<any> {
    signal.addEventListener('abort', () => events.push(`aborted: ${signal.reason.code}`))
    try {
      for (let i = 0; i < Number(n); i++) {
        produced++
        yield { text: `m${i}`, notes: [{ text: size(text) }] }
      }
      events.push('waiting')
      await never(signal)
    } finally {
      events.push('closed')
    }
  }
  function write (call: Writing | Duplex, { n, text }: Note): void {
    const { signal } = contextOf(call)
    signal.addEventListener('abort', () => events.push(`aborted: ${signal.reason.code}`))
    call.on('cancelled', () => events.push('closed'))
    let i = 0
    const goOn = (): unknown => {
      while (i < Number(n)) {
        produced++
        if (call.write({ text: `m${i++}`, notes: [{ text: size(text), n: '0', notes: [] }] })) continue
        if (!events.includes('write() was false')) events.push('write() was false')
        return call.once('drain', () => {
          if (!events.includes('drain')) events.push('drain')
          goOn()
        })
      }
      return events.push('waiting')
    }
    goOn()
  }
  const service = style === 'implement()'
    ? implement(Kinds, {
      ServerStream: stream,
      async * Bidi (notes, context) {
        for await (const note of notes) yield * stream(note, context)
      }
    })
    : grpcJs({
      ServerStream: (call: Writing) => write(call, call.request),
      Bidi: (call: Duplex) => call.on('data', (note: Note) => write(call, note))
    })
  return { service, events, produced: () => produced }
}

const ENDLESS = '1000000000'

/** The count at which it stays. */
async function pause (count: () => number): Promise<number> {
  let before = -1
  let polls = 0
  await until(() => {
    polls = count() === before ? polls + 1 : 0
    before = count()
    return before > 0 && polls === 30
  }, 'the handler to wait')
  return before
}

interface Leaving { n: string, text?: string, stage (asked: Asked, of: ReturnType<typeof lasting>): Promise<unknown> }

const leavings: Record<string, Leaving> = {
  'before the first message': { n: '0', stage: async (_asked, { events }) => await until(() => events.includes('waiting'), 'the handler') },
  'after the first message': { n: '1', stage: async ({ answer }) => await once((await answer).body, 'data') },
  'at message 100': {
    n: ENDLESS,
    async stage ({ answer }) {
      const received = await answer
      const collected = collect(received)
      await until(() => collected.text.includes('m100'), 'message 100')
      received.body.pause()
    }
  },
  'while the handler waits for it to read': { n: ENDLESS, text: 'large', stage: async ({ answer }, { produced }) => await answer.then(async () => await pause(produced)) }
}

for (const style of Object.keys(styles)) {
  t.test(`${style}: a client that goes away ends the handler, whatever it does`, async t => {
    const cases = PROTOCOLS.flatMap(protocol => (['ServerStream', 'Bidi'] as const).flatMap(rpc => Object.entries(leavings).map(([when, leaving]) => ({ protocol, rpc, when, ...leaving }))))
    await Promise.all(cases.map(async ({ protocol, rpc, when, stage, ...note }) => {
      const handler = lasting(style)
      const { events } = handler
      const { ask, lines } = await serveStreams(t, handler.service, { protocol })
      const asked = ask({ rpc, body: rpc === 'Bidi' ? `${JSON.stringify(note)}\n` : note, open: rpc === 'Bidi' })
      await stage(asked, handler)
      t.notOk(events.includes('closed'))
      asked.leave()
      const name = `${rpc} over ${protocol} ${when}`
      await until(() => events.includes('closed') && events.some(event => event.startsWith('aborted')), `the end of ${name}`)
      t.ok(events.includes(`aborted: ${status.CANCELLED}`), name)
      t.same(lines.filter(({ level, message }) => /warn|error/.test(level) && !/does not implement/.test(message)), [], `nothing to log: ${name}`)
    }))
  })

  t.test(`${style}: who does not read stops the handler, and who reads again gets everything`, async t => {
    for (const { name, form, protocol } of everywhere) {
      if (form.envelope === true || name.startsWith('jsonl')) continue
      const { service, events, produced } = lasting(style)
      const { ask } = await serveStreams(t, service, { form, protocol })
      const asked = ask({ body: { n: ENDLESS, text: 'large' } })
      const answer = await asked.answer
      const paused = await pause(produced)
      t.ok(paused < 2000, `${name}: waits after ${paused} messages of 10 kB`)
      const collected = collect(answer)
      await until(() => produced() > 2 * paused, 'it to go on')
      asked.leave()
      const received = [...collected.text.matchAll(/"m(\d+)"/g)].map(([, n]) => Number(n))
      t.ok(received.length > 10 && received.every((n, i) => n === i), 'in order')
      if (style === 'addService()') t.ok(events.includes('write() was false') && events.includes('drain'))
    }
  })
}

const endless: Record<string, () => unknown> = {
  'a generator': function * () { for (;;) yield { text: 'x' } },
  'an async generator': async function * () { for (;;) yield { text: 'x' } }
}

for (const [what, ServerStream] of Object.entries(endless)) {
  t.test(`${what} without end leaves others their turn, and ends at its deadline`, async t => {
    const service = implement(Kinds, { ServerStream: ServerStream as never, Unary: note => note })
    for (const { name, form, protocol } of what === 'a generator' ? everywhere : everywhere.slice(0, 2)) {
      const { ask, get } = await serveStreams(t, service, { form, protocol })
      const asked = ask({ body: {} })
      let bytes = 0
      const { body } = await asked.answer
      body.on('data', chunk => { bytes += chunk.length })
      await until(() => bytes > 100_000, 'messages')
      t.equal((await get({ rpc: 'Unary', body: { text: 'a' }, headers: { accept: '*/*' } })).text, '{"text":"a"}', name)
      const before = bytes
      await until(() => bytes > before, 'more messages')
      asked.leave()
      const late = await get({ body: {}, headers: form.envelope === true ? { 'x-request-timeout-seconds': '0.1' } : { 'grpc-timeout': '100m' } })
      const count = late.text.split('"x"').length - 1
      t.ok(count > 100)
      checkStream(t, form, late, Array(count).fill('x'), { status: 504, title: 'DEADLINE_EXCEEDED', detail: /^Deadline exceeded/, code: 4 })
    }
  })
}

/** A connection that asks for streams by bare HTTP/1, for what no client does. */
function rawConnection (t: Test, url: string): { socket: Socket, ask (form: Form, body: object, options?: { version?: string, headers?: string }): void } {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  return {
    socket,
    ask ({ accept }, message, { version = '1.1', headers = '' } = {}) {
      const body = JSON.stringify(message)
      socket.write(`POST ${RPC} HTTP/${version}\r\nhost: a\r\naccept: ${accept}\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`)
    }
  }
}

t.test('messages of one tick go out in few writes', async t => {
  const services: Record<string, Source> = {
    'a generator': implement(Kinds, { ServerStream: (function * () { for (const text of numbered(100)) yield { text } }) as never }),
    'an async generator': implement(Kinds, { async * ServerStream () { for (const text of numbered(100)) yield { text } } }),
    'a grpc-js handler': grpcJs({
      ServerStream (call: Writing) {
        for (const text of numbered(100)) call.write({ text })
        call.end()
      }
    })
  }
  for (const [name, service] of Object.entries(services)) {
    for (const form of Object.values(forms)) {
      const { url } = await serveStreams(t, service, { form })
      const { socket, ask } = rawConnection(t, url)
      ask(form, {}, { headers: 'connection: close\r\n' })
      const { text: raw } = await whole({ body: socket })
      let text = ''
      let chunks = 0
      for (let at = raw.indexOf('\r\n\r\n') + 4, size = -1; size !== 0; chunks++) {
        size = parseInt(raw.slice(at), 16)
        at = raw.indexOf('\r\n', at) + 2
        text += raw.slice(at, at += size)
        at += 2
      }
      t.equal(texts(form.parse(text)).join(), numbered(100).join())
      t.ok(chunks < 10, `${name}: 100 messages in ${chunks - 1} chunks`)
    }
  }
})

/** A promise, and what resolves it. */
function gate (): { opened: Promise<void>, open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open }
}

t.test('headers go out before the first message when the handler sends them, and each message before the next', async t => {
  for (const { name, form, protocol } of everywhere) {
    const [first, second] = [gate(), gate()]
    const { ask, get } = await serveStreams(t, implement(Kinds, {
      async * ServerStream ({ text }, context) {
        const metadata = new Metadata()
        metadata.set('early', 'yes')
        context.sendHeaders(metadata)
        if (text === 'fail') throw new GrpcError(status.ABORTED, 'no')
        await first.opened
        yield { text: 'm0' }
        await second.opened
        yield { text: 'm1' }
      }
    }), { form, protocol })
    const answer = await ask({ body: {}, headers: { 'x-request-id': 'abc' } }).answer
    t.match([answer.headers.early, answer.headers['x-request-id']], ['yes', 'abc'], name)
    const collected = collect(answer)
    first.open()
    await until(() => collected.text.includes('m0'), 'the first message')
    t.notOk(collected.text.includes('m1'))
    second.open()
    await collected.closed
    checkStream(t, form, { ...answer, text: collected.text, isCut: !collected.ended }, ['m0', 'm1'])
    checkStream(t, form, await get({ body: { text: 'fail' } }), [], { status: 409, title: 'ABORTED', detail: 'no', code: 10 })
  }
})

t.test('who asks for trailers gets the status and the trailing metadata in them', async t => {
  const service = implement(Kinds, {
    async * ServerStream ({ text }, context) {
      context.trailers.set('counted', '1')
      yield { text: 'm0' }
      if (text !== '') throw new GrpcError(status.NOT_FOUND, text, { errorDetails: [{ '@type': 'google.rpc.ErrorInfo', reason: 'GONE' }] })
    }
  })
  for (const { name, form, protocol } of everywhere) {
    const { get } = await serveStreams(t, service, { form, protocol })
    const headers = { te: 'trailers' }
    const ok = await get({ body: {}, headers })
    checkStream(t, form, ok, ['m0'])
    t.match(ok.headers['x-request-id'], /^[0-9a-f-]{36}$/)
    t.same({ ...ok.trailers() }, { 'grpc-status': '0', 'grpc-trailer-counted': '1' }, name)
    const failed = await get({ body: { text: 'Größe 100%\n💥' }, headers })
    checkStream(t, form, failed, ['m0'], { status: 404, title: 'NOT_FOUND', detail: 'Größe 100%\n💥', code: 5 }, false)
    const { 'grpc-status-details-bin': details, ...trailers } = failed.trailers()
    t.same(trailers, { 'grpc-status': '5', 'grpc-message': 'Gr%C3%B6%C3%9Fe 100%25%0A%F0%9F%92%A5', 'grpc-trailer-counted': '1' }, name)
    t.match(Buffer.from(details as string, 'base64').toString(), /Größe 100%\n💥.*google\.rpc\.ErrorInfo.*GONE/s)
    t.same({ ...(await get({ body: {} })).trailers() }, {}, 'nobody else gets any')
  }
})

t.test('trailing metadata cannot break a response, or give it another status, whatever its headers are called', async t => {
  const service = implement(Kinds, {
    async * ServerStream ({ text }, { trailers }) {
      for (const key of ['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'trailer', 'upgrade']) trailers.set(key, '7')
      for (const key of ['grpc-status', 'kept']) trailers.set(key, '7')
      yield { text: 'm0' }
      if (text !== '') throw new GrpcError(status.NOT_FOUND, text)
    }
  })
  for (const { name, form, protocol } of everywhere) {
    const { get } = await serveStreams(t, service, { form, protocol, headers: { outgoing: key => key } })
    const ok = await get({ body: {}, headers: { te: 'trailers' } })
    checkStream(t, form, ok, ['m0'])
    t.same({ ...ok.trailers() }, { 'grpc-status': '0', kept: '7' }, name)
    const failed = await get({ body: { text: 'no' }, headers: { te: 'trailers' } })
    checkStream(t, form, failed, ['m0'], { code: 5, title: 'NOT_FOUND' }, false)
    t.same({ ...failed.trailers() }, { 'grpc-status': '5', 'grpc-message': 'no', kept: '7' }, name)
  }
})

t.test('Accept chooses the form', async t => {
  const { get, ask } = await serveStreams(t, styles['implement()']!, { httpMethods: ['GET'] })
  const ndjson = 'application/x-ndjson'
  const array = 'application/json; charset=utf-8'
  const events = 'text/event-stream; charset=utf-8'
  const chosen: Record<string, string> = {
    '*/*': ndjson,
    'application/*': ndjson,
    'application/json, text/plain, */*': array,
    'text/event-stream;q=0.5, application/json;q=0.9': array,
    'application/json;q=0.5, text/event-stream': events,
    'application/x-ndjson;q=0, */*': 'application/jsonl',
    'text/html, text/*;q=0.1': events,
    'Application/JSONL': 'application/jsonl',
    'application/json;charset=utf-8': array,
    '': ndjson,
    'application/ndjson': 'application/ndjson',
    'application/x-jsonlines': 'application/x-jsonlines',
    'application/x-jsonl': 'application/x-jsonl',
    [`${'text/plain,'.repeat(400)} application/json;q=0.1`]: array
  }
  t.equal((await get({ body: { n: '1' } })).headers['content-type'], ndjson, 'the default')
  for (const [accept, contentType] of Object.entries(chosen)) {
    t.equal((await get({ body: { n: '1' }, headers: { accept } })).headers['content-type'], contentType, accept)
  }
  for (const accept of ['text/html', 'application/json;q=0', 'application/xml, image/*', 'text/plain,'.repeat(400)]) {
    const { status: http, text } = await get({ body: { n: '1' }, headers: { accept } })
    t.match([http, JSON.parse(text)], [406, { status: 406, detail: /application\/x-ndjson, application\/jsonl, application\/ndjson, .*application\/json, text\/event-stream/ }], accept)
  }
  checkStream(t, forms.NDJSON!, await get({ method: 'GET', query: '?n=3' }), numbered(3))
  const head = await ask({ method: 'HEAD', query: '?n=3' }).answer
  head.body.resume()
  t.match([head.status, head.headers.allow], [405, 'GET, OPTIONS, POST'], 'HEAD begins no stream')
})

t.test('Vary names Accept, beside what hooks have set', async t => {
  for (const { name, form, protocol } of everywhere) {
    for (const [set, vary] of [[undefined, 'accept'], ['origin', 'origin, accept']] as const) {
      const app = protocols[protocol]()
      app.addHook('onRequest', async (_request, reply) => { if (set !== undefined) reply.header('vary', set) })
      const { get } = await serveStreams(t, styles['implement()']!, { form, protocol, app })
      t.equal((await get({ body: { n: '1' } })).headers.vary, vary, name)
    }
  }
})

t.test('server-sent events have ids that count on, and comments while the handler is quiet', async t => {
  const { opened, open } = gate()
  const seen: unknown[] = []
  const tricky = 'a\nb\r\nc\rd\u2028e\u2029: data: x\n\n'
  const form = forms['server-sent events']!
  const { ask, get } = await serveStreams(t, implement(Kinds, {
    async * ServerStream ({ text }, context) {
      seen.push(context.metadata.get('last-event-id'))
      context.trailers.set('a', '1')
      yield { text: tricky }
      if (text === 'wait') await opened
      yield { text: 'm1' }
      if (text === 'fail') throw new GrpcError(status.ABORTED, 'a\nb')
    }
  }), { form, streams: { heartbeatMs: 20 }, httpMethods: ['GET'] })

  const waiting = await ask({ method: 'GET', query: '?text=wait', headers: { 'last-event-id': '41' } }).answer
  const collected = collect(waiting)
  await until(() => collected.text.split('\n\n:\n').length > 3, 'three comments')
  open()
  await collected.closed
  t.match(form.parse(collected.text), { ids: [42, 43], messages: [{ text: tricky }, { text: 'm1' }], end: { code: 0, status: 'OK', trailers: { 'grpc-trailer-a': ['1'] } } })

  const failed = await get({ method: 'GET', query: '?text=fail' })
  t.match(failed.text, /^id: 1\ndata: [^\n]*\n\nid: 2\ndata: \{"text":"m1"\}\n\nevent: error\ndata: [^\n]*\n\nevent: end\ndata: [^\n]*\n\n$/)
  t.match(form.parse(failed.text), { error: { code: 10, detail: 'a\nb' }, end: { code: 10, status: 'ABORTED', trailers: { 'grpc-trailer-a': ['1'] } } })
  for (const id of ['', 'x7', '-1', '1e3', '9'.repeat(40)]) {
    t.same(form.parse((await get({ method: 'GET', headers: { 'last-event-id': id } })).text).ids, [1, 2], `ids are the handler's own after ${id}`)
  }
  t.same(seen.slice(0, 3), [['41'], [], ['']])
})

t.test('server-sent events that have ended leave no timer behind, not even where there were none', async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const { get } = await serveStreams(t, styles['implement()']!, { form: forms['server-sent events']! })
  const before = timers()
  for (let i = 0; i < 40; i++) await get({ body: { n: String(i % 2) } })
  await until(() => timers() < before + 10, 'the timers to go')
})

t.test('messages stay on one line, however JSON is laid out', async t => {
  for (const space of [2, '\t']) {
    for (const form of Object.values(forms)) {
      const { get } = await serveStreams(t, styles['implement()']!, { form, json: { space } })
      const answer = await get({ body: { n: '3' } })
      t.doesNotThrow(() => form.parse(answer.text), `${form.contentType} with space ${JSON.stringify(space)}`)
    }
  }
})

t.test('deadlines and shutdowns end streams in the way of their form', async t => {
  const ends: Record<string, { error: Expected, headers?: OutgoingHttpHeaders, end (served: Served): unknown }> = {
    'grpc-timeout': { error: { status: 504, title: 'DEADLINE_EXCEEDED', detail: /^Deadline exceeded/, code: 4 }, headers: { 'grpc-timeout': '150m' }, end () {} },
    shutdown: { error: { status: 503, title: 'UNAVAILABLE', detail: 'The server is shutting down', code: 14 }, end: ({ gateway }) => gateway.shutdown({ graceMs: 50 }) },
    'the end of the app': { error: { status: 503, title: 'UNAVAILABLE', detail: 'The server is shutting down', code: 14 }, end: ({ gateway, app }) => Promise.all([app.close(), gateway.shutdown({ graceMs: 50 })]) }
  }
  await Promise.all(Object.keys(styles).flatMap(style => everywhere.flatMap(({ form, protocol }) => Object.values(ends).map(async ({ error, headers = {}, end }) => {
    const { service, events } = lasting(style)
    const served = await serveStreams(t, service, { form, protocol })
    const answer = await served.ask({ body: { n: '2' }, headers }).answer
    const [received] = await Promise.all([whole(answer), until(() => events.includes('waiting'), 'the messages').then(async () => await end(served))])
    checkStream(t, form, received, numbered(2), error)
    t.equal(events.filter(event => event === 'closed').length, 1)
    t.ok(events.includes(`aborted: ${error.code}`))
  }))))
})

t.test('a client that reads only after the end gets every message before it', async t => {
  await Promise.all(everywhere.map(async ({ name, form, protocol }) => {
    const { service, events, produced } = lasting('implement()')
    const { ask } = await serveStreams(t, service, { form, protocol })
    const answer = await ask({ body: { n: ENDLESS, text: 'large' }, headers: { 'grpc-timeout': '500m' } }).answer
    await until(() => events.includes('closed'), 'the deadline')
    const received = await whole(answer)
    const count = received.text.split('"m').length - 1
    t.ok(count >= produced() - 1, `${name}: ${count} of ${produced()} messages`)
    checkStream(t, form, received, numbered(count), { title: 'DEADLINE_EXCEEDED', code: 4 })
  }))
})

t.test('a gateway and its app close although clients do not read their streams, stay connected after them, or ask for none', async t => {
  await Promise.all(everywhere.map(async ({ name, form, protocol }) => {
    const { service, events, produced } = lasting('implement()')
    const { app, gateway, ask, url } = await serveStreams(t, service, { form, protocol })
    const unread = ask({ body: { n: ENDLESS, text: 'large' } })
    const staying = ask({ body: { n: '2' }, stay: true })
    t.teardown(() => { unread.leave(); staying.leave() })
    const [cut, received] = await Promise.all([unread.answer, staying.answer.then(answer => ({ ...answer, whole: whole(answer) }))])
    await until(() => events.includes('waiting'), 'the messages')
    await pause(produced)
    if (protocol === 'HTTP/2') await idleSession(t, url)

    let closed = false
    const closing = Promise.all([app.close(), gateway.shutdown({ graceMs: 50 })]).then(() => { closed = true })
    await until(() => closed, `the end of ${name}`)
    await closing
    checkStream(t, form, await received.whole, numbered(2), { title: 'UNAVAILABLE', code: 14 })
    t.ok(cut.body.destroyed || (await whole(cut)).isCut, `${name}: who does not read is cut off`)
    t.equal(events.filter(event => event === 'closed').length, 2)
  }))
})

t.test('a gateway and its app close although an HTTP/2 client reads nothing of its connection', async t => {
  const { service, produced } = lasting('implement()')
  const { app, gateway, url } = await serveStreams(t, service, { protocol: 'HTTP/2' })
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {}).pause()
  t.teardown(() => socket.destroy())
  socket.write(http2Post(`${RPC}?n=${ENDLESS}&text=large`, {}, true))
  await pause(produced)
  let closed = false
  const closing = Promise.all([app.close(), gateway.shutdown({ graceMs: 50 })]).then(() => { closed = true })
  await until(() => closed, 'the end')
  await closing
})

/** A connection that asks for nothing. */
async function idleSession (t: Test, url: string): Promise<void> {
  const session = http2(url)
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
}

t.test('onSend hooks may transform the stream', async t => {
  await Promise.all(everywhere.map(async ({ name, form, protocol }) => {
    const app = protocols[protocol]()
    app.addHook('onSend', async (_request, reply, payload) => {
      if (typeof (payload as Readable).pipe !== 'function') return payload
      reply.header('content-encoding', 'gzip')
      return (payload as Readable).pipe(createGzip())
    })
    const { get, ask } = await serveStreams(t, styles['implement()']!, { form, protocol, app })
    for (const text of ['', 'lost']) {
      const answer = await ask({ body: { n: '2000', text }, headers: { te: 'trailers' } }).answer
      const chunks: Buffer[] = []
      for await (const chunk of answer.body) chunks.push(chunk)
      checkStream(t, form, { ...answer, text: gunzipSync(Buffer.concat(chunks)).toString(), isCut: false }, numbered(2000), text === '' ? undefined : { code: 15, title: 'DATA_LOSS' }, false)
      t.equal(answer.trailers()['grpc-status'], text === '' ? '0' : '15', name)
    }
    // What gzip has not given away yet is cut off too, be it all there is.
    if (form.cuts === true) t.equal((await get({ body: { n: '2000', text: 'lost' } }).catch(() => ({ isCut: true }))).isCut, true)
    t.equal((await get({ body: { text: 'lost' } })).status, 500)
  }))
})

t.test('onSend hooks may collect the stream into one text', async t => {
  for (const { name, form, protocol } of everywhere) {
    const app = protocols[protocol]()
    app.addHook('onSend', async (_request, _reply, payload) => {
      if (typeof (payload as Readable).pipe !== 'function') return payload
      let text = ''
      for await (const chunk of payload as Readable) text += chunk
      return text
    })
    const { get } = await serveStreams(t, styles['implement()']!, { form, protocol, app })
    for (const headers of [{}, { te: 'trailers' }]) {
      const answer = await get({ body: { n: '100' }, headers })
      t.equal(answer.status, 200, `${name}, ${JSON.stringify(headers)}`)
      if (answer.status === 200) checkStream(t, form, answer, numbered(100))
    }
  }
})

t.test('a message that is wrong ends the stream with INTERNAL, is logged, and leaves nothing behind', async t => {
  const wrong: Record<string, [message: unknown, detail: string, logged: RegExp]> = {
    null: [null, 'Internal error', /ServerStream returned null|null values/],
    'a text': ['secret', 'Internal error', /ServerStream returned a value of type string/],
    'a wrong field': [{ notes: 'none' }, 'The response test.Note is wrong at notes: expected a list, got "none"', /notes/]
  }
  for (const [what, [message, detail, logged]] of Object.entries(wrong)) {
    for (const style of Object.keys(styles)) {
      let closed = 0
      const service = style === 'implement()'
        ? implement(Kinds, {
          async * ServerStream () {
            try {
              yield { text: 'm0' }
              yield message as Note
              t.fail('it went on')
            } finally {
              closed++
            }
          }
        })
        : grpcJs({
          ServerStream (call: Writing) {
            call.on('cancelled', () => closed++)
            call.write({ text: 'm0' })
            call.write(message as Note)
          }
        })
      for (const { name, form, protocol } of everywhere) {
        const { get, lines, gateway } = await serveStreams(t, service, { form, protocol })
        closed = 0
        checkStream(t, form, await get({ body: {} }), ['m0'], { status: 500, title: 'INTERNAL', detail, code: 13 })
        await until(() => closed === 1, 'the end of the handler')
        const errors = lines.filter(({ level }) => level === 'error')
        t.match([errors.length, String(errors[0]?.fields.err), errors[0]?.fields.rpc], [1, logged, '/test.Kinds/ServerStream'], `${style}, ${what}, ${name}`)
        await gateway.shutdown()
        t.notOk(lines.some(({ message }) => /outlasted/.test(message)), 'no call is left open')
      }
    }
  }
})

t.test('generators that fail when they are closed are logged, and harm nobody', async t => {
  const closing: Record<string, () => unknown> = {
    'return() throws': () => ({ [Symbol.asyncIterator]: () => ({ next: async () => ({ value: { text: 'x' } }), return () { throw new Error('return') } }) }),
    'return() rejects': () => ({ [Symbol.asyncIterator]: () => ({ next: async () => ({ value: { text: 'x' } }), return: async () => { throw new Error('return') } }) }),
    'finally throws': async function * () {
      try {
        for (;;) yield { text: 'x' }
      } finally {
        throw new Error('return') // eslint-disable-line no-unsafe-finally
      }
    }
  }
  for (const [name, ServerStream] of Object.entries(closing)) {
    for (const protocol of PROTOCOLS) {
      const { ask, get, lines } = await serveStreams(t, implement(Kinds, { ServerStream: ServerStream as never, Unary: note => note }), { protocol })
      const asked = ask({ body: {} })
      await once((await asked.answer).body, 'data')
      asked.leave()
      await until(() => lines.some(({ message, fields }) => /failed after its call was over/.test(message) && /return/.test(String(fields.err))), `the log of: ${name}`)
      const late = await get({ body: {}, headers: { 'grpc-timeout': '50m' } })
      t.match(forms.NDJSON!.parse(late.text).error, { code: 4 })
      t.equal((await get({ rpc: 'Unary', body: { text: 'a' } })).text, '{"text":"a"}', name)
    }
  }
})

t.test('inject gets streams whole', async t => {
  for (const form of Object.values(forms)) {
    const { app } = await serveStreams(t, styles['implement()']!, { form })
    for (const text of form.cuts === true ? [''] : ['', 'lost']) {
      const { statusCode, headers, payload } = await app.inject({ method: 'POST', url: RPC, headers: { accept: form.accept }, payload: { n: '100', text } })
      checkStream(t, form, { status: statusCode, headers: headers as IncomingHttpHeaders, text: payload, isCut: false } as Whole, numbered(100), text === '' ? undefined : { code: 15, title: 'DATA_LOSS' })
    }
  }
})

t.test('inject fails where a response is cut off', async t => {
  const { app } = await serveStreams(t, styles['implement()']!)
  const injected = app.inject({ method: 'POST', url: RPC, headers: { accept: 'application/json' }, payload: { n: '100', text: 'lost' } })
  t.equal(await Promise.race([injected.then(() => 'resolved', () => 'rejected'), sleep(5000)]), 'rejected')
})

t.test('HTTP/1.0 has no trailers, and gets everything else', async t => {
  await Promise.all(Object.values(forms).map(async form => {
    const { url } = await serveStreams(t, styles['implement()']!, { form })
    await Promise.all(([[0, ''], [2, ''], [2, 'lost']] as const).map(async ([count, text]) => {
      const { socket, ask } = rawConnection(t, url)
      ask(form, { n: String(count), text }, { version: '1.0', headers: 'te: trailers\r\n' })
      const [head, content = ''] = (await whole({ body: socket })).text.split(/\r\n\r\n(.*)/s)
      t.match(head, /^HTTP\/1\.1 200 OK\r\n/)
      if (form.cuts === true && text !== '') t.throws(() => JSON.parse(content))
      else t.match(form.parse(content), { messages: numbered(count).map(text => ({ text })), ...text === '' ? {} : { error: { code: 15 } } })
    }))
  }))
})

t.test('an error that cuts off a response leaves those before it on the connection whole', async t => {
  const { opened, open } = gate()
  const failed: string[] = []
  const { url } = await serveStreams(t, implement(Kinds, {
    async * ServerStream ({ text }, { signal }) {
      signal.addEventListener('abort', () => failed.push('aborted'))
      yield { text }
      if (text === 'first') await opened
      else failed.push(text)
      if (text === 'second') throw new GrpcError(status.DATA_LOSS, 'lost')
    }
  }))
  const { socket, ask } = rawConnection(t, url)
  for (const text of ['first', 'second']) ask(forms['JSON array']!, { text })
  const received = whole({ body: socket })
  await until(() => failed.length > 0, 'the second call')
  await sleep(20)
  open()
  t.match((await received).text, /\[\{"text":"first"\}\r\n.*\]\r\n.*\[\{"text":"second"\}\r\n$/s)
  t.same(failed, ['second'])
})
