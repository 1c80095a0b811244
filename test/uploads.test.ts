/** Streams of request messages in the body of an HTTP request: how they are cut, and that they are read while they arrive. */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { Agent, request as requestHttp1 } from 'node:http'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { createGunzip, gzipSync } from 'node:zlib'
import { ServerInterceptingCall, ServerListenerBuilder, status as codes, type ServerDuplexStream, type ServerInterceptor, type ServerReadableStream, type sendUnaryData } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { contextOf, GrpcError, implement, type GatewayOptions, type ServiceRegistrar } from '../src/index.ts'
import { JsonSplitter } from '../src/rest/stream/json-splitter.ts'
import { LineSplitter } from '../src/rest/stream/line-splitter.ts'
import { Kinds, recordingLogger, serve, sleep, until, type CallContext, type Note, type Served } from './serving.ts'
import { frame, http2Post } from './stream-client.ts'

type Notes = AsyncIterable<Note>
type Reading = ServerReadableStream<Note, Partial<Note>>
type Duplex = ServerDuplexStream<Note, Partial<Note>>
type Callback = sendUnaryData<Partial<Note>>

const CLIENT_STREAM = '/grpc/kinds/clientstream'
const BIDI = '/grpc/kinds/bidi'
const LINES = { 'content-type': 'application/x-ndjson' }
const JSON_TYPE = { 'content-type': 'application/json' }

/** What was thrown where nobody could catch it. */
const uncaught: unknown[] = []
process.on('uncaughtException', error => uncaught.push(error))

/** A request whose body is sent piece by piece, and what has come back so far. */
interface Exchange {
  status: number
  text: string
  /** Whether the response has ended, in order or not. */
  over: boolean
  error: Error | undefined
  /** Whether the server has closed the connection (HTTP/1.1), or the stream with this code (HTTP/2). */
  closed: boolean
  rstCode: number | undefined
  /** How many bytes were handed to the network. */
  sent: number
  write (chunk: string | Uint8Array): boolean
  end (chunk?: string | Uint8Array): void
  /** Goes away in the middle. */
  destroy (): void
}

type Open = (path: string, headers?: Record<string, string>, method?: string) => Exchange
type Version = 'HTTP/1.1' | 'HTTP/2'
const VERSIONS: readonly Version[] = ['HTTP/1.1', 'HTTP/2']

const unsent = { status: 0, text: '', over: false, error: undefined, closed: false, rstCode: undefined, sent: 0 }

function openers (t: Test, url: string): Record<Version, Open> {
  return {
    'HTTP/1.1' (path, headers = LINES, method = 'POST') {
      const agent = new Agent({ keepAlive: true })
      const request = requestHttp1(url + path, { method, headers, agent })
      t.teardown(() => { request.destroy(); agent.destroy() })
      const count = (size: number) => () => { exchange.sent += size }
      const exchange: Exchange = {
        ...unsent,
        write: chunk => request.write(chunk, count(chunk.length)),
        end: chunk => request.end(chunk),
        destroy: () => request.destroy()
      }
      const end = (error?: Error): void => {
        exchange.error ??= error
        exchange.over = true
      }
      request.on('socket', socket => socket.on('close', () => { exchange.closed = true }))
      request.on('error', end)
      request.on('response', response => {
        exchange.status = response.statusCode!
        response.setEncoding('utf8').on('data', text => { exchange.text += text }).on('end', () => end()).on('error', end)
      })
      request.flushHeaders()
      return exchange
    },
    'HTTP/2' (path, headers = LINES, method = 'POST') {
      const session = connectHttp2(url)
      session.on('error', () => {})
      t.teardown(() => session.destroy())
      const stream = session.request({ ...headers, ':method': method, ':path': path })
      const count = (size: number) => () => { exchange.sent += size }
      const exchange: Exchange = {
        ...unsent,
        write: chunk => stream.writable && stream.write(chunk, count(chunk.length)),
        end: chunk => { stream.end(chunk) },
        destroy: () => stream.close(constants.NGHTTP2_CANCEL)
      }
      stream.on('response', headers => { exchange.status = headers[':status']! })
      stream.setEncoding('utf8').on('data', text => { exchange.text += text })
      stream.on('end', () => { exchange.over = true })
      stream.on('error', error => { exchange.error = error })
      stream.on('close', () => { exchange.over = true })
      // Of a stream that was closed while something waits to be written, Node.js does not always say `close`.
      for (const event of ['aborted', 'close']) stream.on(event, () => Object.assign(exchange, { closed: true, rstCode: stream.rstCode }))
      return exchange
    }
  }
}

interface Opened extends Served { open: Open }

async function serveOver (t: Test, version: Version, options: GatewayOptions, app?: FastifyInstance): Promise<Opened> {
  const served = await serve(t, options, { app: app ?? (version === 'HTTP/2' ? Fastify({ http2: true }) as never : Fastify({ forceCloseConnections: true })) })
  return { ...served, open: openers(t, served.url)[version] }
}

/** Sends a whole body and waits for the whole answer. */
async function send (open: Open, path: string, body: string | Uint8Array | undefined, headers?: Record<string, string>, method?: string): Promise<Exchange & { json: any }> {
  const exchange = open(path, headers, method)
  exchange.end(body)
  await until(() => exchange.over, `the answer to ${path}`)
  return { ...exchange, json: linesOf(exchange)[0] }
}

function linesOf ({ text }: { text: string }): any[] {
  return text.split('\n').filter(line => line.trim() !== '').map(line => JSON.parse(line))
}

/** A service that tells what it has got, and how its iteration went on. */
function watching (): { service: object, seen: string[], ends: unknown[], signals: AbortSignal[] } {
  const seen: string[] = []
  const ends: unknown[] = []
  const signals: AbortSignal[] = []
  async function * read (notes: Notes, { signal }: CallContext): AsyncGenerator<Note> {
    signals.push(signal)
    let end: unknown = 'left'
    try {
      for await (const note of notes) {
        seen.push(note.text)
        yield note
      }
      end = 'end'
    } catch (error) {
      end = error
      throw error
    } finally {
      ends.push(end)
    }
  }
  const service = implement(Kinds, {
    async ClientStream (notes, context) {
      let text = ''
      for await (const note of read(notes, context)) text += note.text
      return { text }
    },
    async * Bidi (notes, context) {
      for await (const { text } of read(notes, context)) yield { text: `${text}!` }
    }
  })
  return { service, seen, ends, signals }
}

