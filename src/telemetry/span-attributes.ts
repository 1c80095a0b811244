/**
 * Attributes of spans and of metrics, by the conventions of OpenTelemetry.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 */
import type { Attributes, Span } from '@opentelemetry/api'
import type { ObservedExchange } from '../call/observer.ts'
import { status, statusName } from '../status.ts'

export const SYSTEM = 'grpc'
export const OTHER = '_OTHER'

const FAILURES: ReadonlySet<number> = new Set([status.UNKNOWN, status.DEADLINE_EXCEEDED, status.UNIMPLEMENTED, status.INTERNAL, status.UNAVAILABLE, status.DATA_LOSS])

const HTTP_METHODS: ReadonlySet<string> = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'])

/** By code. */
const OUTCOMES: readonly Attributes[] = Array.from({ length: status.UNAUTHENTICATED + 1 }, (_, code) => {
  const name = statusName(code)
  return FAILURES.has(code) ? { 'rpc.status_code': name, 'error.type': name } : { 'rpc.status_code': name }
})

/** @param code one of gRPC's seventeen */
export function outcomeOf (code: number): Attributes {
  return OUTCOMES[code]!
}

/** Other codes are answers as good as OK. */
export function isFailure (code: number): boolean {
  return FAILURES.has(code)
}

export function httpMethodName (method: string): string {
  return HTTP_METHODS.has(method) ? method : OTHER
}

/** What may be too much for metrics. */
export function describeClient (span: Span, exchange: ObservedExchange, httpMethod: string, address: string): void {
  const userAgent = exchange.header('user-agent')
  span.setAttribute('url.path', exchange.path)
  span.setAttribute('client.address', address)
  if (!HTTP_METHODS.has(httpMethod)) span.setAttribute('http.request.method_original', httpMethod)
  if (userAgent !== undefined) span.setAttribute('user_agent.original', userAgent)
}

export function serverAttributes (text: string): Attributes {
  const { host, port } = hostAndPort(text)
  if (host === '') return {}
  return port === undefined ? { 'server.address': host } : { 'server.address': host, 'server.port': port }
}

/** `127.0.0.1:80`, `[::1]:80`, `example.com`; grpc-js writes an address of IPv6 and its port without brackets. */
export function hostAndPort (text: string): { host: string, port?: number } {
  const end = text.lastIndexOf(':')
  const port = end === -1 || end === text.length - 1 ? NaN : Number(text.slice(end + 1))
  const host = Number.isInteger(port) ? text.slice(0, end) : text
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  return Number.isInteger(port) ? { host: bare, port } : { host: bare }
}
