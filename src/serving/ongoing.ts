/** How many requests a deployment works on at once, and who waits. */
import { CallLimit, type LimitedCall } from '../call/admission.ts'
import type { RequestContext } from './request-context.ts'

const NO_LIMIT = -1
/** When clients that are refused may come again, in milliseconds. */
const RETRY_AFTER_MS = 1000

export class Ongoing {
  readonly #limit: CallLimit
  #whenIdle: Array<() => void> = []

  /**
   * @param most how many at once; Infinity for no limit
   * @param mostQueued how many may wait; -1 for no limit
   */
  constructor (most: number, mostQueued: number) {
    this.#limit = new CallLimit(most, mostQueued === NO_LIMIT ? Infinity : mostQueued, RETRY_AFTER_MS)
  }

  get running (): number {
    return this.#limit.running
  }

  get queued (): number {
    return this.#limit.waiting
  }

  /**
   * Takes a place; at once where there is no limit.
   *
   * @throws GrpcError RESOURCE_EXHAUSTED when too many wait, or why the request was given up meanwhile
   */
  enter (context: Pick<RequestContext, 'signal'>): undefined | Promise<void> {
    const turn = new Turn()
    const admitted = this.#limit.enter(turn, false)
    if (admitted === true) return undefined
    if (admitted !== 'waits') throw admitted
    return turn.wait(this.#limit, context.signal)
  }

  /** Gives the place back. */
  leave (): void {
    this.#limit.leave()
    if (this.#limit.running === 0) for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  /** Resolves when nothing is being worked on. */
  async idle (): Promise<void> {
    if (this.#limit.running > 0) await new Promise<void>(resolve => this.#whenIdle.push(resolve))
  }
}

class Turn implements LimitedCall {
  passed = 0
  isWaiting = false
  #goOn: () => void = () => {}

  goOn (): void {
    this.#goOn()
  }

  async wait (limit: CallLimit, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => {
        limit.giveUp(this)
        reject(signal.reason instanceof Error ? signal.reason : new Error('The request was given up'))
      }
      this.#goOn = () => {
        signal.removeEventListener('abort', giveUp)
        resolve()
      }
      if (signal.aborted) giveUp()
      else signal.addEventListener('abort', giveUp, { once: true })
    })
  }
}
