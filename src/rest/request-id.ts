/** The id by which a request is known to its client, its handler and the log. */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { clientRequestId, harmless, madeRequestId, REQUEST_ID_KEY } from '../call/request-id.ts'

/** Fastify's default ids count from `req-1` in each process, so that they say nothing elsewhere. */
const FASTIFY_DEFAULT_ID = /^req-[0-9a-z]+$/

const kRequestId = Symbol('requestId')

type Identified = IncomingMessage & { [kRequestId]?: string }

/** `x-request-id` of the client, else the id that the app's `genReqId` has made, else a UUID. */
export function requestIdOf (request: FastifyRequest): string {
  const raw = request.raw as Identified
  raw[kRequestId] ??= newRequestId(request)
  return raw[kRequestId]
}

/** The same, of a request whose id nobody has asked for, nor will again. */
export function newRequestId (request: FastifyRequest): string {
  return clientRequestId(key => request.headers[key]) ?? idOfApp(request.id) ?? madeRequestId()
}

/** An app may take its ids from a header of any name, so that they are not better than what clients send. */
function idOfApp (id: unknown): string | undefined {
  return FASTIFY_DEFAULT_ID.test(String(id)) ? undefined : harmless(String(id))
}

/** The id of a request, where somebody has asked for it. */
export function knownRequestId (raw: IncomingMessage): string | undefined {
  return (raw as Identified)[kRequestId]
}

/** Tells the client the id, in a reply that has no message and no status. */
export function setRequestId (request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.header(REQUEST_ID_KEY, requestIdOf(request))
}
