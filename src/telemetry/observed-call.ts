/** One call as telemetry sees it: it counts, and tells at the end those who want to know. */
import type { CallContext } from '../call/context.ts'
import type { Status } from '../call/invocation.ts'
import type { CallObserver, ObservedExchange } from '../call/observer.ts'
import type { TraceContext } from '../call/trace-context.ts'
import { isStatusCode, status } from '../status.ts'
import type { MethodMetrics } from './call-metrics.ts'
import type { MethodLog } from './method-log.ts'

/** The span of a call. */
export interface CallSpan {
  readonly traceId: string | undefined
  readonly run: CallObserver['run']
  failed (fault: unknown): void
  traceContext (): TraceContext | undefined
  /** @param endedAt by `performance.now()` */
  ended (call: ObservedCall, endedAt: number): void
}

export class ObservedCall implements CallObserver {
  readonly exchange: ObservedExchange
  readonly span: CallSpan | undefined
  /** One of gRPC's seventeen. */
  code: status = status.UNKNOWN
  durationMs = 0
  messagesIn = 0
  bytesIn = 0
  messagesOut = 0
  bytesOut = 0
  context: CallContext | undefined = undefined
  readonly #startedAt: number
  readonly #log: MethodLog | undefined
  readonly #metrics: MethodMetrics | undefined
  #isOver = false

  /** @param startedAt by `performance.now()` */
  constructor (exchange: ObservedExchange, startedAt: number, log: MethodLog | undefined, metrics: MethodMetrics | undefined, span: CallSpan | undefined) {
    this.exchange = exchange
    this.span = span
    this.#startedAt = startedAt
    this.#log = log
    this.#metrics = metrics
    metrics?.started()
  }

  get run (): CallObserver['run'] {
    return this.span?.run
  }

  messageReceived (): void {
    this.messagesIn++
    this.#metrics?.messageReceived()
  }

  bytesReceived (bytes: number): void {
    this.bytesIn += bytes
    this.#metrics?.bytesReceived(bytes)
  }

  messageSent (): void {
    this.messagesOut++
    this.#metrics?.messageSent()
  }

  bytesSent (bytes: number): void {
    this.bytesOut += bytes
    this.#metrics?.bytesSent(bytes)
  }

  handledIn (context: CallContext): void {
    this.context = context
  }

  failed (fault: unknown): void {
    this.span?.failed(fault)
  }

  traceContext (): TraceContext | undefined {
    return this.span?.traceContext()
  }

  ended ({ code }: Status): void {
    if (this.#isOver) return
    this.#isOver = true
    // Interceptors may send codes that there are not.
    this.code = isStatusCode(code) ? code : status.UNKNOWN
    const endedAt = performance.now()
    this.durationMs = endedAt - this.#startedAt
    this.#metrics?.ended(this.code, this.durationMs / 1000)
    this.span?.ended(this, endedAt)
    this.#log?.write(this)
  }
}
