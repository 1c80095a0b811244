/**
 * The exchange that carries a call over gRPC, and what all its replies have: the request id, in the initial metadata, or
 * in the trailers where a status is all there is. It tells whoever watches the call what comes and goes.
 */
import { Metadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { Exchange } from '../call/context.ts'
import type { CallListener } from '../call/invocation.ts'
import type { Logger } from '../call/logger.ts'
import { ListenerWithin, type CallObserver, type ObserveCall, type ObservedExchange } from '../call/observer.ts'
import { clientRequestId, madeRequestId, REQUEST_ID_KEY } from '../call/request-id.ts'
import { status } from '../status.ts'
import { unsized, watchSending } from './message-sizes.ts'
import { sendable } from './sendable-metadata.ts'

export class GrpcExchange implements Exchange, ObservedExchange {
  readonly protocol = 'grpc'
  readonly http = undefined
  readonly httpMethod = undefined
  readonly httpStatus = undefined
  readonly httpVersion = undefined
  readonly urlScheme = undefined
  readonly path: string
  readonly observer: CallObserver | undefined
  readonly #call: ServerInterceptingCallInterface
  readonly #log: () => Logger
  #id: string | undefined
  /** The client's, as soon as it is known. */
  #metadata: Metadata | undefined

  constructor (call: ServerInterceptingCallInterface, path: string, log: () => Logger, observe: ObserveCall | undefined) {
    this.path = path
    this.#call = call
    this.#log = log
    this.#metadata = metadataBeforeStart(call)
    this.observer = observe?.(this, performance.now())
    identifyReplies(call, this)
    if (this.observer !== undefined) watchReplies(call, this.observer)
  }

  get log (): Logger {
    return this.#log()
  }

  requestId (): string {
    this.#id ??= clientRequestId(key => this.#metadata?.get(key)[0]) ?? madeRequestId()
    return this.#id
  }

  getPeer (): string {
    return this.#call.getPeer()
  }

  getHost (): string {
    return this.#call.getHost()
  }

  header (name: string): string | undefined {
    return this.#metadata?.get(name)[0]?.toString()
  }

  receiveMetadata (): Metadata {
    return this.#metadata ?? new Metadata()
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
    if (!hasBegun) sendStatus.call(call, { ...status, metadata: identified(status.metadata, exchange) })
    else sendStatus.call(call, status.metadata == null ? status : { ...status, metadata: sendable(status.metadata) })
  }
}

/** A copy, because a handler may send the same metadata with each call. */
function identified (metadata: Metadata | null | undefined, exchange: GrpcExchange): Metadata {
  const copy = metadata == null ? new Metadata() : sendable(metadata.clone())
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

const CANCELLED = { code: status.CANCELLED, details: 'The client cancelled the call' }

function watchReplies (call: ServerInterceptingCallInterface, observer: CallObserver): void {
  const { start, sendMessage, sendStatus } = call
  const { run } = observer
  call.start = listener => {
    const watching = new WatchingListener(run === undefined ? listener : new ListenerWithin(run, listener), observer)
    start.call(call, watching)
    // A call that its client has given up is not started any more.
    if (!watching.isStarted) observer.ended(CANCELLED)
  }
  call.sendMessage = (message, done) => watchSending(observer, () => sendMessage.call(call, message, done))
  call.sendStatus = status => {
    sendStatus.call(call, status)
    observer.ended(status)
  }
}

class WatchingListener implements CallListener {
  isStarted = false
  readonly #listener: CallListener
  readonly #observer: CallObserver

  constructor (listener: CallListener, observer: CallObserver) {
    this.#listener = listener
    this.#observer = observer
  }

  onReceiveMetadata (metadata: Metadata): void {
    this.isStarted = true
    this.#listener.onReceiveMetadata(metadata)
  }

  onReceiveMessage (message: unknown): void {
    this.#listener.onReceiveMessage(unsized(message, this.#observer))
  }

  onReceiveHalfClose (): void {
    this.#listener.onReceiveHalfClose()
  }

  /** At the end of every call; where it has had a status, this tells nothing. */
  onCancel (): void {
    this.#observer.ended(CANCELLED)
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
