/** Request bodies on their way, none of which may take for ever. */
import { TimedList, type Timed } from '../call/timed-list.ts'
import { HttpStatusError } from './http-status-error.ts'

export class LateBodies extends TimedList {
  readonly #limitMs: number

  /** @param limitMs how long a body may take; 0 for no limit */
  constructor (limitMs: number, lookMs: number) {
    super(lookMs)
    this.#limitMs = limitMs
  }

  /**
   * A body begins to arrive.
   *
   * @param onLate is given the error that says so
   * @returns what to call when the body has come
   */
  await (onLate: (error: HttpStatusError) => void): () => void {
    if (this.#limitMs === 0) return () => {}
    const body = new Arrival(this, this.#limitMs, onLate)
    this.add(body)
    return () => this.delete(body)
  }
}

class Arrival implements Timed {
  previous: Timed | undefined = undefined
  next: Timed | undefined = undefined
  isListed = false
  readonly #limitMs: number
  /** When it is late, by the clock of the list, which may be behind by the time between two looks. */
  readonly #lateAt: number
  readonly #onLate: (error: HttpStatusError) => void

  constructor ({ now, lookMs }: TimedList, limitMs: number, onLate: (error: HttpStatusError) => void) {
    this.#limitMs = limitMs
    this.#lateAt = now + limitMs + lookMs
    this.#onLate = onLate
  }

  isOverdue (now: number): boolean {
    return now >= this.#lateAt
  }

  expire (): void {
    this.#onLate(new HttpStatusError(408, `The request body did not arrive within ${this.#limitMs / 1000}s`))
  }
}
