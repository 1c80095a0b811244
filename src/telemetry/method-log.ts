/** The lines that the access log has of one method. */
import type { ObservedExchange, ObservedMethod } from '../call/observer.ts'
import { traceIdOf } from '../call/trace-context.ts'
import { statusName } from '../status.ts'
import type { AccessLog } from './access-log.ts'
import type { CallLine } from './call-line.ts'
import type { ObservedCall } from './observed-call.ts'
import { loggable } from './redaction.ts'

const MESSAGE = 'call'

/** The lines of one method over one protocol. */
export class MethodLog {
  readonly #accessLog: AccessLog
  readonly #observed: ObservedMethod
  /** By HTTP method, HTTP status and code, in as far as clients cannot make them up. */
  readonly #bounds = new Map<string, unknown>()
  /** The last one, and what it was for. */
  #bound: unknown
  #code: number | undefined
  #httpStatus: number | undefined
  #httpMethod: string | undefined
  #userAgent: string | undefined
  #loggableUserAgent: string | undefined

  constructor (accessLog: AccessLog, observed: ObservedMethod) {
    this.#accessLog = accessLog
    this.#observed = observed
  }

  write (call: ObservedCall): void {
    const { exchange, messagesIn, messagesOut, bytesIn, bytesOut } = call
    const { form, redacted } = this.#accessLog
    if (this.#accessLog.isSkipped(this.#observed, call)) return
    const line: CallLine = {
      requestId: exchange.requestId(),
      peer: exchange.getPeer(),
      durationMs: Math.round(call.durationMs * 1000) / 1000,
      messagesIn,
      messagesOut,
      bytesIn,
      bytesOut
    }
    const userAgent = exchange.header('user-agent')
    if (userAgent !== undefined) line.userAgent = this.#loggable(userAgent)
    const traceId = call.span?.traceId ?? traceIdOf(exchange.header('traceparent'))
    if (traceId !== undefined) line.traceId = traceId
    const principal = nameOf(call.context)
    if (principal !== undefined) line.principal = loggable(principal)
    if (redacted !== undefined) line.metadata = redacted(exchange.receiveMetadata())
    form.write(this.#boundFor(exchange, call.code), line, MESSAGE)
  }

  /** Mostly it is that of the call before. */
  #loggable (userAgent: string): string {
    if (userAgent === this.#userAgent) return this.#loggableUserAgent!
    this.#userAgent = userAgent
    this.#loggableUserAgent = loggable(userAgent)
    return this.#loggableUserAgent
  }

  #boundFor (exchange: ObservedExchange, code: number): unknown {
    const { httpMethod, httpStatus } = exchange
    if (code === this.#code && httpStatus === this.#httpStatus && httpMethod === this.#httpMethod) return this.#bound
    const key = `${httpMethod} ${httpStatus} ${code}`
    const bound = this.#bounds.get(key) ?? this.#accessLog.form.bind(this.#fixedFields(exchange, code))
    // What anybody may ask for is not remembered.
    if (this.#observed.method === undefined) return bound
    this.#bounds.set(key, bound)
    this.#bound = bound
    this.#code = code
    this.#httpStatus = httpStatus
    this.#httpMethod = httpMethod
    return bound
  }

  #fixedFields ({ path, httpMethod, httpStatus }: ObservedExchange, code: number): object {
    const { protocol, method, route } = this.#observed
    const rpc = method?.path ?? (httpMethod === undefined ? loggable(path) : undefined)
    return {
      protocol,
      ...(rpc === undefined ? {} : { rpc }),
      code: statusName(code),
      ...(httpMethod === undefined ? {} : { http: { method: httpMethod, ...(route === undefined ? { path: loggable(path) } : { route }), status: httpStatus } })
    }
  }
}

/** Who calls, where an authentication has found out. */
function nameOf (context: object | undefined): string | undefined {
  const principal = (context as { principal?: unknown } | undefined)?.principal
  if (typeof principal !== 'object' || principal === null) return typeof principal === 'string' ? principal : undefined
  const { name, sub, id } = principal as { name?: unknown, sub?: unknown, id?: unknown }
  return [name, sub, id].find(value => typeof value === 'string')
}