const styles = {
  'implement()': implement(Kinds, {
    async ClientStream (notes) {
      let n = 0
      for await (const note of notes) if (Number(note.n) === n) n++
      return { text: String(n) }
    },
    async * Bidi (notes) { for await (const { n } of notes) yield { n } }
  }),
  'addService()': class KindsService {
    static addToServer (_instance: KindsService, server: ServiceRegistrar): void {
      server.addService(Kinds, {
        ClientStream (call: Reading, callback: Callback) {
          let n = 0
          call.on('data', (note: Note) => { if (Number(note.n) === n) n++ })
          call.on('end', () => callback(null, { text: String(n) }))
        },
        Bidi (call: Duplex) {
          call.on('data', ({ n }: Note) => { if (!call.write({ n })) { call.pause(); call.once('drain', () => call.resume()) } })
          call.on('end', () => call.end())
        }
      } as never)
    }
  }
}

/** The same messages in the three forms of a body. */
const forms: Record<string, { headers: Record<string, string>, body (texts: string[]): string }> = {
  NDJSON: { headers: LINES, body: texts => texts.map(text => `${text}\n`).join('') },
  'a JSON array': { headers: JSON_TYPE, body: texts => `[${texts.join(',')}]` },
  'concatenated JSON': { headers: JSON_TYPE, body: texts => texts.join('') }
}

t.test('app.inject takes uploads', async t => {
  const { app } = await serveOver(t, 'HTTP/1.1', { services: [watching().service] })
  const inject = async (url: string): Promise<unknown[]> => {
    const { statusCode, body } = await app.inject({ method: 'POST', url, headers: LINES, payload: '{"text":"a"}\n{"text":"b"}\n' })
    return [statusCode, body]
  }
  t.strictSame(await inject(CLIENT_STREAM), [200, '{"text":"ab"}'])
  t.strictSame(await inject(BIDI), [200, '{"text":"a!"}\n{"text":"b!"}\n'])
})

t.test('10,000 messages arrive whole and in order, in every form, style and version of HTTP', async t => {
  const numbers = Array.from({ length: 10_000 }, (_, n) => String(n))
  for (const [version, style] of VERSIONS.flatMap(version => Object.keys(styles).map(style => [version, style as keyof typeof styles] as const))) {
    const { open } = await serveOver(t, version, { services: [styles[style]] })
    const owner = style === 'implement()' ? 'kinds' : 'kindsservice'
    for (const [name, { headers, body }] of Object.entries(forms)) {
      const text = body(numbers.map(n => JSON.stringify({ text: 'é}"', n })))
      t.match(await send(open, `/grpc/${owner}/clientstream`, text, headers), { status: 200, json: { text: '10000' } }, `${version}, ${style}, ${name}`)
      const answers = linesOf(await send(open, `/grpc/${owner}/bidi`, text, headers)).map(({ n }) => n ?? '0')
      t.strictSame(answers, numbers, `${version}, ${style}, ${name}, bidirectional`)
    }
  }
})

/** JSON texts as they may be written: white space anywhere, escapes, brackets and quotes in strings. */
function jsonTexts (space: string[]): { object: fc.Arbitrary<string>, value: fc.Arbitrary<string>, space: fc.Arbitrary<string> } {
  const white = fc.array(fc.constantFrom(...space), { maxLength: 2 }).map(parts => parts.join(''))
  const spaced = <T>(inner: fc.Arbitrary<T>): fc.Arbitrary<string> => fc.tuple(white, inner, white).map(parts => parts.join(''))
  const string = fc.array(fc.constantFrom('\\"', '\\\\', '\\/', '\\n', '\\u00e9', '\\ud83d\\ude00', '{', '}', '[', ']', ',', ':', ' ', '\u2028', '\ufffd', '\ufeff', 'a', 'é', '€', '😀'), { maxLength: 6 })
    .map(parts => `"${parts.join('')}"`)
  const { value, object } = fc.letrec<{ value: string, object: string }>(tie => ({
    value: fc.oneof({ maxDepth: 3 }, string, fc.constantFrom('true', 'false', 'null', '0', '-1.5e+3', '12'), tie('object'),
      fc.array(spaced(tie('value')), { maxLength: 3 }).map(items => `[${items.join(',')}]`)),
    object: fc.array(fc.tuple(spaced(string), spaced(tie('value'))), { maxLength: 3 })
      .map(members => `{${members.map(([name, value]) => `${name}:${value}`).join(',')}}`)
  }))
  return { object, value, space: white }
}

const inLine = jsonTexts([' ', '\t', '\r'])
const anywhere = jsonTexts([' ', '\t', '\r', '\n'])

/** A body with the texts of its messages, as its reader is to find them. */
interface Body { kind: 'lines' | 'json', bytes: Buffer, texts: string[] }

const ndjson = fc.tuple(fc.array(fc.oneof(fc.tuple(inLine.space, inLine.object, inLine.space), fc.tuple(inLine.space)), { maxLength: 5 }), fc.constantFrom('\n', '\r\n'), fc.boolean())
  .map(([lines, newline, isLastOpen]): Body => {
    const texts = lines.map(parts => parts.join(''))
    return { kind: 'lines', bytes: Buffer.from(texts.join(newline) + (isLastOpen ? '' : newline)), texts: texts.filter(text => /\S/.test(text)) }
  })
const array = fc.array(fc.tuple(anywhere.space, anywhere.object, anywhere.space), { maxLength: 5 }).chain(items => fc.tuple(anywhere.space, anywhere.space, anywhere.space)
  .map(([before, inside, after]): Body => ({
    kind: 'json',
    bytes: Buffer.from(`${before}[${items.length === 0 ? inside : items.map(item => item.join('')).join(',')}]${after}`),
    texts: items.map(item => item[1])
  })))
const concatenated = fc.array(fc.tuple(anywhere.space, anywhere.object, anywhere.space), { maxLength: 5 })
  .map((items): Body => ({ kind: 'json', bytes: Buffer.from(items.map(item => item.join('')).join('')), texts: items.map(item => item[1]) }))
const bodies = fc.oneof(ndjson, array, concatenated)

