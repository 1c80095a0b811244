/** The seam between calls and what watches them, on every protocol: logs, metrics, traces. */
import type { Metadata } from '@grpc/grpc-js'
import type { Method } from '../schema/service.ts'
import type { CallContext, Protocol } from './context.ts'
import type { CallListener, Status } from './invocation.ts'
import type { TraceContext } from './trace-context.ts'

/** What can be asked about a call, or a request that was refused before it became one. Nothing is worked out before. */
export interface ObservedExchange {
  /** The path that the client asks for, without query: any text, where there is no method. */
  readonly path: string
  requestId (): string
  /** The client's address and port. */
  getPeer (): string
  /** The host, and maybe the port, that the client believes to speak to. */
  getHost (): string
  /** A request header, or the first metadata of that key. */
  header (name: string): string | undefined
  receiveMetadata (): Metadata
  /** Undefined over gRPC, as those that follow. */
  readonly httpMethod: string | undefined
  /** The status of the answer; undefined when there is none. */
  readonly httpStatus: number | undefined
  readonly httpVersion: string | undefined
  readonly urlScheme: string | undefined
}

/** Sees one call, from its beginning to its end. */
export interface CallObserver {
  /** A request message was read. */
  messageReceived (): void
  bytesReceived (bytes: number): void
  /** A response message was given to the transport. */
  messageSent (): void
  bytesSent (bytes: number): void
  /** The call has come to its handler. */
  handledIn (context: CallContext): void
  /** Something failed that nobody throws on purpose. */
  failed (fault: unknown): void
  /** The call is over. The first end counts. */
  ended (ending: Status): void
  /** What a call to another service has to carry to belong to the same trace; undefined where it is what the client sent. */
  traceContext (): TraceContext | undefined
  /** Runs what belongs to the call, so that it is known as such by what it calls; undefined where nobody wants to know. */
  readonly run?: (<T>(step: () => T) => T) | undefined
}

/** What calls are calls of. */
export interface ObservedMethod {
  readonly protocol: Protocol
  /** Undefined for what clients ask for that there is not. */
  readonly method: Method | undefined
  /** The HTTP route; undefined over gRPC, and where none matched. */
  readonly route: string | undefined
}

/** Begins to watch a call. @param startedAt when its request began to arrive, by `performance.now()` */
export type ObserveCall = (exchange: ObservedExchange, startedAt: number) => CallObserver

/** Makes, once, what watches the calls of a method over a protocol. */
export type ObserveMethod = (observed: ObservedMethod) => ObserveCall

/** A listener that hears of everything as part of its call. */
export class ListenerWithin implements CallListener {
  readonly #run: NonNullable<CallObserver['run']>
  readonly #listener: CallListener & { readonly isSettled?: boolean }

  constructor (run: NonNullable<CallObserver['run']>, listener: CallListener & { readonly isSettled?: boolean }) {
    this.#run = run
    this.#listener = listener
  }

  get isSettled (): boolean {
    return this.#listener.isSettled === true
  }

  onReceiveMetadata (metadata: Metadata): void {
    this.#run(() => this.#listener.onReceiveMetadata(metadata))
  }

  onReceiveMessage (message: unknown): void {
    this.#run(() => this.#listener.onReceiveMessage(message))
  }

  onReceiveHalfClose (): void {
    this.#run(() => this.#listener.onReceiveHalfClose())
  }

  onCancel (): void {
    this.#run(() => this.#listener.onCancel())
  }
}
