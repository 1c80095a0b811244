/** One call over gRPC, HTTP and a WebSocket alike, with the same credentials and one form of what becomes of it. */
import { request as http1, type IncomingMessage } from 'node:http'
import { request as https1, type RequestOptions } from 'node:https'
import websocket from '@fastify/websocket'
import { Metadata, type ChannelCredentials } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { status, type GatewayOptions } from '../src/index.ts'
import { Kinds, recordingLogger, serve, type Kind, type LogLine, type Note, type Served } from './serving.ts'

export const CALL_PROTOCOLS = ['grpc', 'http', 'websocket'] as const
export type CallProtocol = typeof CALL_PROTOCOLS[number]

/** Of a client that authenticates by a certificate. */
export interface ClientTls {
  credentials: ChannelCredentials
  /** For HTTPS. */
  options: RequestOptions
}

/** What became of a call, however its protocol says it. */
export interface Result {
  code: number
  details: string
  /** The first message; undefined when there was none. */
  message: Partial<Note> | undefined
  /** `www-authenticate`. Several are joined, as HTTP/2 clients may do. */
  challenge: string
  retryAfter: string | undefined
  /** Over HTTP, and of a WebSocket that was refused before the upgrade. */
  http: number | undefined
}

export type Headers = Record<string, string | string[]>

export interface CallOptions {
  rpc?: Kind
  headers?: Headers
  signal?: AbortSignal
  tls?: ClientTls
}

export interface Everywhere extends Served {
  lines: LogLine[]
  call (protocol: CallProtocol, options?: CallOptions): Promise<Result>
}

export async function serveEverywhere (t: Test, options: GatewayOptions, { app = Fastify(), prepare }: { app?: FastifyInstance, prepare?: (app: FastifyInstance) => unknown } = {}): Promise<Everywhere> {
  await app.register(websocket)
  await prepare?.(app)
  const logger = recordingLogger()
  const served = await serve(t, { logger, ...options }, { app })
  const call = async (protocol: CallProtocol, options: CallOptions = {}): Promise<Result> => await CALLS[protocol](t, served, options)
  return { ...served, lines: logger.lines, call }
}

const CALLS: Record<CallProtocol, (t: Test, served: Served, options: CallOptions) => Promise<Result>> = { grpc: callGrpc, http: callHttp, websocket: callWebSocket }

async function callGrpc (_t: Test, { client }: Served, { rpc = 'Unary', headers = {}, signal, tls }: CallOptions): Promise<Result> {
  const metadata = new Metadata()
  for (const [name, values] of Object.entries(headers)) for (const value of [values].flat()) metadata.add(name, value)
  const { code, details, messages, trailers } = await client(Kinds, tls?.credentials).call(rpc, [{ text: 'hi' }], { metadata, ...signal === undefined ? {} : { signal } })
  const [retryAfter] = trailers.get('retry-after')
  return { code, details, message: messages[0] as Note | undefined, challenge: trailers.get('www-authenticate').join(', '), retryAfter: retryAfter as string | undefined, http: undefined }
}

async function callHttp (_t: Test, { url }: Served, { rpc = 'Unary', headers = {}, signal, tls }: CallOptions): Promise<Result> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = (tls === undefined ? http1 : https1)(`${url}/grpc/test.Kinds/${rpc}`, { method: 'POST', agent: false, ...tls?.options, ...signal === undefined ? {} : { signal } }, resolve)
    for (const [name, value] of Object.entries({ 'content-type': 'application/json', ...headers })) request.setHeader(name, value)
    request.on('error', reject)
    request.end('{"text":"hi"}')
  })
  return await resultOf(response)
}

/** The first line, where there are several: what streams is NDJSON. */
async function resultOf (response: IncomingMessage): Promise<Result> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  const json = text === '' ? {} : JSON.parse(text.split('\n')[0]!)
  const isError = response.statusCode !== 200
  return {
    code: isError ? json.code : status.OK,
    details: isError ? json.detail : 'OK',
    message: isError ? undefined : json,
    challenge: (response.headersDistinct['www-authenticate'] ?? []).join(', '),
    retryAfter: response.headers['retry-after'],
    http: response.statusCode
  }
}

async function callWebSocket (t: Test, { url }: Served, { rpc = 'Unary', headers = {}, signal, tls }: CallOptions): Promise<Result> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/grpc/test.Kinds/${rpc}`, ['json'], { headers, ...tls?.options } as object)
  t.teardown(() => socket.terminate())
  signal?.addEventListener('abort', () => socket.terminate())
  const result: Result = { code: -1, details: '', message: undefined, challenge: '', retryAfter: undefined, http: undefined }
  return await new Promise((resolve, reject) => {
    socket.on('unexpected-response', (_request, response: IncomingMessage) => { resultOf(response).then(resolve, reject) })
    socket.on('error', error => { if (socket.readyState !== WebSocket.CLOSING) reject(error) })
    socket.on('open', () => {
      socket.send('{"text":"hi"}')
      if (rpc === 'ClientStream' || rpc === 'Bidi') socket.send(Buffer.alloc(0))
    })
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (!isBinary) result.message ??= JSON.parse(String(data))
    })
    socket.on('close', (code, reason) => resolve({ ...result, code: code === 1000 ? status.OK : code - 4000, details: String(reason) }))
  })
}
