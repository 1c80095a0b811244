/** From the bytes of a request body, in whatever chunks they come, to the JSON texts of its messages. */

export interface MessageSplitter {
  /** Whether nothing is left to be given, unless more bytes come: neither a message nor what is wrong. */
  readonly isEmpty: boolean
  /** Takes the next bytes. */
  push (chunk: Buffer): void
  /** There are no more bytes. */
  end (): void
  /**
   * The JSON text of the next message; undefined when that needs more bytes, or when all have been given.
   * What is wrong with the bytes is thrown once the messages before it have been given.
   *
   * @throws HttpStatusError 413 for a message above the limit
   * @throws GrpcError INVALID_ARGUMENT for what separates no messages, and for bytes that are no UTF-8
   */
  next (): string | undefined
  /** All the lines that are there, where each is a message, as long as none of them has been taken. */
  readonly lines?: string | undefined
  /** Takes all of them. */
  takeLines? (): void
}

/** The beginning of a message whose end has not come yet. Grows so that many small chunks cost no more than one. */
export class PartialMessage {
  #bytes = Buffer.alloc(0)
  #length = 0

  get length (): number {
    return this.#length
  }

  append (chunk: Buffer): void {
    if (this.#length + chunk.length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + chunk.length, 1024))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    chunk.copy(this.#bytes, this.#length)
    this.#length += chunk.length
  }

  /** The bytes so far, with what follows. The next message begins anew. */
  take (rest: Buffer): Buffer {
    if (this.#length === 0) return rest
    this.append(rest)
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
    return taken
  }
}
