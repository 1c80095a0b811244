/** Calls that interceptors hold back, or answer themselves: they are open from their beginning to their end. */
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { OpenCall, OpenCalls } from '../call/open-calls.ts'

/** What grpc-js keeps in a field that is not public. */
interface Inner {
  /** Whether its listener has been told of the end, if it had one. */
  readonly cancelNotified?: boolean
}

export class HeldCall {
  #isOver = false
  #whenOver: (() => void) | undefined

  /** @param call grpc-js's own call, of which it sends some statuses itself, so that no interceptor hears of them */
  constructor (call: ServerInterceptingCallInterface) {
    const { start, sendStatus } = call
    call.start = listener => {
      const onCancel = (): void => {
        this.#over()
        listener.onCancel()
      }
      // Nobody would tell those that are let in too late.
      if (this.#isOver || (call as Inner).cancelNotified === true) return process.nextTick(onCancel)
      start.call(call, {
        onReceiveMetadata: metadata => listener.onReceiveMetadata(metadata),
        onReceiveMessage: message => listener.onReceiveMessage(message),
        onReceiveHalfClose: () => listener.onReceiveHalfClose(),
        onCancel
      })
    }
    call.sendStatus = status => {
      sendStatus.call(call, status)
      this.#over()
    }
  }

  /** Counts `call` as open until this one ends. */
  isFor (call: OpenCall, openCalls: OpenCalls): void {
    if (this.#isOver) return
    openCalls.add(call)
    this.#whenOver = () => openCalls.delete(call)
  }

  #over (): void {
    this.#isOver = true
    this.#whenOver?.()
  }
}
