/**
 * The call objects that grpc-js handlers get, over any protocol.
 *
 * @see https://github.com/grpc/grpc-node/blob/master/packages/grpc-js/src/server-call.ts
 */
import { EventEmitter } from 'node:events'
import { Duplex, Readable, Writable } from 'node:stream'
import { Metadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { CallContext } from './context.ts'
import type { Invocation, RequestSink } from './invocation.ts'

const kInvocation = Symbol('invocation')

/** The context of a call that a grpc-js handler got: request id, logger, signal and the rest. */
export function contextOf (call: object): CallContext {
  const invocation = (call as { [kInvocation]?: Invocation })[kInvocation]
  if (invocation === undefined) throw new TypeError('contextOf takes the call object that a handler got from a GrpcGateway')
  return invocation.context
}

/** What the mixins below extend. TypeScript wants `any[]` of the base of a mixin. */
type Base<T> = new (...args: any[]) => T

/** Node.js's emitters and streams, made for a call: `ServerSurfaceCall` of grpc-js. */
function Surface<T extends Base<EventEmitter>> (Emitter: T) {
  return class extends Emitter implements FailingCall {
    readonly [kInvocation]: Invocation
    readonly request: unknown
    metadata: Metadata
    cancelled = false

    constructor (...[invocation, request]: any[]) {
      super({ objectMode: true })
      this[kInvocation] = invocation
      this.request = request
      this.metadata = this[kInvocation].context.metadata
      this.on('error', error => this.onFailure(error, true))
      this[kInvocation].whenOver(() => this.onOver())
    }

    /** Listeners of a handler may throw, whenever Node.js tells them of something. */
    override emit (event: string | symbol, ...args: unknown[]): boolean {
      try {
        return super.emit(event, ...args)
      } catch (error) {
        this.onFailure(error)
        return true
      }
    }

    getPeer (): string {
      return this[kInvocation].call.getPeer()
    }

    sendMetadata (metadata?: Metadata): void {
      this[kInvocation].call.sendMetadata(metadata ?? new Metadata())
    }

    getDeadline (): ReturnType<ServerInterceptingCallInterface['getDeadline']> {
      return this[kInvocation].call.getDeadline()
    }

    getPath (): string {
      return this[kInvocation].method.path
    }

    getHost (): string {
      return this[kInvocation].call.getHost()
    }

    getAuthContext (): ReturnType<ServerInterceptingCallInterface['getAuthContext']> {
      return this[kInvocation].call.getAuthContext()
    }

    getMetricsRecorder (): ReturnType<ServerInterceptingCallInterface['getMetricsRecorder']> {
      return this[kInvocation].call.getMetricsRecorder()
    }

    onFailure (error: unknown, given = false): void {
      this[kInvocation].fail(error, undefined, given)
    }

    /** Whether all requests have come and the handler has not read all of them yet: those it may still read. */
    hasUnread (): boolean {
      return false
    }

    /** grpc-js says `cancelled` at the end of every call, answered or not. */
    onOver (): void {
      this.cancelled = true
      this.emit('cancelled', 'cancelled')
    }
  }
}

/** A call whose handler may throw, reject or emit an error. */
export interface FailingCall {
  /** @param given whether the error was emitted, rather than thrown */
  onFailure (error: unknown, given?: boolean): void
}

type SurfaceOf<T> = T & InstanceType<ReturnType<typeof Surface<Base<EventEmitter>>>>

/** Request messages are read from the call. */
function Reading<T extends Base<SurfaceOf<Readable>>> (Stream: T) {
  return class extends Stream {
    #isWhole = false

    override _read (): void {
      this[kInvocation].call.startRead()
    }

    onMessage (message: unknown): void {
      this.push(message)
    }

    onEnd (): void {
      this.#isWhole = true
      this.push(null)
    }

    override hasUnread (): boolean {
      return this.#isWhole && !this.readableEnded
    }

    override onOver (): void {
      super.onOver()
      if (!this.hasUnread()) this.destroy()
    }
  }
}

/** Response messages are written to the call. The status follows: OK, or that of the error which was emitted. */
function Writing<T extends Base<SurfaceOf<Writable>>> (Stream: T) {
  return class extends Stream {
    #failure: { error: unknown, given: boolean } | undefined
    #trailers: Metadata | undefined
    #written: (() => void) | undefined

    override _write (message: unknown, _encoding: string, callback: () => void): void {
      this.#written = callback
      if (!this[kInvocation].isOpen) return this.#goOn()
      try {
        this[kInvocation].send(message, () => this.#goOn())
      } catch (error) {
        this[kInvocation].fail(error)
      }
    }

    /** A handler that destroys its call without an error has no other word for it. */
    override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
      if (error === null && this[kInvocation].isOpen) this[kInvocation].fail(new Error('The handler destroyed the call'))
      super._destroy(error, callback)
    }

    override _final (callback: () => void): void {
      callback()
      this.#finish()
    }

    /** @param trailers sent with the status, unless an error brings its own */
    override end (trailers?: unknown): this {
      if (trailers instanceof Metadata) this.#trailers = trailers
      return super.end()
    }

    /** What was written before the error still goes out before the status. */
    override onFailure (error: unknown, given = false): void {
      this.#failure ??= { error, given }
      if (this.destroyed) this.#finish()
      else this.end()
    }

    override onOver (): void {
      super.onOver()
      if (this.hasUnread()) this.#goOn()
      else this.destroy()
    }

    #goOn (): void {
      const written = this.#written
      this.#written = undefined
      written?.()
    }

    #finish (): void {
      if (this.#failure === undefined) this[kInvocation].end(this.#trailers)
      else this[kInvocation].fail(this.#failure.error, this.#trailers, this.#failure.given)
    }
  }
}

type CallConstructor<T> = new (invocation: Invocation, request: unknown) => T & FailingCall

export const UnaryCall: CallConstructor<EventEmitter> = Surface(EventEmitter as Base<EventEmitter>)
export const ReadableCall: CallConstructor<Readable & RequestSink> = Reading(Surface(Readable as Base<Readable>))
export const WritableCall: CallConstructor<Writable> = Writing(Surface(Writable as Base<Writable>))
export const DuplexCall: CallConstructor<Duplex & RequestSink> = Reading(Writing(Surface(Duplex as Base<Duplex>)))
