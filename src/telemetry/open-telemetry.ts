/**
 * Spans and metrics of calls by OpenTelemetry, whose SDK the program brings. An RPC is gRPC's, whatever carries it.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 */
import type { Attributes, Context, Histogram, Span, TextMapGetter } from '@opentelemetry/api'
import type { ObservedExchange, ObservedMethod } from '../call/observer.ts'
import type { TraceContext } from '../call/trace-context.ts'
import { status, statusName } from '../status.ts'
import type { CallSpan, ObservedCall } from './observed-call.ts'
import { optionalPackage } from './optional-package.ts'

type Api = typeof import('@opentelemetry/api')

/** Of the instrumentation. */
const SCOPE = 'fastify-grpc-gateway'
const SYSTEM = 'grpc'
const OTHER = '_OTHER'

/** What the conventions give durations, in seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

/** Other codes are answers as good as OK. */
const FAILURES: ReadonlySet<number> = new Set([status.UNKNOWN, status.DEADLINE_EXCEEDED, status.UNIMPLEMENTED, status.INTERNAL, status.UNAVAILABLE, status.DATA_LOSS])

const HTTP_METHODS: ReadonlySet<string> = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'])

const headersOf: TextMapGetter<ObservedExchange> = {
  keys: () => [],
  get: (exchange, name) => exchange.header(name)
}

interface Durations {
  readonly rpc: Histogram
  readonly http: Histogram
}

export class OpenTelemetry {
  readonly api: Api
  #durations: Durations | undefined

  /** @throws FGG_ERR_TELEMETRY when @opentelemetry/api is not installed */
  constructor () {
    this.api = optionalPackage('@opentelemetry/api', 'OpenTelemetry needs') as Api
  }

  spansOf (observed: ObservedMethod): MethodSpans {
    return new MethodSpans(this, observed)
  }

  /** Made with the first call: what is made before there is an SDK stays without it. */
  get durations (): Durations {
    if (this.#durations === undefined) {
      const meter = this.api.metrics.getMeter(SCOPE)
      const options = { unit: 's', advice: { explicitBucketBoundaries: BUCKETS } }
      this.#durations = {
        rpc: meter.createHistogram('rpc.server.call.duration', { ...options, description: 'Measures the duration of an incoming Remote Procedure Call (RPC).' }),
        http: meter.createHistogram('http.server.request.duration', { ...options, description: 'Duration of HTTP server requests.' })
      }
    }
    return this.#durations
  }
}

/** The spans of one method over one protocol. */
class MethodSpans {
  readonly openTelemetry: OpenTelemetry
  readonly rpc: Attributes
  readonly route: string | undefined
  readonly #name: string
  readonly #isUnknown: boolean

  constructor (openTelemetry: OpenTelemetry, { protocol, method, route }: ObservedMethod) {
    const name = method?.path.slice(1)
    this.openTelemetry = openTelemetry
    this.rpc = { 'rpc.system.name': SYSTEM, 'rpc.method': name ?? OTHER }
    this.route = route
    this.#name = name ?? SYSTEM
    this.#isUnknown = method === undefined && protocol === 'grpc'
  }

  /** @param startedAt by `performance.now()` */
  start (exchange: ObservedExchange, startedAt: number): CallSpan {
    const { context, propagation, trace, SpanKind } = this.openTelemetry.api
    const active = context.active()
    // With an instrumentation of HTTP, the call is a part of the request.
    const isPart = trace.getSpan(active) !== undefined
    const parent = isPart ? active : propagation.extract(active, exchange, headersOf)
    const span = trace.getTracer(SCOPE).startSpan(this.#name, {
      kind: SpanKind.SERVER,
      startTime: startedAt,
      attributes: {
        ...this.rpc,
        ...(this.#isUnknown ? { 'rpc.method_original': exchange.path.slice(1) } : {}),
        ...addressAttributes('server', exchange.getHost())
      }
    }, parent)
    return new SpanOfCall(this, span, trace.setSpan(parent, span), isPart)
  }
}

