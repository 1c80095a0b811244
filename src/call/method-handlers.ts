/**
 * Handlers of the form `(request, context)`: a message or a promise of one comes back, or an (async) iterable of
 * messages; a stream of requests comes in as an async iterable.
 */
import type { MethodHandler } from './bound-method.ts'
import type { CallContext } from './context.ts'
import type { Invocation } from './invocation.ts'
import { RequestStream } from './request-stream.ts'

export type ContextMethod = (request: unknown, context: CallContext) => unknown

export function methodHandler (method: ContextMethod, requestStream: boolean, responseStream: boolean): MethodHandler {
  const respond = responseStream ? respondWithStream : respondWithMessage
  if (!requestStream) {
    return (invocation, request) => respond(invocation, method(request, invocation.context))
  }
  return invocation => {
    const requests = new RequestStream(invocation)
    invocation.receiveBy(requests)
    invocation.whenOver(() => requests.onOver())
    return respond(invocation, method(requests, invocation.context))
  }
}

function respondWithMessage (invocation: Invocation, result: unknown): Promise<void> | undefined {
  if (isThenable(result)) return replyWhenSettled(invocation, result)
  invocation.reply(result)
}

async function replyWhenSettled (invocation: Invocation, result: PromiseLike<unknown>): Promise<void> {
  try {
    invocation.reply(await result)
  } catch (error) {
    invocation.fail(error)
  }
}

function respondWithStream (invocation: Invocation, result: unknown): Promise<void> {
  let iterator: AnyIterator | undefined
  let mayGoOn = true
  let wake: (() => void) | undefined
  let closed: Promise<void> | undefined

  async function pump (): Promise<void> {
    try {
      iterator = iteratorOf(isThenable(result) ? await result : result, invocation)
      while (invocation.isOpen) {
        const step = iterator.next()
        const { done, value } = isThenable(step) ? await step : step
        if (done === true) return invocation.end()
        const message = isThenable(value) ? await value : value
        mayGoOn = false
        invocation.send(message, goOn)
        if (!mayGoOn && invocation.isOpen) await new Promise<void>(resolve => { wake = resolve })
      }
      close()
    } catch (error) {
      invocation.fail(error)
      close()
    }
    await closed
  }

  function goOn (): void {
    mayGoOn = true
    // Once: to resolve a promise again costs more than to write a message.
    const waiting = wake
    wake = undefined
    waiting?.()
  }

  /** Runs the `finally` blocks of a generator that is left before its end. */
  function close (): void {
    const closing = iterator
    iterator = undefined
    try {
      closed ??= Promise.resolve(closing?.return?.()).then(() => {}, error => invocation.fail(error))
    } catch (error) {
      invocation.fail(error)
    }
  }

  invocation.whenOver(() => {
    goOn()
    if (invocation.context.aborted !== undefined) close()
  })
  return pump()
}

type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>

function iteratorOf (result: unknown, { method }: Invocation): AnyIterator {
  if (typeof result === 'object' && result !== null) {
    const iterable = result as Partial<AsyncIterable<unknown> & Iterable<unknown>>
    const iterator = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]?.()
    if (iterator !== undefined) return iterator
  }
  throw new TypeError(`${method.fullName} must return an iterable or an async iterable of messages, because its response is a stream`)
}

function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
