/**
 * A call over a WebSocket, of whichever kind. A frame is a message; see `codec.ts` for what else frames say. The end
 * of the call is a last frame and the close of the socket.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6455
 */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyRequest } from 'fastify'
import type { Status } from '../../call/invocation.ts'
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'
import { endOfCall, listed } from '../end-of-call.ts'
import { HttpCall, type HttpRoute } from '../http-call.ts'
import { endingOf } from '../reply.ts'
import { HttpStatusError } from '../http-status-error.ts'
import type { FrameCodec, FrameReader } from './codec.ts'
import { Heartbeat } from './heartbeat.ts'
import { OPEN, type WebSocket } from './socket.ts'

/** With this many bytes waiting to be written, the handler has to wait too. */
const MOST_WAITING = 16 * 1024

const NORMAL_CLOSURE = 1000
const NO_CODE = 1005
const INTERNAL_ERROR = 1011
/** From here on, codes are for private use: this and the gRPC status code. */
const FIRST_PRIVATE_CODE = 4000
/** In bytes. */
const LONGEST_REASON = 123

export class WebSocketCall extends HttpCall {
  override readonly protocol = 'websocket'
  readonly #socket: WebSocket
  readonly #codec: FrameCodec
  readonly #reader: FrameReader
  readonly #requestStream: boolean
  readonly #heartbeat: Heartbeat
  /** Messages that nobody has asked for yet. */
  readonly #waiting: Buffer[] = []
  #wanted = 0
  #given = 0
  #isDelivering = false
  /** Whether the client sends no more messages. */
  #isComplete = false
  #hasEnded = false
  #isCorked = false

  constructor (route: HttpRoute, { codec, requestStream }: { codec: FrameCodec, requestStream: boolean }, request: FastifyRequest, socket: WebSocket, timeout: number | undefined) {
    super(route, request, timeout)
    this.#socket = socket
    this.#codec = codec
    this.#reader = codec.open(request.raw.url!)
    this.#requestStream = requestStream
    this.#heartbeat = new Heartbeat(socket, route.gateway.streams, () => this.cancel())
    socket.on('message', (frame: Buffer, isBinary: boolean) => this.#receive(frame, isBinary))
    socket.on('close', (code: number) => this.#onClose(code))
  }

  override refuse (error: unknown): void {
    this.sendStatus(endingOf(this.route.gateway, error, this.request).ending)
  }

  protected override read (): void {
    this.#wanted++
    if (!this.#isDelivering) this.#deliver()
  }

  #receive (frame: Buffer, isBinary: boolean): void {
    this.#heartbeat.hear()
    if (this.isOver) return
    try {
      this.#take(frame, isBinary)
    } catch (error) {
      return this.refuse(error)
    }
    if (!this.#isDelivering) this.#deliver()
  }

  #take (frame: Buffer, isBinary: boolean): void {
    if (isBinary !== this.#codec.binary) {
      if (frame.length > 0) throw new GrpcError(status.INVALID_ARGUMENT, this.#codec.binary ? 'Messages are binary frames; a text frame must be empty, and ends the requests' : 'Messages are text frames; a binary frame must be empty, and ends the requests')
      this.#isComplete = true
      return
    }
    if (this.#isComplete) throw new GrpcError(status.INVALID_ARGUMENT, this.#requestStream ? 'A message came after the end of the requests' : 'The RPC takes one request message')
    const { bodyLimit } = this.route.gateway
    if (frame.length > bodyLimit) throw new HttpStatusError(413, `The message is larger than ${bodyLimit} bytes`)
    this.#waiting.push(frame)
    if (!this.#requestStream) this.#isComplete = true
  }

  /** A message that is delivered may ask for the next one at once, which must not nest ever deeper. */
  #deliver (): void {
    this.#isDelivering = true
    while (this.#wanted > 0 && !this.isOver && !this.#hasEnded) {
      const frame = this.#waiting.shift()
      if (frame === undefined && !this.#isComplete) break
      if (frame !== undefined || (this.#given === 0 && this.#reader.hasFields)) {
        this.#wanted--
        this.#deliverFrame(frame)
      } else {
        this.#end()
      }
    }
    this.#isDelivering = false
    if (this.#waiting.length > 0) this.#socket.pause()
    else this.#socket.resume()
  }

  #deliverFrame (frame: Buffer | undefined): void {
    let message
    try {
      message = this.#reader.read(frame, this.#given++ === 0)
    } catch (error) {
      return this.refuse(error)
    }
    this.deliver(message)
  }

  #end (): void {
    this.#hasEnded = true
    this.deliverEnd()
    if (this.#socket.readyState !== OPEN) setImmediate(() => this.cancel())
  }

  /** A close in order ends the requests: those that came before it reach the handler. The answer has nobody to go to. */
  #onClose (code: number): void {
    const isOrderly = code === NORMAL_CLOSURE || code === NO_CODE
    if (this.isOver || !isOrderly || this.#hasEnded) return this.cancel()
    this.#isComplete = true
    if (this.#waiting.length === 0) this.#end()
    else this.#deliver()
  }

  protected override writeMetadata (metadata: Metadata): void {
    this.#control({ headers: listed(this.route.gateway, metadata, 'initial') })
  }

  protected override serialize (message: unknown): string | Uint8Array {
    return this.#codec.write(message)
  }

  protected override writeMessage (serialized: string | Uint8Array, done: () => void): void {
    if (this.#socket.readyState !== OPEN) return this.cancel()
    this.#cork()
    if (this.#socket.bufferedAmount < MOST_WAITING) {
      this.#socket.send(serialized, { binary: this.#codec.binary })
      done()
    } else {
      // Who writes without end must not keep everybody else waiting.
      this.#socket.send(serialized, { binary: this.#codec.binary }, () => setImmediate(done))
    }
  }

  protected override writeStatus (ending: Status): void {
    const { error, object } = endOfCall(this.route.gateway, ending)
    this.#cork()
    this.#control(error === undefined ? JSON.parse(object) : { ...JSON.parse(object), error: JSON.parse(error.object) })
    this.#socket.close(ending.code === status.OK ? NORMAL_CLOSURE : FIRST_PRIVATE_CODE + ending.code, cut(String(ending.details)))
    this.#socket.resume()
  }

  protected override breakOff (): void {
    this.#socket.close(INTERNAL_ERROR, '')
  }

  protected override released (): void {
    this.#waiting.length = 0
    this.#heartbeat.stop()
  }

  #control (object: object): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(object), { binary: !this.#codec.binary })
  }

  /** What is written in one tick goes out at once. */
  #cork (): void {
    if (this.#isCorked) return
    this.#isCorked = true
    const { socket } = this.request.raw
    socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      socket.uncork()
    })
  }
}

/** The longest beginning of a text that a close frame can carry. */
function cut (text: string): string {
  let end = Math.min(text.length, LONGEST_REASON)
  while (Buffer.byteLength(text.slice(0, end).toWellFormed()) > LONGEST_REASON) end--
  return text.slice(0, end).toWellFormed()
}
