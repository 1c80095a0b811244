/** What tests serve with and call with: real sockets on free ports, closed when the test ends. */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { makeClientConstructor, credentials as grpcCredentials, Metadata, status as codes, type ChannelCredentials, type Client, type ClientDuplexStream, type ServiceDefinition, type ServiceError, type StatusObject } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { GrpcGateway, loadProto, registerGrpcHttpRoutes, type CallContext, type GatewayOptions, type Logger, type UnaryMethod, type ServerStreamingMethod, type ClientStreamingMethod, type BidiStreamingMethod } from '../src/index.ts'

export interface Note { text: string, n: string, notes: Note[] }

export interface KindsDefinition {
  Unary: UnaryMethod<Note, Partial<Note>>
  ServerStream: ServerStreamingMethod<Note, Partial<Note>>
  ClientStream: ClientStreamingMethod<Note, Partial<Note>>
  Bidi: BidiStreamingMethod<Note, Partial<Note>>
}

interface TestServices {
  Greeter: { SayHello: UnaryMethod<{ name: string }, { message: string }> }
  Kinds: KindsDefinition
}

export const protoFile = new URL('fixtures/test.proto', import.meta.url)
export const { Greeter, Kinds } = loadProto<TestServices>(protoFile)

export const KINDS = ['Unary', 'ServerStream', 'ClientStream', 'Bidi'] as const
export type Kind = typeof KINDS[number]

/** A gateway with its HTTP routes on an app, both listening. */
export interface Served {
  gateway: GrpcGateway
  app: FastifyInstance
  url: string
  /** A grpc-js client of a definition. */
  client (definition: object, credentials?: ChannelCredentials): TestClient
  /** POSTs JSON; `undefined` for no body. */
  post (path: string, body?: unknown, headers?: Record<string, string>): Promise<HttpReply>
  request (path: string, init?: RequestInit): Promise<HttpReply>
}

export interface HttpReply {
  status: number
  headers: Headers
  text: string

  json: any
}

export interface ServeOptions {
  basePath?: string
  app?: FastifyInstance
}

export async function serve (t: Test, options: GatewayOptions, { basePath = '', app = Fastify() }: ServeOptions = {}): Promise<Served> {
  const gateway = new GrpcGateway({ port: 0, ...options })
  registerGrpcHttpRoutes(app, [gateway], { basePath })
  await gateway.startup()
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const clients: Client[] = []
  t.teardown(async () => {
    for (const client of clients) client.close()
    await gateway.shutdown({ graceMs: 100 })
    await app.close()
  })
  const request = (path: string, init?: RequestInit): Promise<HttpReply> => fetchReply(url + path, init)
  return {
    gateway,
    app,
    url,
    request,
    client (definition, credentials) {
      const client = grpcClient(definition, gateway.address, credentials)
      clients.push(client.raw)
      return client
    },
    post: (path, body, headers) => request(path, {
      method: 'POST',
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }
    })
  }
}

export async function fetchReply (url: string, init?: RequestInit): Promise<HttpReply> {
  const response = await fetch(url, init)
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: parsed(text) }
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What became of a call over gRPC. */
export interface Outcome {
  messages: unknown[]
  code: number
  details: string
  /** Initial metadata. */
  metadata: Metadata
  trailers: Metadata
}

export interface CallOptions {
  metadata?: Metadata
  deadline?: Date | number
  signal?: AbortSignal
}

export interface TestClient {
  raw: Client
  /** Calls any kind of method with some request messages, and waits for its end. */
  call (method: string, requests: object | object[], options?: CallOptions): Promise<Outcome>
}

type Callback = (error: ServiceError | null, value?: unknown) => void

export function grpcClient (definition: object, address: string, credentials: ChannelCredentials = grpcCredentials.createInsecure()): TestClient {
  const raw = new (makeClientConstructor(definition as ServiceDefinition, 'Test'))(address, credentials)
  return {
    raw,
    async call (method, requests, { metadata = new Metadata(), signal, ...options } = {}) {
      const { requestStream, responseStream } = (definition as ServiceDefinition)[method]!
      const outcome: Outcome = { messages: [], code: -1, details: '', metadata: new Metadata(), trailers: new Metadata() }
      const start = (raw as unknown as Record<string, (...args: unknown[]) => ClientDuplexStream<unknown, unknown>>)[method]!.bind(raw)
      const inputs = Array.isArray(requests) ? requests : [requests]
      await new Promise<void>(resolve => {
        const callback: Callback = (error, value) => { if (error === null) outcome.messages.push(value) }
        const args = [...requestStream ? [] : [inputs[0]], metadata, options, ...responseStream ? [] : [callback]]
        const call = start(...args)
        signal?.addEventListener('abort', () => call.cancel())
        call.on('metadata', received => { outcome.metadata = received })
        call.on('status', ({ code, details, metadata: trailers }: StatusObject) => {
          Object.assign(outcome, { code, details, trailers })
          setImmediate(resolve)
        })
        if (responseStream) {
          call.on('data', message => outcome.messages.push(message))
          call.on('error', () => {})
        }
        if (requestStream) {
          for (const input of inputs) call.write(input)
          call.end()
        }
      })
      return outcome
    }
  }
}

