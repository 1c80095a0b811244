/** The calls that are being handled, on every protocol, so that a shutdown can wait for them and end them. */
interface OpenCall {
  shutDown (): void
}

export class OpenCalls {
  readonly #calls = new Set<OpenCall>()
  #whenIdle: Array<() => void> = []

  get size (): number {
    return this.#calls.size
  }

  add (call: OpenCall): void {
    this.#calls.add(call)
  }

  delete (call: OpenCall): void {
    if (!this.#calls.delete(call) || this.#calls.size > 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  /** Resolves when no call is open. */
  idle (): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve()
    return new Promise(resolve => this.#whenIdle.push(resolve))
  }

  /** Ends every open call with UNAVAILABLE. */
  shutDown (): void {
    for (const call of [...this.#calls]) call.shutDown()
  }
}
