/** What is written of a stream, in batches: all of one tick goes out at once. */
import { Readable } from 'node:stream'

/** A batch of this size, in UTF-16 units, does not wait for the end of the tick. */
const BATCH_SIZE = 16 * 1024

export class BatchedOutput extends Readable {
  #batch = ''
  #isScheduled = false
  /** Whether the consumer has had enough for now. */
  #isBlocked = false
  /** Those who may go on once the consumer wants more. */
  #waiting: Array<() => void> = []
  #whenTaken: (() => void) | undefined

  readonly #onBytes: ((bytes: number) => void) | undefined

  /** @param onBytes hears how many bytes are written */
  constructor (onBytes: ((bytes: number) => void) | undefined) {
    super({ highWaterMark: BATCH_SIZE })
    this.#onBytes = onBytes
  }

  /**
   * @param done is called when more may be written: at once, unless the consumer is slow or a batch is full. With
   * each full batch the event loop gets a turn, so that whoever writes without end does not keep everybody else
   * waiting.
   */
  write (text: string, done: () => void): void {
    this.#batch += text
    if (this.#batch.length < BATCH_SIZE && !this.#isBlocked) {
      this.#flushInThisTick()
      done()
      return
    }
    this.#waiting.push(done)
    this.#flush()
    if (!this.#isBlocked) setImmediate(BatchedOutput.#goOnNow, this)
  }

  /** Writes what nobody waits for. */
  add (text: string): void {
    this.#batch += text
    this.#flushInThisTick()
  }

  end (text: string): void {
    this.#batch += text
    this.#flush()
    this.push(null)
  }

  /** Calls back when the consumer has taken all that was written. */
  whenTaken (callback: () => void): void {
    this.#flush()
    if (this.readableLength === 0) callback()
    else this.#whenTaken = callback
  }

  override read (size?: number): unknown {
    const chunk = super.read(size)
    if (this.#whenTaken !== undefined && this.readableLength === 0) {
      this.#whenTaken()
      this.#whenTaken = undefined
    }
    return chunk
  }

  override _read (): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    this.#goOn()
  }

  override _destroy (error: Error | null, callback: (error: Error | null) => void): void {
    this.#waiting = []
    callback(error)
  }

  #flushInThisTick (): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(BatchedOutput.#flushNow, this)
  }

  #flush (): void {
    const batch = this.#batch
    if (batch === '' || this.destroyed) return
    this.#batch = ''
    if (this.#onBytes === undefined) {
      this.#isBlocked = !this.push(batch, 'utf8')
    } else {
      const bytes = Buffer.from(batch)
      this.#onBytes(bytes.length)
      this.#isBlocked = !this.push(bytes)
    }
  }

  #goOn (): void {
    if (this.#isBlocked) return
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const done of waiting) done()
  }

  /** On the next tick, and when the event loop comes round: functions of the class, so that no closure is made. */
  static readonly #flushNow = (output: BatchedOutput): void => {
    output.#isScheduled = false
    output.#flush()
  }

  static readonly #goOnNow = (output: BatchedOutput): void => output.#goOn()
}
