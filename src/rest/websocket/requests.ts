/** The request messages that come over a WebSocket. */
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'
import { MessagePump, messageTooLarge, MOST_UNREAD, type MessageReceiver, type MessageSource } from '../message-pump.ts'
import type { FrameReader } from './codec.ts'
import type { WebSocket } from './socket.ts'

export interface FrameRequestsOptions {
  readonly reader: FrameReader
  /** Whether messages are binary frames, or text. */
  readonly binary: boolean
  /** Whether the RPC takes more than one message. */
  readonly requestStream: boolean
  /** The most bytes that a message may have. */
  readonly messageBytes: number
}

/** With this many frames unread, however small they are, the client has to wait too. */
const MOST_FRAMES = 100

export class FrameRequests implements MessageSource {
  readonly #socket: WebSocket
  readonly #options: FrameRequestsOptions
  readonly #receiver: MessageReceiver
  readonly #pump: MessagePump
  readonly #frames: Buffer[] = []
  /** How many bytes wait in them. */
  #unread = 0
  #hasGiven = false
  #isComplete = false
  #isStopped = false

  constructor (socket: WebSocket, options: FrameRequestsOptions, receiver: MessageReceiver) {
    this.#socket = socket
    this.#options = options
    this.#receiver = receiver
    this.#pump = new MessagePump(this, receiver, options.requestStream)
    socket.on('message', (frame: Buffer, isBinary: boolean) => this.#receive(frame, isBinary))
  }

  get isComplete (): boolean {
    return this.#isComplete
  }

  /** Whether the handler has been told that no more messages follow. */
  get isOver (): boolean {
    return this.#pump.isOver
  }

  read (): void {
    this.#pump.read()
  }

  /** No more frames will come. Those that are here are still given. */
  end (): void {
    this.#isComplete = true
    if (this.#hasNext()) this.#pump.advance()
    else this.#pump.end()
  }

  /** Nothing more is wanted: what still comes is dropped. */
  stop (): void {
    this.#isStopped = true
    this.#pump.stop()
    this.#frames.length = 0
    this.#socket.resume()
  }

  next (isFirst: boolean): unknown {
    if (!this.#hasNext()) return undefined
    this.#hasGiven = true
    const frame = this.#frames.shift()
    this.#unread -= frame?.length ?? 0
    if (this.#frames.length === 0) this.#socket.resume()
    return this.#options.reader.read(frame, isFirst)
  }

  /** Without any frame, the query may be a message. */
  #hasNext (): boolean {
    return this.#frames.length > 0 || (this.#isComplete && !this.#hasGiven && this.#options.reader.hasFields)
  }

  #receive (frame: Buffer, isBinary: boolean): void {
    if (this.#isStopped) return
    try {
      this.#take(frame, isBinary)
    } catch (error) {
      this.stop()
      return this.#receiver.onError(error)
    }
    this.#pump.advance()
    if (this.#frames.length >= MOST_FRAMES || this.#unread >= MOST_UNREAD) this.#socket.pause()
  }

  #take (frame: Buffer, isBinary: boolean): void {
    const { binary, requestStream, messageBytes } = this.#options
    if (isBinary !== binary) {
      if (frame.length > 0) throw new GrpcError(status.INVALID_ARGUMENT, binary ? 'Messages are binary frames; a text frame must be empty, and ends the requests' : 'Messages are text frames; a binary frame must be empty, and ends the requests')
      this.#isComplete = true
      return
    }
    if (this.#isComplete) throw new GrpcError(status.INVALID_ARGUMENT, requestStream ? 'A message came after the end of the requests' : 'The RPC takes one request message')
    if (frame.length > messageBytes) throw messageTooLarge(messageBytes)
    this.#receiver.onBytes?.(frame.length)
    this.#frames.push(frame)
    this.#unread += frame.length
    if (!requestStream) this.#isComplete = true
  }
}
