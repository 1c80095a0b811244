/** What of a handler's or an interceptor's metadata can be sent over gRPC. */
import { Metadata } from '@grpc/grpc-js'
import { HOP_BY_HOP } from '../call/headers.ts'

/** Of the connection, of the body, and gRPC's own, which handlers have other ways to set. */
const NOT_SENT: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP, 'proxy-connection', 'host', 'content-length', 'content-type', 'content-encoding',
  'grpc-status', 'grpc-message', 'grpc-encoding', 'grpc-accept-encoding', 'grpc-timeout'
])

/** Headers of which Node.js sends no more than one with HTTP/2. */
const SINGLE: ReadonlySet<string> = new Set([
  'access-control-allow-credentials', 'access-control-max-age', 'access-control-request-method', 'age', 'authorization',
  'content-language', 'content-location', 'content-md5', 'content-range', 'date', 'dnt', 'etag', 'expires', 'from',
  'if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'location',
  'max-forwards', 'proxy-authorization', 'range', 'referer', 'retry-after', 'tk', 'upgrade-insecure-requests',
  'user-agent', 'x-content-type-options'
])

/**
 * The same metadata, or a copy without what HTTP/2 has no place for: grpc-js would leave such a call without an answer, or
 * end the process. Several values of a header that is sent once become one, as a client would read them.
 */
export function sendable (metadata: Metadata): Metadata {
  let copy: Metadata | undefined
  for (const key of Object.keys(metadata.getMap())) {
    const isSent = !NOT_SENT.has(key) && !key.includes(':')
    if (isSent && !SINGLE.has(key)) continue
    const values = metadata.get(key)
    if (isSent && values.length === 1) continue
    copy ??= metadata.clone()
    if (isSent) copy.set(key, values.join(', '))
    else copy.remove(key)
  }
  return copy ?? metadata
}
