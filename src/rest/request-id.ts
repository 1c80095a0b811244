/** The id by which a request is known to its client, its handler and the log. */
import type { FastifyRequest } from 'fastify'
import { clientRequestId, madeRequestId } from '../call/request-id.ts'

/** Fastify's default ids count from `req-1` in each process, so that they say nothing elsewhere. */
const FASTIFY_DEFAULT_ID = /^req-[0-9a-z]+$/

const kRequestId = Symbol('requestId')

/** `x-request-id` of the client, else the id that the app's `genReqId` has made, else a UUID. */
export function requestIdOf (request: FastifyRequest & { [kRequestId]?: string }): string {
  request[kRequestId] ??= newRequestId(request)
  return request[kRequestId]
}

/** The same, of a request whose id nobody has asked for, nor will again. */
export function newRequestId (request: FastifyRequest): string {
  return clientRequestId(request.headers['x-request-id']) ?? (FASTIFY_DEFAULT_ID.test(request.id) ? madeRequestId() : request.id)
}