/** Bytes that may well be no body: some cut off, changed, put in or doubled; or nothing but chance. */
const brokenBodies = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(bodies, fc.array(fc.tuple(fc.nat(), fc.constantFrom('cut', 'set', 'insert', 'double'), fc.oneof(fc.constantFrom(...Buffer.from('{}[],:"\\\n\r 1nt\u00e9')), fc.integer({ min: 0, max: 255 }))), { minLength: 1, maxLength: 3 }))
      .map(([{ kind, bytes }, edits]) => ({
        kind,
        bytes: edits.reduce((bytes, [place, edit, byte]) => {
          const at = place % (bytes.length + 1)
          const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)]
          if (edit === 'cut') return head
          return Buffer.concat(edit === 'double' ? [head, head.subarray(-5), tail] : [head, Buffer.of(byte), edit === 'set' ? tail.subarray(1) : tail])
        }, bytes)
      }))
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('lines' as const, 'json' as const), bytes: fc.uint8Array({ maxLength: 30 }).map(bytes => Buffer.from(bytes)) }) }
)

/** Where to cut bytes into chunks: everywhere, nowhere, or at some places. */
const cuts = fc.oneof(fc.constantFrom<'bytes' | 'whole'>('bytes', 'whole'), fc.array(fc.nat(), { minLength: 1, maxLength: 8 }))

function chunked (bytes: Buffer, cut: 'bytes' | 'whole' | number[]): Buffer[] {
  const places = cut === 'whole' ? [] : cut === 'bytes' ? Array.from(bytes.keys()).slice(1) : cut.map(place => place % (bytes.length + 1)).sort((a, b) => a - b)
  return [...places, bytes.length].map((end, i) => bytes.subarray(places[i - 1] ?? 0, end))
}

interface Cut { values: unknown[], error: unknown }

/** What comes of a body: its messages up to the first that is wrong, and what is wrong. */
function split (kind: Body['kind'], chunks: Buffer[], { limit = 1_000_000, eager = true } = {}): Cut {
  const splitter = kind === 'lines' ? new LineSplitter(limit) : new JsonSplitter(limit)
  const values: unknown[] = []
  const drain = (): void => {
    for (let text = splitter.next(); text !== undefined; text = splitter.next()) values.push(parseObject(text))
  }
  try {
    for (const chunk of chunks) {
      splitter.push(Buffer.from(chunk)) // of its own, as from a socket
      if (eager) drain()
    }
    splitter.end()
    drain()
  } catch (error) {
    return { values, error }
  }
  return { values, error: undefined }
}

function parseObject (text: string): object {
  const value = JSON.parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new SyntaxError('no message')
  return value
}

/** The messages of a whole body by JSON.parse; undefined when it is wrong. */
function oracle (kind: Body['kind'], bytes: Buffer): unknown[] | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    if (kind === 'lines') return text.split('\n').filter(line => !/^[ \t\r]*$/.test(line)).map(parseObject)
    if (/^[ \t\r\n]*\[/.test(text)) return JSON.parse(text).map((value: unknown) => parseObject(JSON.stringify(value)))
    const values = []
    for (let at = 0; ;) {
      at += /^[ \t\r\n]*/.exec(text.slice(at))![0].length
      if (at === text.length) return values
      const end = endOfObject(text, at)
      values.push(parseObject(text.slice(at, end)))
      at = end
    }
  } catch {
    return undefined
  }
}

/** The least text that JSON.parse takes for an object. */
function endOfObject (text: string, start: number): number {
  for (let end = text.indexOf('}', start); end !== -1; end = text.indexOf('}', end + 1)) {
    try {
      parseObject(text.slice(start, end + 1))
      return end + 1
    } catch {}
  }
  throw new SyntaxError('no object')
}

t.test('however a body is cut into chunks, the same messages come of it', async () => {
  fc.assert(fc.property(bodies, cuts, fc.boolean(), ({ kind, bytes, texts }, cut, eager) => {
    const { values, error } = split(kind, chunked(bytes, cut), { eager })
    strictEqual(error, undefined)
    deepStrictEqual(values, texts.map(text => JSON.parse(text)))
  }), { numRuns: 3000 })
  fc.assert(fc.property(fc.array(anywhere.value, { maxLength: 4 }), cuts, (values, cut) => {
    const splitter = new JsonSplitter(1_000_000)
    const texts: string[] = []
    for (const chunk of chunked(Buffer.from(`[${values.join(' ,')}]`), cut)) splitter.push(chunk)
    splitter.end()
    for (let text = splitter.next(); text !== undefined; text = splitter.next()) texts.push(text)
    deepStrictEqual(texts, values.map(text => text.trim()), 'values that are no objects are for their reader to refuse')
  }), { numRuns: 1000 })
})

t.test('a body that is wrong gives one error after the same messages, however it is cut, and is wrong only where JSON.parse says so', async t => {
  let wrong = 0
  fc.assert(fc.property(brokenBodies, cuts, fc.boolean(), ({ kind, bytes }, cut, eager) => {
    const expected = oracle(kind, bytes)
    const whole = split(kind, [bytes])
    const pieces = split(kind, chunked(bytes, cut), { eager })
    if (expected === undefined) wrong++
    else deepStrictEqual(whole.values, expected)
    strictEqual(whole.error === undefined, expected !== undefined, `${String(whole.error)}`)
    strictEqual(pieces.error === undefined, expected !== undefined, `${String(pieces.error)}`)
    deepStrictEqual(pieces.values, whole.values)
    for (const { error } of [whole, pieces]) ok(error === undefined || error instanceof SyntaxError || (error instanceof GrpcError && error.code === codes.INVALID_ARGUMENT), String(error))
  }), { numRuns: 3000 })
  t.ok(wrong > 1000, `${wrong} were wrong`)
})

t.test('the limit holds for each message, however the body is cut, and what follows keeps no memory', async t => {
  fc.assert(fc.property(bodies, cuts, fc.integer({ min: 1, max: 60 }), ({ kind, bytes, texts }, cut, limit) => {
    // A line counts whole.
    const units = kind === 'lines' ? bytes.toString().split('\n') : texts
    const first = units.findIndex(text => Buffer.byteLength(text) > limit)
    const { values, error } = split(kind, chunked(bytes, cut), { limit })
    strictEqual(values.length, first === -1 ? texts.length : units.slice(0, first).filter(text => /\S/.test(text)).length)
    strictEqual((error as { statusCode?: number } | undefined)?.statusCode, first === -1 ? undefined : 413)
  }), { numRuns: 3000 })
  const chunk = Buffer.alloc(65_536, 'a')
  for (const [splitter, start] of [[new LineSplitter(1000), ''], [new JsonSplitter(1000), '"'], [new JsonSplitter(1000), '['], [new JsonSplitter(1000), '[{"']] as const) {
    splitter.push(Buffer.from(start))
    const before = process.memoryUsage()
    for (let i = 0; i < 2000; i++) splitter.push(chunk)
    const after = process.memoryUsage()
    t.ok(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed < 32 * 1024 * 1024, `after 128 MiB of ${start}`)
    throws(() => splitter.next(), { statusCode: 413 })
  }
})

