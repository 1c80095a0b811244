/** The messages of a request stream, given one by one as they are asked for. */
import { GrpcError } from '../errors.ts'
import { HttpStatusError } from './http-status-error.ts'

/** With this many bytes unread, the client has to wait. While a connection is not read, nobody hears of it when the client goes away. */
export const MOST_UNREAD = 64 * 1024

export interface MessageReceiver {
  /** So many bytes of the request have come; undefined where nobody wants to know. */
  readonly onBytes: ((bytes: number) => void) | undefined
  onMessage (message: unknown): void
  onEnd (): void
  /** What came is no message. Nothing follows. */
  onError (error: unknown): void
}

/** What has arrived of a request stream. It sees to it that no more arrives than can be kept. */
export interface MessageSource {
  /** Whether nothing more will arrive. */
  readonly isComplete: boolean
  /**
   * Takes the next message; undefined when there is none so far.
   *
   * @throws what is wrong with it
   */
  next (isFirst: boolean): unknown
}

export class MessagePump {
  readonly #source: MessageSource
  readonly #receiver: MessageReceiver
  readonly #isStream: boolean
  #wanted = 0
  #given = 0
  #isDelivering = false
  #isOver = false

  /** @param isStream whether errors say the number of the message; else there is but one */
  constructor (source: MessageSource, receiver: MessageReceiver, isStream = true) {
    this.#isStream = isStream
    this.#source = source
    this.#receiver = receiver
  }

  /** Whether the end, or an error, has been told, or `stop` called. */
  get isOver (): boolean {
    return this.#isOver
  }

  /** One more message is wanted, or the end. */
  read (): void {
    this.#wanted++
    this.advance()
  }

  /** Something has arrived: gives what is wanted. */
  advance (): void {
    // A message that is given may ask for the next one at once, which must not nest ever deeper.
    if (this.#isDelivering) return
    this.#isDelivering = true
    try {
      while (this.#wanted > 0 && !this.#isOver && this.#giveNext()) this.#wanted--
    } finally {
      this.#isDelivering = false
    }
  }

  /** @returns whether a message was given */
  #giveNext (): boolean {
    let message
    try {
      message = this.#source.next(this.#given === 0)
    } catch (error) {
      this.fail(this.#isStream ? numbered(error, this.#given + 1) : error)
      return false
    }
    if (message !== undefined) {
      this.#given++
      this.#receiver.onMessage(message)
      return true
    }
    if (this.#source.isComplete) this.end()
    return false
  }

  /** Tells of the end, wanted or not. */
  end (): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#receiver.onEnd()
  }

  fail (error: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#receiver.onError(error)
  }

  /** Nothing more is wanted. */
  stop (): void {
    this.#isOver = true
  }
}

export function messageTooLarge (limit: number): HttpStatusError {
  return new HttpStatusError(413, `The message is larger than ${limit} bytes`)
}

/** Says which message is wrong. */
function numbered (error: unknown, number: number): unknown {
  const prefix = `Message ${number} of the request: `
  if (error instanceof HttpStatusError) return new HttpStatusError(error.statusCode, prefix + error.message)
  if (!(error instanceof GrpcError)) return error
  const { code, details, errorDetails, cause } = error
  return new GrpcError(code, prefix + details, { errorDetails, ...(cause === undefined ? {} : { cause }) })
}