/**
 * Calls any kind of method over HTTP, with the outcome of a gRPC call: requests and responses that stream are NDJSON.
 * Fields are named as in JSON.
 *
 * @param requests an async iterable that throws destroys the connection
 */
export async function callOverHttp (url: string, { requestStream, responseStream }: MethodStreams, requests: object | object[] | AsyncIterable<object>, { headers = {}, signal }: HttpCallOptions = {}): Promise<Outcome> {
  const request = httpRequest(url, {
    method: 'POST',
    headers: { te: 'trailers', 'content-type': requestStream ? 'application/x-ndjson' : 'application/json', ...headers },
    ...(signal === undefined ? {} : { signal })
  })
  const failure = new Promise<Outcome>(resolve => request.once('error', error => resolve(failed(codes.CANCELLED, error.message))))
  const outcome = new Promise<Outcome>(resolve => request.once('response', response => { resolve(outcomeOf(response, responseStream)) }))
  sendLines(request, Array.isArray(requests) || Symbol.asyncIterator in requests ? requests : [requests])
  return await Promise.race([failure, outcome])
}

export interface MethodStreams { requestStream: boolean, responseStream: boolean }

export interface HttpCallOptions { headers?: Record<string, string>, signal?: AbortSignal }

async function sendLines (request: ClientRequest, messages: Iterable<object> | AsyncIterable<object>): Promise<void> {
  try {
    for await (const message of messages) request.write(`${JSON.stringify(message)}\n`)
    request.end()
  } catch (error) {
    request.destroy(error as Error)
  }
}

function failed (code: number, details: string): Outcome {
  return { messages: [], code, details, metadata: new Metadata(), trailers: new Metadata() }
}

async function outcomeOf (response: IncomingMessage, isStream: boolean): Promise<Outcome> {
  const outcome = failed(codes.OK, 'OK')
  let text = ''
  try {
    for await (const chunk of response.setEncoding('utf8')) text += chunk
  } catch (error) {
    return failed(codes.CANCELLED, (error as Error).message)
  }
  for (const [name, value] of Object.entries({ ...response.headers, ...response.trailers })) {
    const { key } = /^grpc-trailer-(?<key>.+)$/.exec(name)?.groups ?? {}
    if (key === undefined) outcome.metadata.set(name, String(value))
    else outcome.trailers.set(key, String(value))
  }
  if (response.statusCode !== 200) return { ...outcome, ...statusOf(JSON.parse(text)) }
  if (!isStream) return { ...outcome, messages: [JSON.parse(text)] }
  const lines = text.split('\n').slice(0, -1).map(line => JSON.parse(line))
  const { error } = lines.at(-1) ?? {}
  return error === undefined ? { ...outcome, messages: lines } : { ...outcome, messages: lines.slice(0, -1), ...statusOf(error) }
}

function statusOf ({ code, detail }: { code: number, detail: string }): Pick<Outcome, 'code' | 'details'> {
  return { code, details: detail }
}

/** A logger that keeps what it is told. */
export interface LogLine { level: string, message: string, fields: Record<string, unknown> }

export function recordingLogger (): Logger & { lines: LogLine[] } {
  const lines: LogLine[] = []
  const at = (bound: object): Logger & { lines: LogLine[] } => ({
    lines,
    debug: (fields, message) => { lines.push({ level: 'debug', message, fields: { ...bound, ...fields } }) },
    info: (fields, message) => { lines.push({ level: 'info', message, fields: { ...bound, ...fields } }) },
    warn: (fields, message) => { lines.push({ level: 'warn', message, fields: { ...bound, ...fields } }) },
    error: (fields, message) => { lines.push({ level: 'error', message, fields: { ...bound, ...fields } }) },
    child: fields => at({ ...bound, ...fields })
  })
  return at({})
}

/** Resolves when `condition` holds; fails the test when that takes longer than `ms`. */
export async function until (condition: () => boolean | Promise<boolean>, what: string, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain for ${what}`)
    await sleep(5)
  }
}

export function sleep (ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

export type { CallContext }