t.test('bodies that are wrong are answered with 400 over sockets, after the same messages however they are cut', async t => {
  const watch = watching()
  const logger = recordingLogger()
  const { open } = await serveOver(t, 'HTTP/1.1', { services: [watch.service], logger, json: { unknownFields: 'ignore' } })
  const outcomeOf = async (kind: string, chunks: Buffer[]): Promise<unknown> => {
    watch.seen.length = 0
    const exchange = open(CLIENT_STREAM, kind === 'lines' ? LINES : JSON_TYPE)
    for (const chunk of chunks) {
      exchange.write(chunk)
      await new Promise(setImmediate)
    }
    exchange.end()
    await until(() => exchange.over, 'the answer')
    strictEqual(exchange.error, undefined)
    ok(exchange.status === 200 || exchange.status === 400, `status ${exchange.status}`)
    return { status: exchange.status, detail: JSON.parse(exchange.text).detail, seen: [...watch.seen] }
  }
  await fc.assert(fc.asyncProperty(brokenBodies, cuts, async ({ kind, bytes }, cut) => {
    deepStrictEqual(await outcomeOf(kind, chunked(bytes, cut)), await outcomeOf(kind, [bytes]))
  }), { numRuns: 100 })
  t.same(logger.lines.filter(({ level }) => level === 'error'), [], 'nothing of that is a fault of the server')
})

for (const version of VERSIONS) {
  t.test(`over ${version} a message reaches the handler with its last byte, and is answered before the next is sent`, async t => {
    const pieces: Record<string, string[]> = {
      NDJSON: ['{"text":"a"}\n{"te', 'xt":"b"}\n', '\r\n  \n{"text":"c"}\r\n'],
      'a JSON array': ['[{"text":"a"}', ',{"text":"b"}', ' , {"text":"c"}'],
      'concatenated JSON': ['{"text":"a"}', '{"text":"b"}', '\n {"text":"c"}']
    }
    for (const [name, { headers }] of Object.entries(forms)) {
      const watch = watching()
      const { open } = await serveOver(t, version, { services: [watch.service] })
      const both = open(BIDI, headers)
      for (const [i, piece] of pieces[name]!.entries()) {
        both.write(piece)
        await until(() => linesOf(both).length === i + 1, `answer ${i + 1} to ${name}`)
        t.notOk(both.over)
      }
      t.strictSame(linesOf(both).map(({ text }) => text), ['a!', 'b!', 'c!'], name)
      both.end(name === 'a JSON array' ? ']' : '')
      await until(() => both.over, 'the end')
      t.match([both.status, both.error, watch.ends], [200, undefined, ['end']])

      watch.seen.length = 0
      const one = open(CLIENT_STREAM, headers)
      for (const [i, piece] of pieces[name]!.entries()) {
        one.write(piece)
        await until(() => watch.seen.length === i + 1, `message ${i + 1}`)
      }
      one.end(name === 'a JSON array' ? ']' : '')
      await until(() => one.over, 'the answer')
      t.match(one, { status: 200, text: '{"text":"abc"}' })
    }
  })
}

t.test('curl gets answers while it sends with -T, and all of them at the end with -d', async t => {
  for (const [version, flag] of [['HTTP/1.1', '--http1.1'], ['HTTP/2', '--http2-prior-knowledge']] as const) {
    const watch = watching()
    const { url } = await serveOver(t, version, { services: [watch.service] })
    const curl = (...args: string[]): { child: ReturnType<typeof spawn>, output: { text: string, code: number | null | undefined } } => {
      const child = spawn('curl', ['-sN', flag, '-H', 'content-type: application/x-ndjson', ...args, url + BIDI])
      const output: { text: string, code: number | null | undefined } = { text: '', code: undefined }
      child.stdout.on('data', chunk => { output.text += chunk })
      child.on('close', code => { output.code = code })
      t.teardown(() => child.kill())
      return { child, output }
    }
    const { child, output } = curl('-T', '.', '-X', 'POST')
    for (const [i, text] of ['a', 'b', 'c'].entries()) {
      child.stdin!.write(`{"text":"${text}"}\n`)
      await until(() => linesOf(output).length === i + 1, `curl's answer ${i + 1}`)
    }
    child.stdin!.end()
    await until(() => output.code !== undefined, 'the end of curl')
    t.match([output.code, linesOf(output).map(({ text }) => text)], [0, ['a!', 'b!', 'c!']], version)

    const half = curl('-d', '{"text":"a"}\n{"text":"b"}')
    await until(() => half.output.code !== undefined, 'the end of curl')
    t.match(half.output, { code: 0, text: '{"text":"a!"}\n{"text":"b!"}\n' }, version)
  }
})

t.test('limits.messageBytes is for each message: one that is larger is 413, or the last line of a response that has begun', async t => {
  const text = (bytes: number): string => JSON.stringify({ text: 'é'.repeat((bytes - 11) / 2) })
  strictEqual(Buffer.byteLength(text(101)), 101)
  for (const version of VERSIONS) {
    const watch = watching()
    const { open } = await serveOver(t, version, { services: [watch.service], limits: { messageBytes: 101 } })
    for (const [name, { headers, body }] of Object.entries(forms)) {
      t.match(await send(open, CLIENT_STREAM, body(Array.from({ length: 2000 }, () => text(101))), headers), { status: 200 }, `${name} of 200,000 bytes`)
      const refused = { status: 413, json: { status: 413, title: 'RESOURCE_EXHAUSTED', code: codes.RESOURCE_EXHAUSTED, detail: /^Message 1 of the request: The message is larger than 101 bytes/ } }
      for (const path of [CLIENT_STREAM, BIDI]) t.match(await send(open, path, body([text(103)]), headers), refused, `${name} to ${path}`)

      const begun = open(BIDI, headers)
      begun.write(body([text(101)]).replace(/\]$/, ','))
      await until(() => linesOf(begun).length === 1, 'the first answer')
      begun.write(`${text(103)}\n`)
      await until(() => begun.over, 'the end')
      t.match([begun.status, linesOf(begun)[1]], [200, { error: { status: 413, title: 'RESOURCE_EXHAUSTED', code: codes.RESOURCE_EXHAUSTED, detail: /^Message 2 of the request: / } }], `${name}, begun`)
      const third = await send(open, CLIENT_STREAM, body([text(101), text(11), text(103)]), headers)
      t.match([third.status, third.json], [413, { detail: /^Message 3 of the request: The message is larger than 101 bytes/ }], `${name}, the third`)

      const endless = open(CLIENT_STREAM, headers)
      endless.write('{"text":"')
      while (!endless.over) {
        endless.write('a'.repeat(20))
        await sleep(1)
      }
      t.match([endless.status, JSON.parse(endless.text)], [413, refused.json], `${name} without end`)
    }
  }
})

