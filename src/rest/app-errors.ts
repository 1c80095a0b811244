/** What Fastify and Node.js answer before there is a route: requests that are malformed, and those that come too late. */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { clientRequestId, madeRequestId, REQUEST_ID_KEY } from '../call/request-id.ts'
import { codeOfHttpStatus } from '../status.ts'
import type { HttpGateway } from './gateway.ts'
import { sendError } from './reply.ts'

/** Options of an app that has no routes but those of the gateway: its errors are the gateway's, down to malformed HTTP. */
export function appErrors (gateway: HttpGateway): FastifyServerOptions {
  return {
    // Its routes refuse calls themselves.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => sendError(gateway, error, request, reply),
    clientErrorHandler (error: Error & { code?: string }, socket) {
      if (error.code === 'ECONNRESET' || socket.destroyed) return
      const { http, details } = CLIENT_ERRORS[error.code ?? ''] ?? MALFORMED
      const { contentType, body } = gateway.writeError({ code: codeOfHttpStatus(http), details }, http)
      const head = [
        `HTTP/1.1 ${http} ${STATUS_CODES[http]}`,
        `content-type: ${contentType}`,
        `content-length: ${Buffer.byteLength(body)}`,
        `${REQUEST_ID_KEY}: ${madeRequestId()}`,
        'connection: close'
      ]
      if (socket.writable) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
      socket.destroy(error)
    }
  }
}

const CLIENT_ERRORS: Readonly<Record<string, { http: number, details: string }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { http: 408, details: 'The request took too long to arrive' },
  HPE_HEADER_OVERFLOW: { http: 431, details: 'The headers of the request are too large' }
}
const MALFORMED = { http: 400, details: 'The request is malformed' }

/**
 * An app that closes answers requests on connections that are open with 503, before it looks for a route. From then on,
 * those answers carry a request id.
 *
 * @param isOwn whether a URL is the gateway's
 */
export function identifyLateRequests (app: FastifyInstance, isOwn: (url: string) => boolean): void {
  app.server.prependListener('request', ({ url, headers }: IncomingMessage, response: ServerResponse) => {
    if (isOwn(url!)) response.setHeader(REQUEST_ID_KEY, clientRequestId(key => headers[key]) ?? madeRequestId())
  })
}