class SpanOfCall implements CallSpan {
  readonly traceId: string | undefined
  readonly run: <T>(step: () => T) => T
  readonly #method: MethodSpans
  readonly #span: Span
  readonly #context: Context
  /** Whether somebody else measures the HTTP request. */
  readonly #isPart: boolean

  constructor (method: MethodSpans, span: Span, context: Context, isPart: boolean) {
    const { api } = method.openTelemetry
    const { traceId } = span.spanContext()
    this.traceId = api.isValidTraceId(traceId) ? traceId : undefined
    this.run = step => api.context.with(context, step)
    this.#method = method
    this.#span = span
    this.#context = context
    this.#isPart = isPart
  }

  failed (fault: unknown): void {
    this.#span.recordException(fault instanceof Error ? fault : String(fault))
  }

  traceContext (): TraceContext | undefined {
    const carrier: TraceContext = {}
    this.#method.openTelemetry.api.propagation.inject(this.#context, carrier)
    return carrier.traceparent === undefined ? undefined : carrier
  }

  ended ({ exchange, code, durationMs }: ObservedCall, endedAt: number): void {
    const { openTelemetry: { api, durations }, rpc } = this.#method
    const span = this.#span
    const http = exchange.httpMethod === undefined ? undefined : this.#httpAttributes(exchange, exchange.httpMethod)
    const outcome = outcomeOf(code)
    durations.rpc.record(durationMs / 1000, { ...rpc, ...outcome }, this.#context)
    if (http !== undefined && !this.#isPart) durations.http.record(durationMs / 1000, http, this.#context)
    if (span.isRecording()) {
      span.setAttributes({ ...http, ...outcome, ...addressAttributes('network.peer', exchange.getPeer()) })
      if (http !== undefined) span.setAttributes(clientAttributes(exchange))
      if (FAILURES.has(code)) span.setStatus({ code: api.SpanStatusCode.ERROR })
    }
    span.end(endedAt)
  }

  #httpAttributes ({ httpStatus, httpVersion, urlScheme }: ObservedExchange, method: string): Attributes {
    const { route } = this.#method
    return {
      'http.request.method': HTTP_METHODS.has(method) ? method : OTHER,
      'url.scheme': urlScheme!,
      'network.protocol.version': httpVersion!,
      ...(route === undefined ? {} : { 'http.route': route }),
      ...(httpStatus === undefined ? {} : { 'http.response.status_code': httpStatus }),
      ...(httpStatus !== undefined && httpStatus >= 500 ? { 'error.type': String(httpStatus) } : {})
    }
  }
}

function outcomeOf (code: number): Attributes {
  const name = statusName(code)
  return FAILURES.has(code) ? { 'rpc.status_code': name, 'error.type': name } : { 'rpc.status_code': name }
}

/** What may be too much for metrics. */
function clientAttributes (exchange: ObservedExchange): Attributes {
  const userAgent = exchange.header('user-agent')
  return {
    'url.path': exchange.path,
    'client.address': hostAndPort(exchange.getPeer()).host,
    ...(HTTP_METHODS.has(exchange.httpMethod!) ? {} : { 'http.request.method_original': exchange.httpMethod! }),
    ...(userAgent === undefined ? {} : { 'user_agent.original': userAgent })
  }
}

function addressAttributes (prefix: string, text: string): Attributes {
  const { host, port } = hostAndPort(text)
  if (host === '') return {}
  return port === undefined ? { [`${prefix}.address`]: host } : { [`${prefix}.address`]: host, [`${prefix}.port`]: port }
}

/** `127.0.0.1:80`, `[::1]:80`, `example.com`; grpc-js writes an address of IPv6 and its port without brackets. */
function hostAndPort (text: string): { host: string, port?: number } {
  const end = text.lastIndexOf(':')
  const port = end === -1 || end === text.length - 1 ? NaN : Number(text.slice(end + 1))
  const host = Number.isInteger(port) ? text.slice(0, end) : text
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  return Number.isInteger(port) ? { host: bare, port } : { host: bare }
}