t.test('the query is bound to the first message, and is one where the body has none', async t => {
  const { service, seen } = watching()
  const { open } = await serveOver(t, 'HTTP/1.1', { services: [service], httpMethods: ['GET'] })
  const cases: Array<[query: string, body: string | undefined, headers: Record<string, string>, expected: unknown, method?: string]> = [
    ['text=q', undefined, {}, ['q']],
    ['text=q', undefined, {}, ['q'], 'GET'],
    ['', undefined, {}, [], 'GET'],
    ['', undefined, {}, []],
    ['', '', LINES, []],
    ['', '[ ]', JSON_TYPE, []],
    ['text=q', '', LINES, ['q']],
    ['text=q', '\r\n \n', LINES, ['q']],
    ['text=q', ' [ ] ', JSON_TYPE, ['q']],
    ['text=q', ' ', JSON_TYPE, ['q']],
    ['text=q', '{}\n{"text":"b"}\n', LINES, ['q', 'b']],
    ['text=q', ' { "n" : 1 } \n{"text":"b"}', LINES, ['q', 'b']],
    ['text=q', '[ {"n":"1"},{"text":"b"},{}]', JSON_TYPE, ['q', 'b', '']],
    ['n=1&text=%22%7D', '{}{"text":"b"}', JSON_TYPE, ['"}', 'b']],
    ['text=q', '{"text":"a"}\n', LINES, /^Message 1 .*text/],
    ['text=q', '[{"n":1,"t\\u0065xt":"a"}]', JSON_TYPE, /^Message 1 .*text/],
    ['nope=1', '{}\n', LINES, /nope/],
    ['nope=1', undefined, {}, /nope/],
    ['n=x', '[]', JSON_TYPE, /\bn\b/],
    ['text=q', 'null', JSON_TYPE, /^Message 1/],
    ['text=q', '[[]]', JSON_TYPE, /^Message 1/]
  ]
  for (const [query, body, headers, expected, method] of cases) {
    seen.length = 0
    const { status, json } = await send(open, `${CLIENT_STREAM}?${query}`, body, headers, method)
    if (Array.isArray(expected)) t.strictSame([status, seen], [200, expected], `${method ?? 'POST'} ${query} ${body}`)
    else t.match([status, json], [400, { title: 'INVALID_ARGUMENT', detail: expected }], `${query} ${body}`)
  }
  seen.length = 0
  t.match([(await send(open, `${BIDI}?text=q`, '{}\n{"text":"b"}\n')).text, seen], ['{"text":"q!"}\n{"text":"b!"}\n', ['q', 'b']])
})

t.test('NDJSON and JSON are taken under all their names, and nothing else', async t => {
  const two = '{"text":"a"}\n{"text":"b"}'
  const inArray = '[{"text":"a"},\n{"text":"b"}]'
  for (const version of VERSIONS) {
    const { service } = watching()
    const { open } = await serveOver(t, version, { services: [service] })
    const taken: Array<[type: string | undefined, ...bodies: string[]]> = [
      ['application/x-ndjson', two], ['application/jsonl', two], ['application/ndjson', two], ['Application/X-NDJSON; charset=UTF-8', two],
      ['application/json', two, inArray], ['application/json;charset="utf-8"', two, inArray], ['application/vnd.notes+json', two, inArray], [undefined, two, inArray]
    ]
    for (const [type, ...bodies] of taken) {
      for (const body of bodies) t.match(await send(open, CLIENT_STREAM, body, type === undefined ? {} : { 'content-type': type }), { status: 200, text: '{"text":"ab"}' }, `${version}, ${type}`)
    }
    const refused: Array<[headers: Record<string, string>, detail: RegExp]> = [
      [{ 'content-type': 'text/plain' }, /text\/plain.*application\/x-ndjson/],
      [{ 'content-type': 'application/x-www-form-urlencoded' }, /application\/x-ndjson/],
      [{ 'content-type': 'application/jsonx' }, /application\/x-ndjson/],
      [{ 'content-type': 'application/grpc' }, /gRPC port/],
      [{ 'content-type': 'application/x-ndjson; charset=utf-16' }, /utf-16/],
      [{ 'content-type': 'application/json; charset=latin1' }, /latin1/],
      [{ ...LINES, 'content-encoding': 'gzip' }, /gzip/]
    ]
    for (const [headers, detail] of refused) {
      for (const path of [CLIENT_STREAM, BIDI]) t.match(await send(open, path, two, headers), { status: 415, json: { detail } }, `${version}, ${JSON.stringify(headers)}`)
    }
  }
})

t.test('what is wrong with message n ends the call: 400 before the response has begun, else its last line', async t => {
  const wrong: Array<[body: string | Uint8Array, headers: Record<string, string>, detail: RegExp, seen?: number]> = [
    ['{"text":"a"}\n{"text":"b"}\n{"text":3}\n{"text":"d"}\n', LINES, /^Message 3 .*text: expected a string/],
    ['{"text":"a"}\n\n{"text":"b"}\n{"nope":3}\n', LINES, /^Message 3 .*nope/],
    ['{"text":"a"}\n{"text":"b"}\n{"text', LINES, /^Message 3 .*not valid JSON/],
    ['{"text":"a"}\n{"text":"b"}\n{} {}\n', LINES, /^Message 3 .*not valid JSON/],
    ['{"text":"a"}\n{"text":"b"}\n[]\n', LINES, /^Message 3 /],
    ['[{"text":"a"},{"text":"b"},7]', JSON_TYPE, /^Message 3 /],
    ['[{"text":"a"},{"text":"b"} {"text":"c"}]', JSON_TYPE, /^Message 3 of the request: .*',' or '\]'/],
    ['[{"text":"a"},{"text":"b"},]', JSON_TYPE, /^Message 3 of the request: .*lacks a message/],
    ['[{"text":"a"},{"text":"b"}', JSON_TYPE, /^Message 3 of the request: .*ends before its array/],
    ['[{"text":"a"},{"text":"b"}]{}', JSON_TYPE, /^Message 3 of the request: .*goes on after its array/],
    ['{"text":"a"}{"text":"b"},', JSON_TYPE, /^Message 3 /],
    [Buffer.concat([Buffer.from('{"text":"a"}\n{"text":"b"}\n{"text":"'), Buffer.of(0xc3, 0x28), Buffer.from('"}\n{}\n')]), LINES, /^Message 3 of the request: .*UTF-8/],
    [Buffer.concat([Buffer.from('[{"text":"a"},{"text":"b"},{"text":"'), Buffer.of(0xff), Buffer.from('"}]')]), JSON_TYPE, /^Message 3 of the request: .*UTF-8/]
  ]
  for (const version of VERSIONS) {
    for (const [body, headers, detail] of wrong) {
      const watch = watching()
      const { open } = await serveOver(t, version, { services: [watch.service] })
      const name = `${version}: ${Buffer.from(body).toString()}`
      t.match(await send(open, CLIENT_STREAM, body, headers), { status: 400, json: { status: 400, title: 'INVALID_ARGUMENT', code: 3, detail } }, name)
      const reply = await send(open, BIDI, body, headers)
      t.match([reply.status, linesOf(reply)], [200, [{ text: 'a!' }, { text: 'b!' }, { error: { status: 400, title: 'INVALID_ARGUMENT', detail } }]], `${name} (bidirectional)`)
      await until(() => watch.ends.length === 2, 'the ends of both handlers')
      t.strictSame(watch.seen, ['a', 'b', 'a', 'b'])
      t.ok(watch.ends.every(end => end instanceof GrpcError), 'both iterations were rejected')
      t.ok(watch.signals.every(({ aborted }) => aborted), 'both signals have aborted')
    }
  }
})

