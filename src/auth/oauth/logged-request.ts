/** Requests as logs may show them when their URLs have credentials. */
import type { FastifyRequest } from 'fastify'

const CREDENTIALS = /([?&](?:oauth_token|consumer_secret|client_secret|access_token)=)[^&#]*/gi

/** The same URL without the tokens and secrets in its query. */
export function withoutCredentials (url: string): string {
  return url.replace(CREDENTIALS, '$1[redacted]')
}

/** What Fastify logs of a request. */
export interface LoggedRequest {
  [field: string]: unknown
  method: string
  url: string
  version?: string
  host: string
  remoteAddress: string
  remotePort?: number
}

/**
 * What Fastify logs of a request, but for the tokens and secrets in its URL. The routes of this package that take such
 * URLs log by it already; give it to the logger of the app where tokens in the query are taken by other routes too.
 *
 * @example
 * Fastify({ logger: { serializers: { req: loggedRequest } } })
 */
export function loggedRequest (request: FastifyRequest): LoggedRequest {
  const version = request.headers['accept-version']
  const port = request.socket?.remotePort
  return {
    method: request.method,
    url: withoutCredentials(request.url),
    ...(version === undefined ? {} : { version: String(version) }),
    host: request.host,
    remoteAddress: request.ip,
    ...(port === undefined ? {} : { remotePort: port })
  }
}
