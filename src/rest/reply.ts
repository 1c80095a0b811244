/** Error answers: whatever was thrown on the way to a handler, Fastify's own errors included, in one form. */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { CHALLENGE_KEY, DEFAULT_CHALLENGE } from '../auth/challenge.ts'
import type { Status } from '../call/invocation.ts'
import { codeOfHttpStatus, status } from '../status.ts'
import type { HttpGateway } from './gateway.ts'
import { observeRefusal } from './observation.ts'
import { requestIdOf, setRequestId } from './request-id.ts'
import { endUnreadBody } from './unread-body.ts'

const UNAUTHORIZED = 401

export function sendError (gateway: HttpGateway, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (reply.sent) return
  const { ending, http, fault } = endingOf(gateway, error, request)
  endUnreadBody(request, reply, gateway.closings)
  // Fastify sets it when a body could not be read, over HTTP/2 too, which has no such header.
  if (request.raw.httpVersionMajor >= 2) reply.removeHeader('connection')
  refuse(gateway, ending, request, reply, { http, fault })
}

/** Answers a request that has no call, or not any more, with a status that is not OK. */
export function refuse (gateway: HttpGateway, ending: Status, request: FastifyRequest, reply: FastifyReply, { http, fault }: Omit<Ending, 'ending'> = {}): void {
  sendStatus(gateway, ending, request, reply, http)
  observeRefusal(gateway, ending, request, reply, fault)
}

/** Answers a call with a status that is not OK. */
export function sendStatus (gateway: HttpGateway, ending: Status, request: FastifyRequest, reply: FastifyReply, http?: number): void {
  if (ending.metadata != null) setTrailers(gateway, ending.metadata, reply)
  const { status: code, contentType, body } = gateway.writeError(ending, http)
  if (code === UNAUTHORIZED && !reply.hasHeader(CHALLENGE_KEY)) reply.header(CHALLENGE_KEY, DEFAULT_CHALLENGE)
  setRequestId(request, reply).code(code).header('content-type', contentType).send(body)
}

/** What HTTP has headers of the same name for, which clients obey. */
const OWN_HEADERS = [CHALLENGE_KEY, 'retry-after']

/** Trailing metadata of an error as headers. */
function setTrailers (gateway: HttpGateway, metadata: Metadata, reply: FastifyReply): void {
  let others = metadata
  for (const name of OWN_HEADERS) {
    const values = metadata.get(name)
    if (values.length === 0) continue
    reply.header(name, values.length === 1 ? values[0] : values)
    if (others === metadata) others = metadata.clone()
    others.remove(name)
  }
  gateway.headers.toHeaders(others, 'trailing', (name, value) => { reply.header(name, value) })
}

interface Ending {
  readonly ending: Status
  /** The HTTP status, where it says more. */
  readonly http?: number | undefined
  /** An error that nobody has thrown on purpose, and that has been logged. */
  readonly fault?: unknown
}

/** How to answer what went wrong outside of handlers and interceptors. */
export function endingOf (gateway: HttpGateway, error: unknown, request: FastifyRequest): Ending {
  const { code, statusCode, message } = error as Partial<FastifyError>
  if (code === 'FST_ERR_HANDLER_TIMEOUT') return { ending: { code: status.DEADLINE_EXCEEDED, details: 'Deadline exceeded' } }
  // 500 is what errors get that nobody gave a status, so that their messages are not meant for clients.
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 600 && statusCode !== 500) {
    return { ending: { code: codeOfHttpStatus(statusCode), details: message ?? '' }, http: statusCode }
  }
  const { status: ending, fault } = gateway.errorStatus(error)
  const log = gateway.logger ?? request.log
  if (fault !== undefined) log.error({ err: fault, requestId: requestIdOf(request) }, 'A request failed before it reached its handler')
  return { ending, fault }
}