t.test('a grpc-js handler hears of a message that is wrong as of a cancellation, and of no end', async t => {
  const heard: string[] = []
  const listen = (call: Reading | Duplex): void => {
    for (const event of ['data', 'end', 'cancelled', 'close']) call.on(event, () => heard.push(event))
    contextOf(call).signal.addEventListener('abort', () => heard.push('abort'))
  }
  class KindsService {
    static addToServer (_instance: KindsService, server: ServiceRegistrar): void {
      server.addService(Kinds, { ClientStream: listen, Bidi: listen } as never)
    }
  }
  const { open } = await serveOver(t, 'HTTP/1.1', { services: [KindsService] })
  for (const path of ['clientstream', 'bidi']) {
    heard.length = 0
    t.match(await send(open, `/grpc/kindsservice/${path}`, '{"text":"a"}\n{"text":1}\n'), { status: 400, json: { detail: /^Message 2 / } })
    await until(() => heard.includes('close'), 'the close')
    t.strictSame(heard.toSorted(), ['abort', 'cancelled', 'close', 'data'], path)
  }
})

for (const version of VERSIONS) {
  t.test(`over ${version} a client is slowed down by a handler that does not read, and goes on when it does`, async t => {
    let release = (): void => {}
    const released = new Promise<void>(resolve => { release = resolve })
    const service = implement(Kinds, {
      async ClientStream (notes) {
        let n = 0
        for await (const note of notes) {
          if (note.text !== '' && ++n === 3) await released
        }
        return { text: String(n) }
      }
    })
    const { open } = await serveOver(t, version, { services: [service] })
    const exchange = open(CLIENT_STREAM)
    const line = `{"text":"${'a'.repeat(65_000)}"}\n`
    const total = 640
    let written = 0
    let full = false
    // As a client that heeds what write returns.
    const feed = setInterval(() => {
      while (written < total && exchange.sent > (written - 4) * line.length) {
        full = !exchange.write(line) || full
        written++
      }
    }, 1)
    t.teardown(() => clearInterval(feed))
    let [last, still] = [-1, 0]
    await until(() => {
      still = exchange.sent === last ? still + 1 : 0
      last = exchange.sent
      return still === 60
    }, 'the client to be stopped')
    t.ok(full, 'write has returned false')
    t.ok(exchange.sent > 0 && exchange.sent < total * line.length / 2, `${exchange.sent} bytes were taken`)
    t.notOk(exchange.over)
    release()
    await until(() => written === total, 'the rest')
    exchange.end()
    await until(() => exchange.over, 'the answer')
    t.match(exchange, { status: 200, text: `{"text":"${total}"}` })
  })
}

t.test('a handler that stops reading has its answer sent, and the endless upload ended', async t => {
  const service = implement(Kinds, {
    async ClientStream (notes) {
      let n = 0
      for await (const note of notes) if (++n === 100) return { text: note.text }
      return {}
    },
    async * Bidi (notes) {
      let n = 0
      for await (const note of notes) if (++n === 100) return yield { text: note.text }
    }
  })
  await Promise.all(VERSIONS.flatMap(version => [CLIENT_STREAM, BIDI].map(async path => {
    const { open } = await serveOver(t, version, { services: [service] })
    const exchange = open(path)
    const feed = setInterval(() => { if (!exchange.closed) exchange.write('{"text":"a"}\n'.repeat(50)) }, 2)
    t.teardown(() => clearInterval(feed))
    await until(() => exchange.over, 'the answer')
    t.match([exchange.status, linesOf(exchange), exchange.error], [200, [{ text: 'a' }], undefined], `${version} ${path}`)
    await until(() => exchange.closed, 'the end of the upload', 20_000)
    clearInterval(feed)
    if (version === 'HTTP/2') t.equal(exchange.rstCode, constants.NGHTTP2_NO_ERROR)
  })))
})

/** Answers before it has read anything. */
const hasty = implement(Kinds, {
  ClientStream: async () => ({ text: 'a' }),
  async * Bidi () { yield { text: 'a' } }
})

/** Sends messages, without end. */
function upload (t: Test, open: Open, path: string, headers?: Record<string, string>): Exchange {
  const exchange = open(path, headers)
  const feed = setInterval(() => {
    if (exchange.closed) clearInterval(feed)
    else exchange.write('{"text":"a"}\n'.repeat(50))
  }, 2)
  t.teardown(() => clearInterval(feed))
  return exchange
}

