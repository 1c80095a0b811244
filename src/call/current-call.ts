/** The call that code belongs to, wherever in a handler that code is, and when the handler has finished. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { MethodHandler } from './bound-method.ts'
import type { CallContext } from './context.ts'
import type { Invocation, RequestSink } from './invocation.ts'

/** A call while its handler runs. */
export class CurrentCall {
  /** Undefined where the call came to another thread, and this one works for it. */
  readonly context: CallContext | undefined
  #whenFinished: Array<() => void> | undefined = []

  constructor (context?: CallContext) {
    this.context = context
  }

  /**
   * Calls back when the handler has finished: when its promise is settled and its generator has ended, be the call
   * cancelled long before. Of a handler without a promise, that is when the call is over. At once when it is so already.
   */
  whenFinished (callback: () => void): void {
    if (this.#whenFinished === undefined) callback()
    else this.#whenFinished.push(callback)
  }

  finish (): void {
    const callbacks = this.#whenFinished
    this.#whenFinished = undefined
    callbacks?.forEach(callback => callback())
  }
}

const calls = new AsyncLocalStorage<CurrentCall>()

/** It costs every call something, so it is off until somebody wants to know. */
let isFollowed = false

/** From now on, `currentCall` knows the calls that begin. */
export function followCalls (): void {
  isFollowed = true
}

/** The call whose handler has led here; undefined outside of calls. */
export function currentCall (): CurrentCall | undefined {
  return calls.getStore()
}

/** Runs something as a part of a call. */
export function runInCall<Result> (call: CurrentCall, run: () => Result): Result {
  return calls.run(call, run)
}

/** Runs the handler of a call, so that what it does knows the call. */
export function runHandler (handler: MethodHandler, invocation: Invocation, request: unknown): void {
  if (!isFollowed) {
    handler(invocation, request)
    return
  }
  const call = new CurrentCall(invocation.context)
  const finish = (): void => call.finish()
  try {
    const finished = calls.run(call, handler, invocation, request)
    if (finished !== undefined) finished.then(finish, finish)
    else if (invocation.isSettled) finish()
    else invocation.whenOver(finish)
  } catch (error) {
    finish()
    throw error
  }
}

/** Request messages are handed on as a part of the call, where it is known, although they come from outside. */
export function sinkInCall (sink: RequestSink): RequestSink {
  const call = calls.getStore()
  if (call === undefined) return sink
  return {
    onMessage: message => runInCall(call, () => sink.onMessage(message)),
    onEnd: () => runInCall(call, () => sink.onEnd())
  }
}
