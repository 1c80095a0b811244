/**
 * A call over a WebSocket, of whichever kind. A frame is a message; see `codec.ts` for what else frames say. The end
 * of the call is a last frame and the close of the socket.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6455
 */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyRequest } from 'fastify'
import type { Status } from '../../call/invocation.ts'
import { status } from '../../status.ts'
import { endOfCall, listed } from '../end-of-call.ts'
import { HttpCall, type HttpRoute } from '../http-call.ts'
import type { FrameCodec } from './codec.ts'
import { Heartbeat } from './heartbeat.ts'
import { FrameRequests } from './requests.ts'
import { OPEN, type WebSocket } from './socket.ts'

/** With this many bytes waiting to be written, the handler has to wait too. */
const MOST_WAITING = 16 * 1024

/** How long a handler may read what came before a socket was closed in order, in milliseconds. */
const LONGEST_READING_MS = 60_000

/** How long a client that has been sent everything may take to answer the close of its socket, in milliseconds. */
const LONGEST_CLOSING_MS = 2000

/** A handler that writes so much without reading does not do that for its requests. */
const MOST_DROPPED = 1000

const NORMAL_CLOSURE = 1000
const NO_CODE = 1005
const INTERNAL_ERROR = 1011
/** From here on, codes are for private use: this and the gRPC status code. */
const FIRST_PRIVATE_CODE = 4000
/** In bytes. */
const LONGEST_REASON = 123

export interface WebSocketRoute extends HttpRoute {
  readonly requestStream: boolean
}

export class WebSocketCall extends HttpCall {
  override readonly protocol = 'websocket'
  readonly #socket: WebSocket
  readonly #codec: FrameCodec
  readonly #requests: FrameRequests
  readonly #heartbeat: Heartbeat
  #isCorked = false
  /** How many messages were dropped since the handler has last read. */
  #dropped = 0
  #lastWords: NodeJS.Timeout | undefined

  constructor (route: WebSocketRoute, codec: FrameCodec, request: FastifyRequest, socket: WebSocket, timeout: number | undefined) {
    super(route, request, timeout)
    const { gateway: { bodyLimit, streams }, requestStream } = route
    this.#socket = socket
    this.#codec = codec
    this.#requests = new FrameRequests(socket, { reader: codec.open(request.raw.url!), binary: codec.binary, requestStream, messageBytes: bodyLimit }, {
      onMessage: message => this.deliver(message),
      onEnd: () => this.#endRequests(),
      onError: error => this.refuse(error)
    })
    this.#heartbeat = new Heartbeat(socket, streams, () => this.cancel())
    socket.on('close', (code: number) => this.#onClose(code))
  }

  protected override read (): void {
    this.#dropped = 0
    this.#requests.read()
  }

  /** A socket that was closed in order has ended its requests, but nobody is there to hear of the answer. */
  #endRequests (): void {
    this.deliverEnd()
    if (this.#socket.readyState !== OPEN) setImmediate(() => this.cancel())
  }

  #onClose (code: number): void {
    const isOrderly = code === NORMAL_CLOSURE || code === NO_CODE
    if (!isOrderly || this.#requests.isOver) return this.cancel()
    this.#lastWords = setTimeout(() => this.cancel(), LONGEST_READING_MS)
    this.#requests.end()
  }

  protected override writeMetadata (metadata: Metadata): void {
    this.#control({ headers: listed(this.route.gateway, metadata, 'initial') })
  }

  protected override serialize (message: unknown): string | Uint8Array {
    return this.#codec.write(message)
  }

  protected override writeMessage (serialized: string | Uint8Array, done: () => void): void {
    if (this.#socket.readyState !== OPEN) return this.#drop(done)
    this.#cork()
    if (this.#socket.bufferedAmount < MOST_WAITING) {
      this.#socket.send(serialized, { binary: this.#codec.binary })
      done()
    } else {
      // Who writes without end must not keep everybody else waiting.
      this.#socket.send(serialized, { binary: this.#codec.binary }, () => setImmediate(done))
    }
  }

  /** Of a message that nobody gets: the handler may go on as long as it reads what came before the close. */
  #drop (done: () => void): void {
    if (this.#requests.isOver || ++this.#dropped > MOST_DROPPED) this.cancel()
    else setImmediate(done)
  }

  protected override writeStatus (ending: Status): void {
    const { gateway } = this.route
    const { error, status } = endOfCall(gateway, ending, this.refusedWith)
    this.#socket.once('close', gateway.closings.add(() => this.#socket.terminate()))
    this.#cork()
    const end = { ...status, requestId: this.requestId() }
    this.#control(error === undefined ? end : { ...end, error: JSON.parse(error.object) }, () => {
      setTimeout(() => this.#socket.terminate(), LONGEST_CLOSING_MS).unref()
    })
    this.#socket.close(closeCode(ending.code), cut(String(ending.details)))
  }

  protected override breakOff (): void {
    this.#socket.close(INTERNAL_ERROR, '')
  }

  protected override released (): void {
    super.released()
    this.#requests.stop()
    this.#heartbeat.stop()
    clearTimeout(this.#lastWords)
  }

  #control (object: object, written?: () => void): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(object), { binary: !this.#codec.binary }, written)
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

/** Interceptors may send codes that gRPC does not know. */
function closeCode (code: number): number {
  return code === status.OK ? NORMAL_CLOSURE : FIRST_PRIVATE_CODE + (code < 1000 ? code : status.UNKNOWN)
}

/** The longest beginning of a text that a close frame can carry. */
function cut (text: string): string {
  // A character that is cut in two waits for its other half, which never comes.
  return new TextDecoder().decode(Buffer.from(text).subarray(0, LONGEST_REASON), { stream: true })
}
