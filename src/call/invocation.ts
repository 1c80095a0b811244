/**
 * One call on its way through a handler. It listens to what arrives, whatever transport and interceptors that
 * comes through, and ends the call exactly once.
 */
import { Metadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import { GrpcError } from '../errors.ts'
import type { Method } from '../schema/service.ts'
import { status } from '../status.ts'
import type { LimitedCall } from './admission.ts'
import type { BoundMethod, Gate } from './bound-method.ts'
import { isAbortError, reasonOfCancellation } from './cancellation.ts'
import { requestTooSlow, responseNotTaken, streamIdle, streamTooLong } from './call-times.ts'
import { CallContext, type Exchange } from './context.ts'
import { runHandler } from './current-call.ts'
import { merged, statusText } from './error-status.ts'
import type { CallObserver } from './observer.ts'
import type { OpenCall } from './open-calls.ts'
import { checkResponse } from './response.ts'
import type { Timed } from './timed-list.ts'

/** A status as `sendStatus` of a call takes it. */
export type Status = Parameters<ServerInterceptingCallInterface['sendStatus']>[0]

/** The listener that `start` of a call takes; grpc-js does not export its name. */
export type CallListener = Parameters<ServerInterceptingCallInterface['start']>[0]

/** Where the messages of a request stream go. */
export interface RequestSink {
  onMessage (message: unknown): void
  onEnd (): void
}

/** The call has not been let in yet. */
const WAITING = 0
/** The one request message has not come yet. */
const READING = 1
const HANDLED = 2
/** The handler has answered; the answer is on its way. */
const ANSWERED = 3
const OVER = 4

export class Invocation implements CallListener, LimitedCall, OpenCall {
  previous: Timed | undefined = undefined
  next: Timed | undefined = undefined
  isListed = false
  passed = 0
  isWaiting = false
  readonly context: CallContext
  readonly call: ServerInterceptingCallInterface
  readonly #bound: BoundMethod
  readonly #exchange: Exchange
  readonly #observer: CallObserver | undefined
  #state = WAITING
  /** When it was let in, by the clock of the open calls. */
  #begunAt = 0
  /** When there was progress. */
  #activeAt = 0
  #sink: RequestSink | undefined
  #whenOver: Array<() => void> | undefined
  #request: unknown
  /** What interceptors have read before the call was let in. */
  #early: Array<() => void> | undefined

  constructor (bound: BoundMethod, call: ServerInterceptingCallInterface, exchange: Exchange, receiveMetadata: () => Metadata = () => new Metadata()) {
    this.#bound = bound
    this.call = call
    this.#exchange = exchange
    this.context = new CallContext(bound.method, call, exchange, receiveMetadata)
    this.#observer = exchange.observer
    this.#observer?.handledIn(this.context)
  }

  get method (): Method {
    return this.#bound.method
  }

  /** Whether an answer can still be given. */
  get isOpen (): boolean {
    return this.#state <= HANDLED
  }

  /** Whether the call is over, and nobody waits to hear of that. */
  get isSettled (): boolean {
    return this.#state === OVER && this.#whenOver === undefined
  }

  /** Gives the messages of the request stream to a sink. */
  receiveBy (sink: RequestSink): void {
    this.#sink = sink
  }

  /** Calls back when the call is over, be it answered, cancelled or past its deadline. */
  whenOver (callback: () => void): void {
    this.#whenOver ??= []
    this.#whenOver.push(callback)
  }

  /** Takes the one request message, which no interceptor wants to see. */
  receive (request: unknown): void {
    this.#bound.openCalls.add(this)
    this.#request = request
    if (this.isOpen) this.#enter()
  }

  onReceiveMetadata (metadata: Metadata): void {
    this.#bound.openCalls.add(this)
    this.context.receiveMetadata(metadata)
    if (!this.isOpen) return
    const { gate } = this.#bound
    if (gate === undefined) this.#enter()
    else this.#pass(gate)
  }

  /** Cancellation, deadline and shutdown may end the call meanwhile: what the gate says then changes nothing. */
  async #pass (gate: Gate): Promise<void> {
    try {
      await gate(this.context)
    } catch (error) {
      return this.fail(error, undefined, false, 'Authentication')
    }
    if (this.isOpen) this.#enter()
  }

  /** Nothing is read before the call is let in. */
  #enter (): void {
    const admitted = this.#bound.admission.enter(this)
    if (admitted === true) this.#letIn()
    else if (admitted !== 'waits') this.fail(admitted)
  }

  /** Others who wait get their turn before the handler runs, which may be over at once. */
  goOn (): void {
    if (this.#bound.admission.enter(this) === true) setImmediate(Invocation.#beginLater, this)
  }

  static readonly #beginLater = (invocation: Invocation): void => {
    if (invocation.isOpen) invocation.#letIn()
  }

  #letIn (): void {
    const exchange = this.#exchange
    if (exchange.letIn === undefined) this.#begin()
    else exchange.letIn(() => { if (this.isOpen) this.#begin() })
  }

  #begin (): void {
    this.#state = READING
    this.#begunAt = this.#activeAt = this.#bound.openCalls.now
    const run = this.#observer?.run
    if (run === undefined) this.#proceed()
    else run(() => this.#proceed())
  }

  #proceed (): void {
    const early = this.#early
    try {
      if (this.#bound.requestStream || this.#request !== undefined) this.#handle()
      else if (early === undefined) this.call.startRead()
      if (early === undefined) return
      // What comes meanwhile has its turn after that.
      for (let step = early.shift(); step !== undefined; step = early.shift()) step()
      this.#early = undefined
    } catch (error) {
      // Of an interceptor; after a wait, nobody else would hear of it.
      this.fail(error, undefined, false, 'An interceptor')
    }
  }

  #keep (step: () => void): void {
    this.#early ??= []
    this.#early.push(step)
  }

  #handle (): void {
    this.#state = HANDLED
    const request = this.#request
    this.#request = undefined
    try {
      runHandler(this.#bound.handler, this, request)
    } catch (error) {
      this.fail(error)
    }
  }

  onReceiveMessage (message: unknown): void {
    if (this.#state === WAITING || this.#early !== undefined) this.#keep(() => this.#take(message))
    else this.#take(message)
  }

  #take (message: unknown): void {
    if (this.#bound.requestStream) {
      this.#activeAt = this.#bound.openCalls.now
      this.#sink?.onMessage(message)
    } else if (this.#request !== undefined) {
      this.#end({ code: status.UNIMPLEMENTED, details: `Received a second request message for ${this.method.path}, which takes one` })
    } else {
      this.#request = message
      this.call.startRead()
    }
  }

  onReceiveHalfClose (): void {
    if (this.#state === WAITING || this.#early !== undefined) this.#keep(() => this.#takeEnd())
    else this.#takeEnd()
  }

  #takeEnd (): void {
    if (this.#bound.requestStream) {
      this.#sink?.onEnd()
    } else if (this.#request === undefined) {
      this.#end({ code: status.UNIMPLEMENTED, details: `Received no request message for ${this.method.path}, which takes one` })
    } else if (this.isOpen) {
      this.#handle()
    }
  }

  /** As in grpc-js, this comes at the end of every call, answered or not. */
  onCancel (): void {
    const givenUp = this.isOpen
    this.#leave()
    if (givenUp) this.context.cancel(reasonOfCancellation(this.context))
    this.#tellOver()
  }

  /** Sends the one response message, and OK. */
  reply (message: unknown, trailers?: Metadata | null): void {
    if (!this.isOpen) return
    if (this.#failsByCode(trailers)) return
    checkResponse(message, this.method)
    this.#state = ANSWERED
    this.#activeAt = this.#bound.openCalls.now
    this.call.sendMessage(message, () => this.#sendStatus({ code: status.OK, details: this.context.details ?? 'OK', metadata: this.#trailers(trailers) }))
  }

  /** Sends one message of a response stream; `done` is called when the next may follow, unless the call is over. */
  send (message: unknown, done: () => void): void {
    if (!this.isOpen) return
    checkResponse(message, this.method)
    this.#activeAt = this.#bound.openCalls.now
    this.call.sendMessage(message, done)
  }

  /** Ends a response stream. */
  end (trailers?: Metadata | null): void {
    if (this.#failsByCode(trailers)) return
    this.#end({ code: status.OK, details: this.context.details ?? 'OK', metadata: this.#trailers(trailers) })
  }

  /**
   * Ends the call by the status of an error.
   *
   * @param given whether the handler passed the error on, as grpc-js handlers do, rather than threw it
   * @param who has failed, for the log
   */
  fail (error: unknown, trailers?: Metadata | null, given = false, who = 'A handler'): void {
    const { status: failure, fault } = this.#bound.errorStatus(error, given)
    if (!this.isOpen) {
      if (fault !== undefined && fault !== this.context.aborted && !isAbortError(fault)) {
        this.context.log.warn({ err: fault }, `${who} failed after its call was over`)
      }
      return
    }
    if (fault !== undefined) this.#report(fault, who)
    const { code, details } = this.context
    const kept = fault !== undefined && this.#bound.keepCode && code !== undefined && code !== status.OK
    this.#end({
      code: kept ? code : failure.code,
      details: kept && details !== undefined ? details : failure.details,
      metadata: merged(failure.metadata, this.#trailers(trailers))
    })
  }

  #report (fault: unknown, who: string): void {
    this.context.log.error({ err: fault }, `${who} failed`)
    this.#observer?.failed(fault)
  }

  /** Ends the call because the gateway shuts down. */
  shutDown (): void {
    this.#giveUp(new GrpcError(status.UNAVAILABLE, 'The server is shutting down'))
  }

  isOverdue (now: number): boolean {
    const { times, openCalls: { lookMs } } = this.#bound
    // The clock may be behind by the time between two looks.
    const [idleSince, begunAt] = [this.#activeAt + lookMs, this.#begunAt + lookMs]
    if (this.#state === READING) return now - begunAt >= times.requestMs
    if (this.#state === HANDLED) return this.#bound.isStream && (now - idleSince >= times.idleMs || now - begunAt >= times.lifeMs)
    return this.#state === ANSWERED && now - idleSince >= times.idleMs
  }

  expire (now: number): void {
    const { times } = this.#bound
    if (this.#state === READING) return this.#giveUp(requestTooSlow(times))
    if (this.#state === HANDLED) return this.#giveUp(now - this.#begunAt >= times.lifeMs ? streamTooLong(times) : streamIdle(times))
    const { code, details } = responseNotTaken(times)
    this.#sendStatus({ code, details })
  }

  #giveUp (reason: GrpcError): void {
    if (!this.isOpen) return
    this.context.cancel(reason)
    this.fail(reason)
    this.#tellOver()
  }

  #tellOver (): void {
    const callbacks = this.#whenOver
    this.#whenOver = undefined
    callbacks?.forEach(callback => callback())
  }

  /** A code other than OK that the handler has set wins over what it returns. */
  #failsByCode (trailers: Metadata | null | undefined): boolean {
    const { code, details } = this.context
    if (code === undefined || code === status.OK) return false
    this.#end({ code, details: details ?? '', metadata: this.#trailers(trailers) })
    return true
  }

  #end (ending: Status): void {
    if (!this.isOpen) return
    this.#state = ANSWERED
    this.#sendStatus(ending)
  }

  #sendStatus (ending: Status): void {
    if (this.#state === OVER) return
    this.#leave()
    const details = ending.details === 'OK' ? 'OK' : statusText(String(ending.details))
    this.call.sendStatus(details === ending.details ? ending : { ...ending, details })
  }

  #leave (): void {
    this.#state = OVER
    this.#sink = undefined
    this.#early = undefined
    this.#bound.openCalls.delete(this)
    this.#bound.admission.leave(this)
  }

  #trailers (given: Metadata | null | undefined): Metadata | undefined {
    const own = this.context.usedTrailers
    return given instanceof Metadata ? merged(given.clone(), own) : own
  }
}
