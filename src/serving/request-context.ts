/** What a deployment may know of the request that it works for, however far down it is composed. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Metadata } from '@grpc/grpc-js'
import type { CallContext } from '../call/context.ts'
import { currentCall, followCalls } from '../call/current-call.ts'
import type { Logger } from '../call/logger.ts'

/** The second argument of the methods of a deployment: the call's own context, or that of a handle. */
export type RequestContext = Pick<CallContext, 'application' | 'deadline' | 'log' | 'metadata' | 'multiplexedModelId' | 'principal' | 'requestId' | 'signal' | 'timeRemaining'>

// What asks for the request has to know it from its beginning.
followCalls()

/** Of requests that are not simply those of the current call. */
const storage = new AsyncLocalStorage<RequestContext>()

/** The request that is being worked for; undefined outside of one. */
export function requestContext (): RequestContext | undefined {
  return storage.getStore() ?? currentCall()?.context
}

/** The model that the request that is being worked for asks for; empty when it asks for none, and outside of requests. */
export function multiplexedModelId (): string {
  return requestContext()?.multiplexedModelId ?? ''
}

export function runInContext<T> (context: RequestContext, step: () => T): T {
  return requestContext() === context ? step() : storage.run(context, step)
}

/** A stream whose generator runs within the request, which a generator that is merely begun there does not. */
export async function * streamInContext<T> (context: RequestContext, stream: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = runInContext(context, () => (stream as AsyncIterable<T>)[Symbol.asyncIterator]?.() ?? (stream as Iterable<T>)[Symbol.iterator]())
  let isOver = false
  try {
    for (;;) {
      const { done, value } = await runInContext(context, () => iterator.next())
      if (done === true) {
        isOver = true
        return
      }
      yield value
    }
  } catch (error) {
    isOver = true
    throw error
  } finally {
    if (!isOver) await runInContext(context, () => iterator.return?.())
  }
}

/** Of a call for another model than the request asks for. */
export class ContextOfModel implements RequestContext {
  readonly multiplexedModelId: string
  readonly #parent: RequestContext

  constructor (parent: RequestContext, modelId: string) {
    this.#parent = parent
    this.multiplexedModelId = modelId
  }

  get application (): string {
    return this.#parent.application
  }

  get deadline (): Date | undefined {
    return this.#parent.deadline
  }

  get log (): Logger {
    return this.#parent.log
  }

  get metadata (): Metadata {
    return this.#parent.metadata
  }

  get principal (): RequestContext['principal'] {
    return this.#parent.principal
  }

  get requestId (): string {
    return this.#parent.requestId
  }

  get signal (): AbortSignal {
    return this.#parent.signal
  }

  timeRemaining (): number {
    return this.#parent.timeRemaining()
  }
}

/** Of work that nobody's request asks for, such as a warm-up. */
export function detachedContext (log: Logger): RequestContext {
  const { signal } = new AbortController()
  return { application: '', deadline: undefined, log, metadata: new Metadata(), multiplexedModelId: '', principal: undefined, requestId: '', signal, timeRemaining: () => Infinity }
}
