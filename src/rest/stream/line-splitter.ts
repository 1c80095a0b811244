/**
 * NDJSON: one JSON message a line. Lines are decoded many at a time, and cut when they are asked for.
 *
 * @see https://github.com/ndjson/ndjson-spec
 */
import { messageTooLarge } from '../message-pump.ts'
import { decodeUtf8 } from '../utf8.ts'
import { PartialMessage, type MessageSplitter } from './message-splitter.ts'

const NEWLINE = 0x0a
const NOTHING = Buffer.alloc(0)

/** The most bytes that a UTF-16 unit takes in UTF-8. */
const BYTES_PER_UNIT = 3

export class LineSplitter implements MessageSplitter {
  readonly #limit: number
  readonly #partial = new PartialMessage()
  #lines = ''
  #at = 0
  #error: unknown

  /** @param limit the most bytes that a message may have */
  constructor (limit: number) {
    this.#limit = limit
  }

  get isEmpty (): boolean {
    return this.#at >= this.#lines.length && this.#error === undefined
  }

  push (chunk: Buffer): void {
    if (this.#error !== undefined) return
    const end = chunk.lastIndexOf(NEWLINE)
    if (end !== -1) this.#add(this.#partial.take(chunk.subarray(0, end)))
    this.#partial.append(chunk.subarray(end + 1))
    if (this.#partial.length > this.#limit) this.#error ??= messageTooLarge(this.#limit)
  }

  end (): void {
    this.#add(this.#partial.take(NOTHING))
  }

  next (): string | undefined {
    while (this.#at < this.#lines.length) {
      const newline = this.#lines.indexOf('\n', this.#at)
      const end = newline === -1 ? this.#lines.length : newline
      const line = this.#lines.slice(this.#at, end)
      this.#at = end + 1
      if (this.#isTooLarge(line)) throw messageTooLarge(this.#limit)
      if (!isBlank(line)) return line
    }
    if (this.#error !== undefined) throw this.#error
    return undefined
  }

  get lines (): string | undefined {
    const isLimited = this.#lines.length * BYTES_PER_UNIT > this.#limit
    return this.#at > 0 || this.#lines === '' || isLimited ? undefined : this.#lines
  }

  takeLines (): void {
    this.#at = this.#lines.length
  }

  #add (block: Buffer): void {
    if (this.#error !== undefined) return
    try {
      this.#append(decodeUtf8(block))
    } catch {
      this.#addLineByLine(block)
    }
  }

  #append (lines: string): void {
    this.#lines = this.#at < this.#lines.length ? `${this.#lines.slice(this.#at)}\n${lines}` : lines
    this.#at = 0
  }

  /** Of a block that is no UTF-8, the lines before the one that is wrong. */
  #addLineByLine (block: Buffer): void {
    for (let start = 0; start <= block.length;) {
      const newline = block.indexOf(NEWLINE, start)
      const end = newline === -1 ? block.length : newline
      try {
        this.#append(decodeUtf8(block.subarray(start, end)))
      } catch (error) {
        this.#error = error
        return
      }
      start = end + 1
    }
  }

  #isTooLarge (line: string): boolean {
    return line.length * BYTES_PER_UNIT > this.#limit && Buffer.byteLength(line) > this.#limit
  }
}

/** Lines may end in CR LF. */
function isBlank (line: string): boolean {
  return line.length === 0 || (line.charCodeAt(0) <= 0x20 && /^[ \t\r]*$/.test(line))
}
