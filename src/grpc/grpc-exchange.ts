/**
 * The exchange that carries a call over gRPC, and what all its replies have: the request id, in the initial metadata, or
 * in the trailers where a status is all there is.
 */
import { Metadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { Exchange } from '../call/context.ts'
import type { CallListener } from '../call/invocation.ts'
import type { Logger } from '../call/logger.ts'
import { clientRequestId, madeRequestId, REQUEST_ID_KEY } from '../call/request-id.ts'

export class GrpcExchange implements Exchange {
  readonly protocol = 'grpc'
  readonly http = undefined
  readonly #log: () => Logger
  #id: string | undefined
  /** The client's, as soon as it is known. */
  #metadata: Metadata | undefined

  constructor (call: ServerInterceptingCallInterface, log: () => Logger) {
    this.#log = log
    this.#metadata = metadataBeforeStart(call)
    identifyReplies(call, this)
  }

  get log (): Logger {
    return this.#log()
  }

  requestId (): string {
    this.#id ??= clientRequestId(this.#metadata?.get(REQUEST_ID_KEY)[0]) ?? madeRequestId()
    return this.#id
  }

  /** The call has been started: interceptors and handlers see the id among the client's metadata. */
  receive (metadata: Metadata): Metadata {
    this.#metadata = metadata
    metadata.set(REQUEST_ID_KEY, this.requestId())
    return metadata
  }
}

/**
 * Adds the id to what the call sends. grpc-js answers some calls by itself, those past their deadline for one, so that
 * no interceptor hears of it; but it does so by the methods of its own call.
 */
function identifyReplies (call: ServerInterceptingCallInterface, exchange: GrpcExchange): void {
  const { start, sendMetadata, sendStatus } = call
  let hasBegun = false
  call.start = listener => { start.call(call, new IdentifyingListener(listener, exchange)) }
  call.sendMetadata = metadata => {
    hasBegun = true
    sendMetadata.call(call, identified(metadata, exchange))
  }
  call.sendStatus = status => {
    sendStatus.call(call, hasBegun ? status : { ...status, metadata: identified(status.metadata, exchange) })
  }
}

/** A copy, because a handler may send the same metadata with each call. */
function identified (metadata: Metadata | null | undefined, exchange: GrpcExchange): Metadata {
  const copy = metadata?.clone() ?? new Metadata()
  copy.set(REQUEST_ID_KEY, exchange.requestId())
  return copy
}

class IdentifyingListener implements CallListener {
  readonly #listener: CallListener
  readonly #exchange: GrpcExchange

  constructor (listener: CallListener, exchange: GrpcExchange) {
    this.#listener = listener
    this.#exchange = exchange
  }

  onReceiveMetadata (metadata: Metadata): void {
    this.#listener.onReceiveMetadata(this.#exchange.receive(metadata))
  }

  onReceiveMessage (message: unknown): void {
    this.#listener.onReceiveMessage(message)
  }

  onReceiveHalfClose (): void {
    this.#listener.onReceiveHalfClose()
  }

  onCancel (): void {
    this.#listener.onCancel()
  }
}

/**
 * An interceptor may refuse a call without starting it, which is when grpc-js tells of its metadata. It has them in a
 * field that is not public; should that be called otherwise one day, such a reply gets an id that is made for it.
 */
function metadataBeforeStart (call: ServerInterceptingCallInterface): Metadata | undefined {
  const { metadata } = call as unknown as { metadata?: unknown }
  return metadata instanceof Metadata ? metadata : undefined
}
