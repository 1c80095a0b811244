/** A stream of request messages as the async iterable that a handler reads. */
import type { Invocation, RequestSink } from './invocation.ts'

interface Waiting {
  resolve (result: IteratorResult<unknown, undefined>): void
  reject (error: unknown): void
}

const DONE: IteratorResult<unknown, undefined> = { done: true, value: undefined }

/** Asks for a message only when the handler does, so that a slow handler slows the client down. */
export class RequestStream implements AsyncIterableIterator<unknown, undefined>, RequestSink {
  readonly #invocation: Invocation
  readonly #waiting: Waiting[] = []
  /** Messages that came before the handler asked, because an interceptor did. */
  readonly #early: unknown[] = []
  #reading = false
  #ended = false

  constructor (invocation: Invocation) {
    this.#invocation = invocation
  }

  [Symbol.asyncIterator] (): this {
    return this
  }

  next (): Promise<IteratorResult<unknown, undefined>> {
    const { aborted } = this.#invocation.context
    // What came whole before the call was given up stays whole.
    if (aborted !== undefined && !this.#ended) return Promise.reject(aborted)
    // Mostly the message is there already, and comes while it is asked for.
    if (this.#early.length === 0 && !this.#ended && this.#waiting.length === 0) this.#read()
    if (this.#early.length > 0) return Promise.resolve({ done: false, value: this.#early.shift() })
    if (this.#ended) return Promise.resolve(DONE)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  return (): Promise<IteratorResult<unknown, undefined>> {
    this.#early.length = 0
    this.#finish()
    return Promise.resolve(DONE)
  }

  onMessage (message: unknown): void {
    this.#reading = false
    const next = this.#waiting.shift()
    if (next !== undefined) next.resolve({ done: false, value: message })
    else if (!this.#ended) this.#early.push(message)
    if (this.#waiting.length > 0) this.#read()
  }

  onEnd (): void {
    this.#finish()
  }

  onOver (): void {
    const { aborted } = this.#invocation.context
    if (aborted === undefined) return this.#finish()
    for (const { reject } of this.#waiting.splice(0)) reject(aborted)
  }

  #read (): void {
    if (this.#reading) return
    this.#reading = true
    this.#invocation.call.startRead()
  }

  #finish (): void {
    this.#ended = true
    for (const { resolve } of this.#waiting.splice(0)) resolve(DONE)
  }
}
