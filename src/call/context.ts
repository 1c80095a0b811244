/** What a handler may know and do about its call, on whichever protocol it came. */
import { Metadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import { GrpcError } from '../errors.ts'
import type { Method } from '../schema/service.ts'
import { status } from '../status.ts'
import type { Logger } from './logger.ts'
import type { Principal } from './principal.ts'
import type { CallObserver } from './observer.ts'
import { traceContextOf, type TraceContext } from './trace-context.ts'

/** Many proxies drop headers whose names have an underscore. */
const MODEL_ID = /^(serve[-_])?multiplexed[-_]model[-_]id$/

/** grpc-js's `AuthContext`, which it does not export. */
export type AuthContext = ReturnType<ServerInterceptingCallInterface['getAuthContext']>

export type Protocol = 'grpc' | 'http' | 'websocket'

/** What only a call over HTTP or a WebSocket has. */
export interface HttpContext {
  /** The HTTP method. */
  readonly method: string
  /** The URL of the route that matched, as Fastify has it. */
  readonly template: string
  /** The request target as it came: path and query, still encoded. */
  readonly url: string
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[]
}

/** What a transport tells of the exchange that carries a call. */
export interface Exchange {
  readonly protocol: Protocol
  readonly http: HttpContext | undefined
  readonly log: Logger
  /** Undefined where nobody watches. */
  readonly observer: CallObserver | undefined
  /** The id that the client sent or that was given to the request. */
  requestId (): string
  /**
   * The call has been let in by its gate and its limits. Calls back when it may go on; absent where that is at once.
   * Until then nothing has been sent, so that a call that is not let in can be refused in another way.
   */
  letIn? (goOn: () => void): void
}

/**
 * The second argument of a handler. In a grpc-js handler, `contextOf(call)`.
 */
export class CallContext {
  readonly method: Method
  /** @internal What `setCode` was told. */
  code: status | undefined
  /** @internal What `setDetails` was told. */
  details: string | undefined

  readonly #call: ServerInterceptingCallInterface
  readonly #exchange: Exchange
  readonly #receiveMetadata: () => Metadata
  #metadata: Metadata | undefined
  #trailers: Metadata | undefined
  #requestId: string | undefined
  #log: Logger | undefined
  #abort: AbortController | undefined
  #aborted: GrpcError | undefined
  #principal: Principal | undefined

  /** @internal */
  constructor (method: Method, call: ServerInterceptingCallInterface, exchange: Exchange, receiveMetadata: () => Metadata) {
    this.method = method
    this.#call = call
    this.#exchange = exchange
    this.#receiveMetadata = receiveMetadata
  }

  /** The protocol that the client speaks. */
  get protocol (): Protocol {
    return this.#exchange.protocol
  }

  /** Of a call over HTTP or a WebSocket; undefined over gRPC. */
  get http (): HttpContext | undefined {
    return this.#exchange.http
  }

  /** The client's metadata; over HTTP, the request's headers. `x-request-id` in it is always {@link requestId}. */
  get metadata (): Metadata {
    this.#metadata ??= this.#receiveMetadata()
    return this.#metadata
  }

  /** Trailing metadata. What the handler puts in it is sent with the status, be that OK or an error. */
  get trailers (): Metadata {
    this.#trailers ??= new Metadata()
    return this.#trailers
  }

  /** The client's `x-request-id` if it is harmless, else a UUID made for this call. Every reply carries it. */
  get requestId (): string {
    this.#requestId ??= this.#exchange.requestId()
    return this.#requestId
  }

  /**
   * What a call to another service needs, as headers or metadata, to belong to the same trace: `traceparent` and
   * `tracestate`. With OpenTelemetry, they name the span of this call; else they are the client's, if it sent any that
   * are right.
   *
   * @see https://www.w3.org/TR/trace-context/
   */
  get traceContext (): TraceContext {
    return this.#exchange.observer?.traceContext() ?? traceContextOf(this.metadata)
  }

  /** A logger that adds the RPC and the request id to each line. */
  get log (): Logger {
    this.#log ??= this.#exchange.log.child({ rpc: this.method.path, requestId: this.requestId })
    return this.#log
  }

  /** The client's address and port: `127.0.0.1:51234`. */
  get peer (): string {
    return this.#call.getPeer()
  }

  /** The client's TLS identity; empty without a verified client certificate. */
  get authContext (): AuthContext {
    return this.#call.getAuthContext()
  }

  /** Who calls: what `authenticate` has returned. Undefined in public methods, and without `authenticate`. */
  get principal (): Principal | undefined {
    return this.#principal
  }

  /** When the call must be over; undefined when it has no deadline. */
  get deadline (): Date | undefined {
    const deadline = this.#call.getDeadline()
    return deadline === Infinity ? undefined : new Date(deadline)
  }

  /** Milliseconds until the deadline, 0 when it has passed; Infinity when the call has none. */
  timeRemaining (): number {
    return Math.max(0, Number(this.#call.getDeadline()) - Date.now())
  }

  /**
   * Aborts when the client cancels or disconnects, when the deadline passes and when the gateway shuts down;
   * not after the handler has answered.
   */
  get signal (): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#aborted !== undefined) this.#abort.abort(this.#aborted)
    }
    return this.#abort.signal
  }

  /** The `application` metadata, by which model servers name what should answer; empty when not given. */
  get application (): string {
    return first(this.metadata, 'application')
  }

  /**
   * The `multiplexed_model_id` metadata, or the `serve_multiplexed_model_id` header, either also with `-` for `_`; empty
   * when not given.
   */
  get multiplexedModelId (): string {
    return first(this.metadata, 'multiplexed_model_id') || first(this.metadata, Object.keys(this.metadata.getMap()).find(key => MODEL_ID.test(key)) ?? 'multiplexed_model_id')
  }

  /** Sends initial metadata now. Once: later calls have no effect. */
  sendHeaders (metadata: Metadata): void {
    this.#call.sendMetadata(metadata)
  }

  /**
   * Sets the status code that the call ends with. With a code other than OK the client gets an error, and the
   * returned message is dropped.
   */
  setCode (code: status): void {
    this.code = code
  }

  /** Sets the status message that goes with `setCode`. */
  setDetails (details: string): void {
    this.details = details
  }

  /** Ends the call by throwing a GrpcError. */
  abort (code: status, details?: string): never {
    throw new GrpcError(code, details)
  }

  /** @internal */
  receiveMetadata (metadata: Metadata): void {
    this.#metadata = metadata
  }

  /** @internal */
  identify (principal: Principal): void {
    this.#principal = principal
  }

  /** @internal The trailers, where the handler has touched them. */
  get usedTrailers (): Metadata | undefined {
    return this.#trailers
  }

  /** @internal Aborts the signal. */
  cancel (reason: GrpcError): void {
    this.#aborted = reason
    this.#abort?.abort(reason)
  }

  /** @internal Why the call was given up; undefined as long as it was not. */
  get aborted (): GrpcError | undefined {
    return this.#aborted
  }
}

function first (metadata: Metadata, key: string): string {
  return metadata.get(key)[0]?.toString() ?? ''
}
