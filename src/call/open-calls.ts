/** The calls that are being handled, on every protocol, so that a shutdown can wait for them and end them. */

/**
 * A call, which is a link of the list itself. A Set would rehash with every few calls, and its old tables hold on to
 * each other once the garbage collector has promoted one: that cost more than the rest of a small call.
 */
export interface OpenCall {
  previousCall: OpenCall | undefined
  nextCall: OpenCall | undefined
  isListed: boolean
  shutDown (): void
}

export class OpenCalls {
  #first: OpenCall | undefined
  #size = 0
  #whenIdle: Array<() => void> = []
  #isShutDown = false

  get size (): number {
    return this.#size
  }

  /** Ends the call instead, when they have been shut down. */
  add (call: OpenCall): void {
    if (call.isListed) return
    if (this.#isShutDown) return call.shutDown()
    call.isListed = true
    call.nextCall = this.#first
    if (this.#first !== undefined) this.#first.previousCall = call
    this.#first = call
    this.#size++
  }

  delete (call: OpenCall): void {
    if (!call.isListed) return
    const { previousCall, nextCall } = call
    if (previousCall === undefined) this.#first = nextCall
    else previousCall.nextCall = nextCall
    if (nextCall !== undefined) nextCall.previousCall = previousCall
    call.previousCall = call.nextCall = undefined
    call.isListed = false
    this.#size--
    if (this.#size > 0 || this.#whenIdle.length === 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  /** Resolves when no call is open. */
  idle (): Promise<void> {
    if (this.#size === 0) return Promise.resolve()
    return new Promise(resolve => this.#whenIdle.push(resolve))
  }

  /** Takes calls again. */
  open (): void {
    this.#isShutDown = false
  }

  /** Ends every open call with UNAVAILABLE, and those that come later. */
  shutDown (): void {
    this.#isShutDown = true
    const calls: OpenCall[] = []
    for (let call = this.#first; call !== undefined; call = call.nextCall) calls.push(call)
    for (const call of calls) call.shutDown()
  }
}
