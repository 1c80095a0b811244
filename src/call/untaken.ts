/**
 * What clients leave lying: answers that they do not take, and the end of a connection that they do not answer. Node.js
 * keeps all of it for as long as the client likes.
 */
import type { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { TimedList, type Timed } from './timed-list.ts'

/** How often it is looked, at least and at most, in milliseconds. */
const LEAST_LOOK_MS = 10
const MOST_LOOK_MS = 1000
/** How many looks there are within a limit. */
const LOOKS = 10
/** How long a client may take to let a stream end, in milliseconds. */
const LONGEST_CLOSING_MS = 500
/** Of HTTP/2. */
const CANCEL = 8

/** A client that takes less of a large answer than this, in bytes a millisecond, counts for one that takes nothing. */
const SLOWEST_RATE = 4

const kAnswered = Symbol('answered')

interface Answer { [kAnswered]?: boolean }

/** A response of HTTP/1.1, or a stream of HTTP/2, has been given all that there is to say, though not all of it is written. */
export function markAnswered (answer: object): void {
  (answer as Answer)[kAnswered] = true
}

/**
 * Ends streams and connections whose clients take nothing of an answer that is complete, or leave a connection open that
 * the server has ended. Those that take it slowly go on, and so does what waits for its handler: calls have limits of
 * their own.
 *
 * @param server of HTTP/1.1 or HTTP/2
 * @param ms how long nothing may be taken; 0 for no limit
 */
export function limitUntaken (server: EventEmitter, ms: number): void {
  if (ms === 0) return
  const list = new TimedList(Math.max(LEAST_LOOK_MS, Math.min(MOST_LOOK_MS, Math.floor(ms / LOOKS))))
  const watch = (untaken: Untaken, carrier: EventEmitter): void => {
    list.add(untaken)
    carrier.once('close', () => list.delete(untaken))
  }
  for (const event of ['connection', 'secureConnection']) server.on(event, (socket: Socket) => watch(new OpenConnection(socket, ms), socket))
  server.on('stream', (stream: ServerHttp2Stream) => watch(new OpenStream(stream, ms), stream))
}

/** How much of an answer is left to be taken. */
interface Rest {
  /** In bytes. */
  readonly size: number
  /** Changes with all that the client takes, and may change without; NaN when it is not known. */
  readonly position: number
}

abstract class Untaken implements Timed {
  previous: Timed | undefined = undefined
  next: Timed | undefined = undefined
  isListed = false
  readonly #limitMs: number
  #size = -1
  #position = -1
  /** When each was first seen to be what it is. */
  #sizeSince = 0
  #positionSince = 0

  constructor (limitMs: number) {
    this.#limitMs = limitMs
  }

  isOverdue (now: number): boolean {
    const { size, position } = this.rest() ?? { size: -1, position: -1 }
    if (size !== this.#size) this.#sizeSince = now
    if (size !== this.#size || position !== this.#position) this.#positionSince = now
    this.#size = size
    this.#position = position
    if (size < 0) return false
    return now - this.#positionSince >= this.#limitMs || now - this.#sizeSince >= this.#limitMs + size / SLOWEST_RATE
  }

  /** Undefined as long as nothing is the client's to take. */
  protected abstract rest (): Rest | undefined

  abstract expire (): void
}

/** What is not public: the response that is being written, and what knows how much has gone out of a large write. */
type WritingSocket = Socket & { readonly _httpMessage?: ServerResponse & Answer | null, readonly _handle?: Handle | null }

interface Handle {
  readonly bytesWritten?: number
  /** Of `bytesWritten`, those that have not gone out. */
  readonly writeQueueSize?: number
  /** Below TLS. */
  readonly _parent?: Handle
}

/** Of HTTP/2 no more than its end is seen here: sessions take the handles of their sockets. */
class OpenConnection extends Untaken {
  readonly #socket: WritingSocket

  constructor (socket: Socket, limitMs: number) {
    super(limitMs)
    this.#socket = socket
  }

  protected override rest (): Rest | undefined {
    const { writableEnded, writableLength, _httpMessage: response, _handle: handle } = this.#socket
    if (!writableEnded && (writableLength === 0 || response == null || !(response.writableEnded || response[kAnswered] === true))) return undefined
    const { bytesWritten = NaN, writeQueueSize = NaN } = handle?._parent ?? handle ?? {}
    return { size: writableLength, position: bytesWritten - writeQueueSize }
  }

  override expire (): void {
    this.#socket.destroy()
  }
}

class OpenStream extends Untaken {
  readonly #stream: ServerHttp2Stream & Answer

  constructor (stream: ServerHttp2Stream, limitMs: number) {
    super(limitMs)
    this.#stream = stream
  }

  /** Of a large write, no more is known than whether anything goes out on the connection. */
  protected override rest (): Rest | undefined {
    const { writableEnded, bufferSize, session, [kAnswered]: isAnswered = false } = this.#stream
    if (session === undefined || session.destroyed || !(writableEnded || isAnswered)) return undefined
    return { size: bufferSize, position: session.socket.bytesWritten }
  }

  /** A client that does not even let the stream end loses its connection. */
  override expire (): void {
    const { session } = this.#stream
    const timer = setTimeout(() => session?.destroy(), LONGEST_CLOSING_MS).unref()
    this.#stream.once('close', () => clearTimeout(timer))
    this.#stream.close(CANCEL)
  }
}