t.test('an endless upload that is refused is ended by the server', async t => {
  const refusals: Array<[path: string, headers: Record<string, string>, status: number]> = [
    [BIDI, { ...LINES, accept: 'image/png' }, 406],
    [CLIENT_STREAM, { ...LINES, 'grpc-timeout': 'x' }, 400],
    [BIDI, { ...LINES, 'grpc-timeout': 'x' }, 400],
    [CLIENT_STREAM, { 'content-type': 'text/plain' }, 415],
    [BIDI, { 'content-type': 'text/plain' }, 415]
  ]
  await Promise.all(VERSIONS.map(async version => {
    const { open } = await serveOver(t, version, { services: [hasty] })
    await Promise.all(refusals.map(async ([path, headers, status]) => {
      const exchange = upload(t, open, path, headers)
      const name = `${version} ${path} ${JSON.stringify(headers)}`
      await until(() => exchange.over, `the answer to ${name}`)
      t.match([exchange.status, linesOf(exchange), exchange.error], [status, [{ status }], undefined], name)
      await until(() => exchange.closed, `the end of ${name}`, 20_000)
      if (version === 'HTTP/2') t.equal(exchange.rstCode, constants.NGHTTP2_NO_ERROR)
    }))
  }))
})

t.test('a gateway and its app close although clients that have their answer go on with their uploads', async t => {
  await Promise.all(VERSIONS.map(async version => {
    // Without forceCloseConnections.
    const app = version === 'HTTP/2' ? Fastify({ http2: true }) as unknown as FastifyInstance : Fastify()
    const { open, gateway } = await serveOver(t, version, { services: [hasty] }, app)
    const exchanges = [upload(t, open, CLIENT_STREAM), upload(t, open, BIDI), upload(t, open, BIDI, { 'content-type': 'text/plain' })]
    await until(() => exchanges.every(({ over }) => over), 'the answers')
    t.strictSame(exchanges.map(({ status }) => status), [200, 200, 415], version)
    let closed = false
    const closing = Promise.all([app.close(), gateway.shutdown({ graceMs: 50 })]).then(() => { closed = true })
    // Sooner than the patience that clients are shown otherwise.
    await until(() => closed, `the end over ${version}`, 4000)
    await closing
    await until(() => exchanges.every(exchange => exchange.closed), 'the ends of the uploads')
  }))
})

