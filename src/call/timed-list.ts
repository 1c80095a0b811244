/** What must not take for ever: calls that are open, and bodies on their way. One timer looks after all of a list. */

/**
 * What is in a list, which is a link of the list itself. A Set would rehash with every few calls, and its old tables
 * hold on to each other once the garbage collector has promoted one: that cost more than the rest of a small call.
 */
export interface Timed {
  previous: Timed | undefined
  next: Timed | undefined
  isListed: boolean
  /** Whether it has taken too long. */
  isOverdue (now: number): boolean
  /** Ends it. */
  expire (now: number): void
}

export class TimedList {
  /**
   * Milliseconds, as of the last look, so that to note when something happened costs no more than to read a number.
   * A process that was held up for long does not find everything overdue.
   */
  now = 0
  /** How often it is looked for what is overdue, in milliseconds; 0 for never. */
  readonly lookMs: number
  #first: Timed | undefined
  #size = 0
  #timer: NodeJS.Timeout | undefined
  #lastLook = 0

  constructor (lookMs = 0) {
    this.lookMs = lookMs
  }

  get size (): number {
    return this.#size
  }

  add (item: Timed): void {
    if (item.isListed) return
    item.isListed = true
    item.next = this.#first
    if (this.#first !== undefined) this.#first.previous = item
    this.#first = item
    this.#size++
    if (this.#timer === undefined && this.lookMs > 0) this.#watch()
  }

  delete (item: Timed): void {
    if (!item.isListed) return
    const { previous, next } = item
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next !== undefined) next.previous = previous
    item.previous = item.next = undefined
    item.isListed = false
    this.#size--
  }

  /** Those that are in the list now. */
  items (): Timed[] {
    const items: Timed[] = []
    for (let item = this.#first; item !== undefined; item = item.next) items.push(item)
    return items
  }

  #watch (): void {
    this.#lastLook = performance.now()
    this.#timer = setInterval(() => this.#look(), this.lookMs).unref()
  }

  #look (): void {
    const time = performance.now()
    this.now += Math.min(time - this.#lastLook, 2 * this.lookMs)
    this.#lastLook = time
    if (this.#first === undefined) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    // What ends one of them may end others too.
    const overdue: Timed[] = []
    for (let item: Timed | undefined = this.#first; item !== undefined; item = item.next) {
      if (item.isOverdue(this.now)) overdue.push(item)
    }
    for (const item of overdue) if (item.isListed) item.expire(this.now)
  }
}
