/** The spans of calls by OpenTelemetry, and their durations. An RPC is gRPC's, whatever carries it. */
import type { Attributes, Context, Span, TextMapGetter } from '@opentelemetry/api'
import type { CallObserver, ObservedExchange, ObservedMethod } from '../call/observer.ts'
import type { TraceContext } from '../call/trace-context.ts'
import type { CallSpan, ObservedCall } from './observed-call.ts'
import type { OpenTelemetry } from './open-telemetry.ts'
import { describeClient, hostAndPort, httpMethodName, isFailure, OTHER, outcomeOf, serverAttributes, SYSTEM } from './span-attributes.ts'

const headersOf: TextMapGetter<ObservedExchange> = {
  keys: () => [],
  get: (exchange, name) => exchange.header(name)
}

/** The spans of one method over one protocol. What they have in common is made once. */
export class MethodSpans {
  readonly openTelemetry: OpenTelemetry
  readonly #rpc: Attributes
  readonly #route: Attributes
  readonly #name: string
  readonly #isUnknown: boolean
  /** By code. */
  readonly #ofCodes: Array<Attributes | undefined> = []
  /** Those of the last host; clients can make them up. */
  #atStart: Attributes | undefined
  #host: string | undefined
  /** Those of the last request that had others than the one before. */
  #http: Attributes | undefined
  #httpMethod: string | undefined
  #httpStatus: number | undefined
  #httpVersion: string | undefined
  #urlScheme: string | undefined

  constructor (openTelemetry: OpenTelemetry, { protocol, method, route }: ObservedMethod) {
    const name = method?.path.slice(1)
    this.openTelemetry = openTelemetry
    this.#rpc = { 'rpc.system.name': SYSTEM, 'rpc.method': name ?? OTHER }
    this.#route = route === undefined ? {} : { 'http.route': route }
    this.#name = name ?? SYSTEM
    this.#isUnknown = method === undefined && protocol === 'grpc'
  }

  /** @param startedAt by `performance.now()` */
  start (exchange: ObservedExchange, startedAt: number): CallSpan {
    const { api, tracer } = this.openTelemetry
    const active = api.context.active()
    // With an instrumentation of HTTP, the call is a part of the request.
    const isPart = api.trace.getSpan(active) !== undefined
    const parent = isPart ? active : api.propagation.extract(active, exchange, headersOf)
    if (tracer === undefined) return new SpanOfCall(this, undefined, parent, isPart)
    const span = tracer.startSpan(this.#name, { kind: api.SpanKind.SERVER, startTime: startedAt, attributes: this.#attributesAtStart(exchange) }, parent)
    return new SpanOfCall(this, span, api.trace.setSpan(parent, span), isPart)
  }

  #attributesAtStart (exchange: ObservedExchange): Attributes {
    const host = exchange.getHost()
    if (this.#atStart === undefined || host !== this.#host) {
      this.#host = host
      this.#atStart = { ...this.#rpc, ...serverAttributes(host) }
    }
    return this.#isUnknown ? { ...this.#atStart, 'rpc.method_original': exchange.path.slice(1) } : this.#atStart
  }

  /** Of the measured duration of a call. */
  rpcAttributes (code: number): Attributes {
    this.#ofCodes[code] ??= { ...this.#rpc, ...outcomeOf(code) }
    return this.#ofCodes[code]
  }

  /** Of an HTTP request, and of its measured duration. */
  httpAttributes ({ httpMethod, httpStatus, httpVersion, urlScheme }: ObservedExchange): Attributes {
    if (this.#http !== undefined && httpStatus === this.#httpStatus && httpMethod === this.#httpMethod && httpVersion === this.#httpVersion && urlScheme === this.#urlScheme) return this.#http
    this.#httpMethod = httpMethod
    this.#httpStatus = httpStatus
    this.#httpVersion = httpVersion
    this.#urlScheme = urlScheme
    this.#http = {
      'http.request.method': httpMethodName(httpMethod!),
      'url.scheme': urlScheme!,
      'network.protocol.version': httpVersion!,
      ...this.#route,
      ...(httpStatus === undefined ? {} : { 'http.response.status_code': httpStatus }),
      ...(httpStatus !== undefined && httpStatus >= 500 ? { 'error.type': String(httpStatus) } : {})
    }
    return this.#http
  }
}

class SpanOfCall implements CallSpan {
  readonly run: CallObserver['run']
  readonly #method: MethodSpans
  /** Undefined without an SDK of traces. */
  readonly #span: Span | undefined
  readonly #context: Context
  /** Whether somebody else measures the HTTP request. */
  readonly #isPart: boolean

  constructor (method: MethodSpans, span: Span | undefined, context: Context, isPart: boolean) {
    const { api } = method.openTelemetry
    this.run = context === api.ROOT_CONTEXT ? undefined : step => api.context.with(context, step)
    this.#method = method
    this.#span = span
    this.#context = context
    this.#isPart = isPart
  }

  get traceId (): string | undefined {
    const { api } = this.#method.openTelemetry
    const traceId = api.trace.getSpanContext(this.#context)?.traceId
    return traceId !== undefined && api.isValidTraceId(traceId) ? traceId : undefined
  }

  failed (fault: unknown): void {
    this.#span?.recordException(fault instanceof Error ? fault : String(fault))
  }

  traceContext (): TraceContext | undefined {
    const carrier: TraceContext = {}
    this.#method.openTelemetry.api.propagation.inject(this.#context, carrier)
    return carrier.traceparent === undefined ? undefined : carrier
  }

  ended (call: ObservedCall, endedAt: number): void {
    this.#measure(call)
    if (this.#span === undefined) return
    if (this.#span.isRecording()) this.#describe(this.#span, call)
    this.#span.end(endedAt)
  }

  #measure ({ exchange, code, durationMs }: ObservedCall): void {
    const { rpc, http } = this.#method.openTelemetry.durations
    rpc?.record(durationMs / 1000, this.#method.rpcAttributes(code), this.#context)
    if (exchange.httpMethod !== undefined && !this.#isPart) http?.record(durationMs / 1000, this.#method.httpAttributes(exchange), this.#context)
  }

  #describe (span: Span, { exchange, code }: ObservedCall): void {
    const peer = hostAndPort(exchange.getPeer())
    if (exchange.httpMethod !== undefined) {
      span.setAttributes(this.#method.httpAttributes(exchange))
      describeClient(span, exchange, exchange.httpMethod, peer.host)
    }
    span.setAttributes(outcomeOf(code))
    if (peer.host !== '') span.setAttribute('network.peer.address', peer.host)
    if (peer.port !== undefined) span.setAttribute('network.peer.port', peer.port)
    if (isFailure(code)) span.setStatus({ code: this.#method.openTelemetry.api.SpanStatusCode.ERROR })
  }
}
