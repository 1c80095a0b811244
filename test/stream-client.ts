/** What tests of response streams have in common: the forms, read strictly, and clients over HTTP/1.1 and HTTP/2. */
import { Agent, request as http1, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import { connect as http2 } from 'node:http2'
import type { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { GatewayOptions } from '../src/index.ts'
import { recordingLogger, serve, type Kind, type LogLine, type Note, type Served } from './serving.ts'

export type Source = GatewayOptions['services'][number]

export interface ErrorObject { status: number, title: string, detail: string, code: number }

/** What an error has to match. */
export type Expected = Partial<Record<keyof ErrorObject, unknown>> & { code: number, title: string }

export interface Parsed { messages: Note[], error?: ErrorObject | undefined, end?: { code: number, status: string, trailers: object }, ids?: number[] }

export interface Form {
  accept: string
  contentType: string
  envelope?: true
  /** Whether an error cuts the response off, because the form has no place for it. */
  cuts?: true
  /** Throws when the text has not the form, down to the last byte. */
  parse (text: string): Parsed
}

const isEnvelope = (value: object): boolean => Object.keys(value).join() === 'result'

/** Elements that are messages, and maybe an error as the last one. */
function unwrapped (elements: any[], envelope: boolean): Parsed {
  const error: ErrorObject | undefined = elements.at(-1)?.error
  const messages = error === undefined ? elements : elements.slice(0, -1)
  if (envelope && !messages.every(isEnvelope)) throw new Error('A message without envelope')
  return { messages: envelope ? messages.map(({ result }) => result) : messages, error }
}

function parseLines (text: string, envelope = false): Parsed {
  const lines = text.split('\n')
  if (lines.pop() !== '') throw new Error('The last line has no end')
  return unwrapped(lines.map(line => JSON.parse(line)), envelope)
}

function parseEvents (text: string): Parsed {
  const blocks = text.split('\n\n')
  if (blocks.pop() !== '') throw new Error('The last event has no end')
  const parsed: Parsed = { messages: [], ids: [] }
  for (const block of blocks) {
    const match = /^(?:id: (\d+)|event: (error|end))\ndata: ([^\r\n]*)$|^:$/.exec(block)
    if (match === null || parsed.end !== undefined) throw new Error(`No event of ours: ${JSON.stringify(block)}`)
    const [, id, event, data] = match
    if (data === undefined) continue
    const value = JSON.parse(data)
    if (event !== undefined) parsed[event as 'error' | 'end'] = value
    else if (parsed.error !== undefined) throw new Error('A message after the error')
    else parsed.ids!.push(Number(id)) && parsed.messages.push(value)
  }
  return parsed
}

export const forms: Record<string, Form> = {
  NDJSON: { accept: 'application/x-ndjson', contentType: 'application/x-ndjson', parse: parseLines },
  jsonl: { accept: 'application/jsonl', contentType: 'application/jsonl', parse: parseLines },
  'server-sent events': { accept: 'text/event-stream', contentType: 'text/event-stream; charset=utf-8', parse: parseEvents },
  'JSON array': { accept: 'application/json', contentType: 'application/json; charset=utf-8', cuts: true, parse: text => unwrapped(JSON.parse(text), false) },
  'NDJSON in envelopes': { accept: 'application/x-ndjson', contentType: 'application/x-ndjson', envelope: true, parse: text => parseLines(text, true) },
  'JSON array in envelopes': { accept: 'application/json', contentType: 'application/json; charset=utf-8', envelope: true, parse: text => unwrapped(JSON.parse(text), true) }
}

export const protocols = {
  'HTTP/1.1': () => Fastify(),
  'HTTP/2': () => Fastify({ http2: true }) as unknown as FastifyInstance
}
export type Protocol = keyof typeof protocols
export const PROTOCOLS = Object.keys(protocols) as Protocol[]

/** Each form over each protocol. */
export const everywhere = Object.entries(forms).flatMap(([name, form]) => PROTOCOLS.map(protocol => ({ name: `${name} over ${protocol}`, form, protocol })))

export interface Ask {
  rpc?: Kind
  method?: string
  /** After the path. */
  query?: string
  /** One message, or an NDJSON text. */
  body?: object | string
  /** Leave the request without end. */
  open?: boolean
  /** Stay connected after the response, until `leave`. */
  stay?: boolean
  headers?: OutgoingHttpHeaders
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Readable
  trailers (): Record<string, unknown>
}

export interface Asked {
  answer: Promise<Answer>
  leave (): void
}

interface Text { text: string, /** Whether the response came to no proper end. */ isCut: boolean }

export type Whole = Answer & Text

export interface Streams extends Served {
  lines: LogLine[]
  ask (ask?: Ask): Asked
  /** The whole response. */
  get (ask?: Ask): Promise<Whole>
}

export interface StreamsOptions extends Partial<GatewayOptions> { protocol?: Protocol | undefined, form?: Form, app?: FastifyInstance }

export async function serveStreams (t: Test, service: Source, { protocol = 'HTTP/1.1', form, app = protocols[protocol](), streams, ...options }: StreamsOptions = {}): Promise<Streams> {
  const logger = recordingLogger()
  const served = await serve(t, { services: [service], logger, streams: { envelope: form?.envelope ?? false, ...streams }, ...options }, { app })
  const ask = ({ rpc = 'ServerStream', query = '', method = 'POST', body, open = false, stay = false, headers = {} }: Ask = {}): Asked => {
    const start = protocol === 'HTTP/2' ? askHttp2 : askHttp1
    const type = typeof body === 'string' ? { 'content-type': 'application/x-ndjson' } : typeof body === 'object' ? { 'content-type': 'application/json' } : {}
    const [request, asked] = start(served.url, method, `/grpc/test.Kinds/${rpc}${query}`, { ...form === undefined ? {} : { accept: form.accept }, ...type, ...headers }, stay)
    if (body !== undefined) request.write(typeof body === 'string' ? body : JSON.stringify(body))
    if (!open) request.end()
    asked.answer.catch(() => {})
    return asked
  }
  return { ...served, lines: logger.lines, ask, get: async options => await whole(await ask(options).answer) }
}

type Start = (url: string, method: string, path: string, headers: OutgoingHttpHeaders, stay: boolean) => [request: { write (text: string): unknown, end (): unknown }, asked: Asked]

const askHttp1: Start = (url, method, path, headers, stay) => {
  const agent = stay && new Agent({ keepAlive: true })
  const request = http1(url + path, { method, headers, agent })
  const answer = new Promise<Answer>((resolve, reject) => {
    request.on('error', reject)
    request.on('response', body => resolve({ status: body.statusCode!, headers: body.headers, body, trailers: () => body.trailers }))
  })
  const leave = (): void => {
    request.destroy()
    if (agent !== false) agent.destroy()
  }
  return [request, { answer, leave }]
}

const askHttp2: Start = (url, method, path, headers, stay) => {
  const session = http2(url)
  const request = session.request({ ':method': method, ':path': path, ...headers }, { endStream: false })
  let trailers: Record<string, unknown> = {}
  request.on('trailers', received => { trailers = Object.fromEntries(Object.entries(received)) })
  if (!stay) request.on('close', () => session.close())
  const answer = new Promise<Answer>((resolve, reject) => {
    session.on('error', reject)
    request.on('error', reject)
    request.on('response', received => resolve({ status: received[':status']!, headers: received, body: request, trailers: () => trailers }))
  })
  const leave = (): void => {
    request.close(8)
    if (stay) session.destroy()
  }
  return [request, { answer, leave }]
}

export function collect ({ body }: Pick<Answer, 'body'>): { text: string, ended: boolean, closed: Promise<unknown> } {
  const collected = { text: '', ended: false, closed: new Promise(resolve => body.once('close', resolve)) }
  body.setEncoding('utf8')
  body.on('data', chunk => { collected.text += chunk })
  body.on('end', () => { collected.ended = true })
  body.on('error', () => {})
  return collected
}

export async function whole<T extends Pick<Answer, 'body'>> (answer: T): Promise<T & Text> {
  const collected = collect(answer)
  await collected.closed
  return { ...answer, text: collected.text, isCut: !collected.ended }
}

export const texts = ({ messages }: Parsed): string[] => messages.map(({ text }) => text)
export const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`)

/** Checks that a response has these messages and no more, and the end that its form has for a status. */
export function checkStream (t: Test, form: Form, { status: http, headers, text, isCut }: Whole, expected: string[], error?: Expected, cuts = form.cuts === true && error !== undefined): void {
  t.match([http, headers['content-type'], headers['x-accel-buffering']], [200, form.contentType, 'no'])
  t.equal(headers['cache-control'], form.accept === 'text/event-stream' ? 'no-store' : undefined)
  t.equal(isCut, cuts, cuts ? 'cut off' : 'ended in order')
  if (form.cuts === true && error !== undefined) t.throws(() => JSON.parse(text), 'no JSON')
  const parsed = form.parse(form.cuts === true && error !== undefined ? `${text}]` : text)
  t.equal(texts(parsed).join(), expected.join())
  if (form.cuts !== true) t.match(parsed.error ?? {}, error ?? {})
  if (error === undefined) t.equal(parsed.error, undefined)
  if (form.accept === 'text/event-stream') t.match(parsed.end, { code: error?.code ?? 0, status: error?.title ?? 'OK' })
}

/** A frame of HTTP/2, for what the client of Node.js does not do. */
export function frame (type: number, flags: number, stream: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0, payload.length >> 8, payload.length & 255, type, flags, 0, 0, 0, stream), payload])
}

/** What a connection of HTTP/2 begins with, and a POST on its stream 1. Windows are as large as can be. */
export function http2Post (path: string, headers: Record<string, string>, endsWithHeaders: boolean): Buffer {
  const [HEADERS, SETTINGS, WINDOW_UPDATE, END_HEADERS, END_STREAM, ACK] = [1, 4, 8, 4, 1, 1]
  const text = (value: string): Buffer => Buffer.concat([Buffer.of(value.length), Buffer.from(value)])
  const fields = { ':method': 'POST', ':scheme': 'http', ':authority': 'x', ':path': path, ...headers }
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0, Buffer.of(0, 4, 127, 255, 255, 255)), frame(SETTINGS, ACK, 0, Buffer.of()), frame(WINDOW_UPDATE, 0, 0, Buffer.of(127, 0, 0, 0)),
    frame(HEADERS, END_HEADERS | (endsWithHeaders ? END_STREAM : 0), 1, Buffer.concat(Object.entries(fields).map(([name, value]) => Buffer.concat([Buffer.of(0), text(name), text(value)]))))
  ])
}
