/** The answer with a response message: through Fastify, or straight to Node.js where no hook would see the difference. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { REQUEST_ID_KEY } from '../call/request-id.ts'

/** Fastify would add the charset by itself, with more work. */
const JSON_TYPE = 'application/json; charset=utf-8'

/** @returns the bytes of the message, where they had to be counted */
export function sendMessage (json: string, id: string, request: FastifyRequest, reply: FastifyReply): number | undefined {
  const headers = headersIfUnobserved(request, reply)
  if (headers === undefined) {
    reply.header(REQUEST_ID_KEY, id).header('content-type', JSON_TYPE).send(json)
    return undefined
  }
  // `onResponse` hooks and loggers look at them.
  headers[REQUEST_ID_KEY] = id
  headers['content-type'] = JSON_TYPE
  const bytes = Buffer.byteLength(json)
  headers['content-length'] = String(bytes)
  const list: string[] = []
  for (const name in headers) list.push(name, headers[name]!)
  reply.raw.writeHead(200, list)
  reply.hijack()
  reply.raw.end(json)
  return bytes
}

/** What Fastify knows of a route, as far as it matters here. */
interface RouteContext {
  readonly onSend: unknown
  readonly preSerialization: unknown
}

interface Symbols {
  readonly context: symbol
  readonly headers: symbol
  readonly trailers: symbol
  readonly serializer: symbol
}

type Observed = Readonly<Record<symbol, unknown>>

/**
 * Fastify keeps these under symbols of its own, which it does not export. Where it should name them otherwise one day,
 * every answer goes through it.
 */
let symbols: Symbols | null | undefined

/** The headers that hooks have set; undefined when the answer has to go through Fastify. */
function headersIfUnobserved (request: FastifyRequest, reply: FastifyReply): Record<string, string> | undefined {
  if (request.raw.httpVersionMajor >= 2 || reply.raw.statusCode !== 200) return undefined
  symbols = symbols === undefined ? findSymbols(request, reply) : symbols
  if (symbols === null) return undefined
  const context = (request as unknown as Observed)[symbols.context] as RouteContext
  const observed = reply as unknown as Observed
  const isUnobserved = context.onSend === null && context.preSerialization === null && observed[symbols.trailers] === null && observed[symbols.serializer] === null
  if (!isUnobserved || reply.raw.hasHeader('transfer-encoding')) return undefined
  const headers = observed[symbols.headers] as Record<string, string>
  return headers['transfer-encoding'] === undefined ? headers : undefined
}

function findSymbols (request: FastifyRequest, reply: FastifyReply): Symbols | null {
  const context = symbolOf(request, 'fastify.context')
  const headers = symbolOf(reply, 'fastify.reply.headers')
  const trailers = symbolOf(reply, 'fastify.reply.trailers')
  const serializer = symbolOf(reply, 'fastify.reply.serializer')
  return context === undefined || headers === undefined || trailers === undefined || serializer === undefined ? null : { context, headers, trailers, serializer }
}

function symbolOf (object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find(symbol => symbol.description === description)
}