/** Ways for a client to go away in the middle of an upload, after a message and a part of the next that looks whole. */
const begun = '{"text":"a"}\n{"text":"b"}'
const departures: Record<string, (t: Test, served: Opened, path: string, whenSeen: () => Promise<void>) => Promise<void>> = {
  async 'HTTP/1.1, the connection is destroyed' (_t, { open }, path, whenSeen) {
    const exchange = open(path)
    exchange.write(begun)
    await whenSeen()
    exchange.destroy()
  },
  async 'HTTP/1.1, the connection ends short of its Content-Length' (t, { url }, path, whenSeen) {
    const socket = connectTcp(Number(new URL(url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: ${begun.length + 1}\r\n\r\n${begun}`)
    await whenSeen()
    socket.end()
  },
  async 'HTTP/1.1, a generator of the client throws' (t, { url }, path, whenSeen) {
    const agent = new Agent()
    t.teardown(() => agent.destroy())
    const request = requestHttp1(url + path, { method: 'POST', headers: LINES, agent })
    pipeline(Readable.from((async function * () {
      yield begun
      await whenSeen()
      throw new Error('of the client')
    })()), request, () => {})
    await new Promise(resolve => request.on('close', resolve))
  },
  async 'HTTP/1.1, a generator given to fetch throws' (_t, { url }, path, whenSeen) {
    const body = (async function * () {
      yield Buffer.from(begun)
      await whenSeen()
      throw new Error('of the client')
    })()
    const reply = fetch(url + path, { method: 'POST', headers: LINES, body: body as never, duplex: 'half' } as RequestInit)
    await reply.then(response => response.text()).catch(() => {})
  },
  'HTTP/2, the stream is cancelled': (t, served, path, whenSeen) => resetStream(t, served, path, whenSeen, constants.NGHTTP2_CANCEL),
  'HTTP/2, the stream is closed without error': (t, served, path, whenSeen) => resetStream(t, served, path, whenSeen, constants.NGHTTP2_NO_ERROR),
  async 'HTTP/2, the connection is destroyed' (t, { url }, path, whenSeen) {
    const session = connectHttp2(url)
    t.teardown(() => session.destroy())
    const stream = session.request({ ...LINES, ':method': 'POST', ':path': path })
    stream.on('error', () => {})
    stream.write(begun)
    await whenSeen()
    session.destroy()
  }
}

/** By frames of its own, because Node.js's client ends a stream before it resets it. */
async function resetStream (t: Test, { url }: Opened, path: string, whenSeen: () => Promise<void>, code: number): Promise<void> {
  const [DATA, RST_STREAM] = [0, 3]
  const socket = connectTcp(Number(new URL(url).port), '127.0.0.1').on('error', () => {}).resume()
  t.teardown(() => socket.destroy())
  socket.write(Buffer.concat([http2Post(path, LINES, false), frame(DATA, 0, 1, Buffer.from(begun))]))
  await whenSeen()
  socket.write(frame(RST_STREAM, 0, 1, Buffer.of(0, 0, 0, code)))
}

for (const [name, leave] of Object.entries(departures)) {
  t.test(`a client that goes away in the middle aborts its call: ${name}`, async t => {
    for (const path of [CLIENT_STREAM, BIDI]) {
      const watch = watching()
      const served = await serveOver(t, name.startsWith('HTTP/2') ? 'HTTP/2' : 'HTTP/1.1', { services: [watch.service], logger: recordingLogger() })
      await leave(t, served, path, () => until(() => watch.seen.length === 1, 'the first message'))
      await until(() => watch.ends.length === 1, 'the end of the handler')
      t.match([watch.seen, watch.ends, watch.signals], [['a'], [{ code: codes.CANCELLED }], [{ aborted: true }]], path)
    }
  })
}

t.test('a client that goes away while messages of it are unread aborts its call', async t => {
  const three = '{"text":"a"}\n{"text":"b"}\n{"text":"c"}\n'
  const raw = (leave: (socket: ReturnType<typeof connectTcp>) => unknown): typeof departures[string] => async (t, { url }, path, whenBusy) => {
    const socket = connectTcp(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
    t.teardown(() => socket.destroy())
    socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n${three.length.toString(16)}\r\n${three}\r\n`)
    await whenBusy()
    leave(socket)
  }
  const leaves: Record<string, [Version, typeof departures[string]]> = {
    'HTTP/1.1, FIN': ['HTTP/1.1', raw(socket => socket.end())],
    'HTTP/1.1, RST': ['HTTP/1.1', raw(socket => socket.resetAndDestroy())],
    'HTTP/2, the stream is cancelled': ['HTTP/2', async (_t, { open }, path, whenBusy) => {
      const exchange = open(path)
      exchange.write(three)
      await whenBusy()
      exchange.destroy()
    }],
    'HTTP/2, the connection is destroyed': ['HTTP/2', async (t, { url }, path, whenBusy) => {
      const session = connectHttp2(url)
      t.teardown(() => session.destroy())
      session.request({ ...LINES, ':method': 'POST', ':path': path }).on('error', () => {}).write(three)
      await whenBusy()
      session.destroy()
    }]
  }
  await Promise.all(Object.entries(leaves).flatMap(([name, [version, leave]]) => [0, 1].flatMap(count => [CLIENT_STREAM, BIDI].map(async path => {
    const signals: AbortSignal[] = []
    const busy = async (notes: Notes, { signal }: CallContext): Promise<void> => {
      if (count === 1) await notes[Symbol.asyncIterator]().next()
      signals.push(signal)
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
    const service = implement(Kinds, {
      async ClientStream (notes, context) {
        await busy(notes, context)
        return {}
      },
      async * Bidi (notes, context) { await busy(notes, context) }
    })
    const served = await serveOver(t, version, { services: [service], logger: recordingLogger() })
    await leave(t, served, path, async () => {
      await until(() => signals.length === 1, 'the handler')
      await sleep(50)
      t.notOk(signals[0]!.aborted)
    })
    const what = `${name}, ${path}, ${count} read`
    await until(() => signals[0]!.aborted, `the end of ${what}`)
    t.match(signals[0]!.reason, { code: codes.CANCELLED }, what)
  }))))
})

t.test('a preParsing hook may inflate an upload, and what it cannot inflate is 400', async t => {
  const app = Fastify()
  app.addHook('preParsing', async (request, _reply, payload) => {
    if (request.headers['content-encoding'] !== 'gzip') return payload
    delete request.headers['content-encoding']
    return payload.pipe(createGunzip())
  })
  const watch = watching()
  const { open } = await serveOver(t, 'HTTP/1.1', { services: [watch.service] }, app)
  const zipped = gzipSync(Buffer.from('{"text":"a"}\n{"text":"b"}\n'.repeat(1000)))
  const headers = { ...LINES, 'content-encoding': 'gzip' }
  t.match(await send(open, CLIENT_STREAM, zipped, headers), { status: 200, json: { text: 'ab'.repeat(1000) } })
  t.match(await send(open, CLIENT_STREAM, 'no gzip', headers), { status: 400 })
  t.match(await send(open, CLIENT_STREAM, zipped.subarray(0, -10), headers), { status: 400 }, 'cut off')
})

t.test('what a preParsing hook cannot inflate is 400 also when the handler reads it late, and harms none that never does', async t => {
  const read = async function * (notes: Notes): AsyncGenerator<Note> {
    await sleep(100)
    yield * notes
  }
  const handlers: Record<string, { service: object, status: number }> = {
    'reads late': {
      service: implement(Kinds, {
        async ClientStream (notes) {
          let text = ''
          for await (const note of read(notes)) text += note.text
          return { text }
        },
        Bidi: read
      }),
      status: 400
    },
    'never reads': {
      service: implement(Kinds, {
        async ClientStream () {
          await sleep(100)
          return {}
        },
        async * Bidi () {
          await sleep(100)
          yield {}
        }
      }),
      status: 200
    }
  }
  const before = uncaught.length
  await Promise.all(Object.entries(handlers).flatMap(([name, { service, status }]) => VERSIONS.map(async version => {
    const app = version === 'HTTP/2' ? Fastify({ http2: true }) as unknown as FastifyInstance : Fastify()
    app.addHook('preParsing', async (request, _reply, payload) => {
      delete request.headers['content-encoding']
      return payload.pipe(createGunzip())
    })
    const { open } = await serveOver(t, version, { services: [service] }, app)
    for (const path of [CLIENT_STREAM, BIDI]) {
      const { status: actual, json } = await send(open, path, 'no gzip', { ...LINES, 'content-encoding': 'gzip' })
      t.match([actual, json], [status, status === 200 ? {} : { code: codes.INVALID_ARGUMENT, detail: /header/ }], `${name}, ${version}, ${path}`)
    }
  })))
  t.strictSame(uncaught.slice(before).map(String), [])
})

t.test('a deadline that passes during an upload is 504, and a shutdown 503', async t => {
  for (const version of VERSIONS) {
    for (const path of [CLIENT_STREAM, BIDI]) {
      const watch = watching()
      const { open, gateway } = await serveOver(t, version, { services: [watch.service] })
      const late = open(path, { ...LINES, 'grpc-timeout': '50m' })
      late.write('{"te')
      await until(() => late.over, 'the deadline')
      t.match([late.status, linesOf(late)], [504, [{ title: 'DEADLINE_EXCEEDED', code: codes.DEADLINE_EXCEEDED }]], `${version} ${path}`)

      const stopped = open(path)
      stopped.write('{"te')
      await until(() => watch.signals.length === 2, 'the call')
      await gateway.shutdown({ graceMs: 50 })
      await until(() => stopped.over, 'the answer')
      t.match([stopped.status, linesOf(stopped)], [503, [{ title: 'UNAVAILABLE', code: codes.UNAVAILABLE }]], `${version} ${path}`)
      await until(() => watch.ends.length === 2, 'the ends of both handlers')
      t.match([watch.ends, watch.signals], [[{ code: codes.DEADLINE_EXCEEDED }, { code: codes.UNAVAILABLE }], [{ aborted: true }, { aborted: true }]])
    }
  }
})

t.test('interceptors see every message of an upload, and its end', async t => {
  const events: string[] = []
  const intercept: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call, {
    start: next => next(new ServerListenerBuilder()
      .withOnReceiveMessage((note: Note, forward) => { events.push(note.text); forward({ ...note, text: note.text.toUpperCase() }) })
      .withOnReceiveHalfClose(forward => { events.push('end'); forward() })
      .build())
  })
  for (const [path, answer] of [[CLIENT_STREAM, '{"text":"ABC"}'], [BIDI, '{"text":"A!"}\n{"text":"B!"}\n{"text":"C!"}\n']] as const) {
    events.length = 0
    const { open } = await serveOver(t, 'HTTP/1.1', { services: [watching().service], interceptors: [intercept] })
    t.equal((await send(open, path, '[{"text":"a"},{"text":"b"},{"text":"c"}]', JSON_TYPE)).text, answer)
    t.strictSame(events, ['a', 'b', 'c', 'end'])
  }
})

t.test('nothing was thrown where nobody could catch it, also by timers that outlast their requests', async t => {
  t.strictSame(uncaught.map(String), [])
})
