/** The id by which a request is known to its client, its handler and the log. */
import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'

/** Fastify's default ids count from `req-1` in each process, so that they say nothing elsewhere. */
const FASTIFY_DEFAULT_ID = /^req-[0-9a-z]+$/
const LONGEST_ID = 256

const kRequestId = Symbol('requestId')

/** `x-request-id` of the client, else the id that the app's `genReqId` has made, else a UUID. */
export function requestIdOf (request: FastifyRequest & { [kRequestId]?: string }): string {
  request[kRequestId] ??= clientRequestId(request) ?? (FASTIFY_DEFAULT_ID.test(request.id) ? randomUUID() : request.id)
  return request[kRequestId]
}

function clientRequestId ({ headers }: FastifyRequest): string | undefined {
  const id = headers['x-request-id']
  return typeof id === 'string' && id !== '' && id.length <= LONGEST_ID ? id : undefined
}
