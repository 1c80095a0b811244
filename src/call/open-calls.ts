/** The calls that are being handled, on every protocol, so that a shutdown can wait for them and end them. */
import { TimedList, type Timed } from './timed-list.ts'

export interface OpenCall extends Timed {
  shutDown (): void
}

export class OpenCalls extends TimedList {
  #whenIdle: Array<() => void> = []
  #isShutDown = false

  /** Ends the call instead, when they have been shut down. */
  override add (call: OpenCall): void {
    if (this.#isShutDown && !call.isListed) return call.shutDown()
    super.add(call)
  }

  override delete (call: OpenCall): void {
    super.delete(call)
    if (this.size > 0 || this.#whenIdle.length === 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  /** Resolves when no call is open. */
  idle (): Promise<void> {
    if (this.size === 0) return Promise.resolve()
    return new Promise(resolve => this.#whenIdle.push(resolve))
  }

  /** Takes calls again. */
  open (): void {
    this.#isShutDown = false
  }

  /** Ends every open call with UNAVAILABLE, and those that come later. */
  shutDown (): void {
    this.#isShutDown = true
    for (const call of this.items() as OpenCall[]) call.shutDown()
  }
}
