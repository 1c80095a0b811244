/** A time in which clients are asked to go elsewhere: its beginning, and when it has done its work. */
import type { OpenCalls } from '../call/open-calls.ts'

export class Drain {
  readonly #since = Date.now()
  readonly #ended: Promise<void>
  #end!: () => void
  /** Whether it was not taken back; undefined until it ends. */
  #outcome: boolean | undefined

  constructor () {
    this.#ended = new Promise(resolve => { this.#end = resolve })
  }

  /** @param outcome false when it was taken back */
  end (outcome: boolean): void {
    this.#outcome = outcome
    this.#end()
  }

  /** @returns when it has gone on for `minMs` and no call is open, or has ended; false when it was taken back */
  async done (minMs: number, calls: OpenCalls): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const waited = new Promise<void>(resolve => { timer = setTimeout(resolve, Math.max(0, this.#since + minMs - Date.now())) })
    await Promise.race([waited, this.#ended])
    clearTimeout(timer)
    while (this.#outcome === undefined && calls.size > 0) await Promise.race([calls.idle(), this.#ended])
    return this.#outcome ?? true
  }
}
