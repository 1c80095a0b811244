/** The answer with a response message: through Fastify, or straight to Node.js where no hook would see the difference. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { requestIdOf } from './request-id.ts'

/** Fastify would add the charset by itself, with more work. */
const JSON_TYPE = 'application/json; charset=utf-8'

const OWN_HEADERS: ReadonlySet<string> = new Set(['content-type', 'content-length', 'x-request-id'])

export function sendMessage (json: string, request: FastifyRequest, reply: FastifyReply): void {
  const id = requestIdOf(request)
  if (!isUnobserved(request, reply)) {
    reply.header('x-request-id', id).header('content-type', JSON_TYPE).send(json)
    return
  }
  const headers = ['content-type', JSON_TYPE, 'content-length', String(Buffer.byteLength(json)), 'x-request-id', id]
  const given = reply.getHeaders()
  for (const name in given) if (!OWN_HEADERS.has(name)) headers.push(name, given[name] as string)
  reply.hijack()
  reply.raw.writeHead(reply.raw.statusCode, headers)
  reply.raw.end(json)
}

/** What Fastify knows of a route, as far as it matters here. */
interface RouteContext {
  readonly onSend: unknown
  readonly preSerialization: unknown
}

interface Symbols {
  readonly context: symbol
  readonly trailers: symbol
  readonly serializer: symbol
}

type Observed = Readonly<Record<symbol, unknown>>

/**
 * Fastify keeps these under symbols of its own, which it does not export. Where it should name them otherwise one day,
 * every answer goes through it.
 */
let symbols: Symbols | null | undefined

function isUnobserved (request: FastifyRequest, reply: FastifyReply): boolean {
  if (request.raw.httpVersionMajor >= 2) return false
  symbols = symbols === undefined ? findSymbols(request, reply) : symbols
  const found = symbols
  if (found === null) return false
  const context = (request as unknown as Observed)[found.context] as RouteContext | undefined
  return context?.onSend === null && context.preSerialization === null &&
    (reply as unknown as Observed)[found.trailers] === null && (reply as unknown as Observed)[found.serializer] === null
}

function findSymbols (request: FastifyRequest, reply: FastifyReply): Symbols | null {
  const context = symbolOf(request, 'fastify.context')
  const trailers = symbolOf(reply, 'fastify.reply.trailers')
  const serializer = symbolOf(reply, 'fastify.reply.serializer')
  return context === undefined || trailers === undefined || serializer === undefined ? null : { context, trailers, serializer }
}

function symbolOf (object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find(symbol => symbol.description === description)
}
