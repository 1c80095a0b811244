/**
 * A call over a WebSocket, of whichever kind. A frame is a message; see `codec.ts` for what else frames say. The end
 * of the call is a last frame and the close of the socket.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6455
 */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Status } from '../../call/invocation.ts'
import { status } from '../../status.ts'
import { cancelOnDisconnect, forgetCall } from '../disconnect.ts'
import { endOfCall, listed } from '../end-of-call.ts'
import { HttpCall, type HttpRoute } from '../http-call.ts'
import { observeCall } from '../observation.ts'
import type { FrameCodec } from './codec.ts'
import { Entrance } from './entrance.ts'
import { Heartbeat } from './heartbeat.ts'
import { FrameRequests } from './requests.ts'
import { CLOSED, OPEN, type WebSocket } from './socket.ts'

/** With this many bytes waiting to be written, the handler has to wait too. */
const MOST_WAITING = 16 * 1024

/** How long a handler may read what came before a socket was closed in order, in milliseconds. */
const LONGEST_READING_MS = 60_000

/** How long a client that has been sent everything may take to answer the close of its socket, in milliseconds. */
const LONGEST_CLOSING_MS = 2000

/** A handler that writes so much without reading does not do that for its requests. */
const MOST_DROPPED = 1000

/** The HTTP status of every call that has begun. */
const SWITCHING_PROTOCOLS = 101

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
  declare protected readonly route: WebSocketRoute
  readonly #codec: FrameCodec
  /** As long as the connection is not upgraded. */
  #entrance: Entrance | undefined
  #socket!: WebSocket
  #requests: FrameRequests | undefined
  #heartbeat: Heartbeat | undefined
  #isCorked = false
  /** How many messages were dropped since the handler has last read. */
  #dropped = 0
  #lastWords: NodeJS.Timeout | undefined

  constructor (route: WebSocketRoute, codec: FrameCodec, request: FastifyRequest, timeout: number | undefined) {
    super(route, request, timeout)
    this.observer = observeCall(route.observe, this, request)
    this.#codec = codec
  }

  /** Starts the call before its connection is upgraded. Resolves when it has been let in; rejects when it is refused. */
  enter (reply: FastifyReply, start: () => void): Promise<void> {
    this.#entrance = new Entrance()
    cancelOnDisconnect(this, this.request, reply)
    this.#noticeEnd()
    start()
    return this.#entrance.decision
  }

  /** Nobody reads a connection that waits for its upgrade, so that nobody would hear of its end. */
  #noticeEnd (): void {
    const { socket } = this.request.raw
    const onEnd = (): void => this.cancel()
    socket.once('end', onEnd)
    socket.read(0)
    this.#entrance!.afterUpgrade(() => socket.removeListener('end', onEnd))
  }

  letIn (goOn: () => void): void {
    if (this.#entrance === undefined) goOn()
    else this.#entrance.upgrade(goOn)
  }

  /** The connection is upgraded. */
  open (socket: WebSocket): void {
    const entrance = this.#entrance
    this.#entrance = undefined
    forgetCall(this, this.request)
    this.#socket = socket
    if (!this.isOver) this.#listen(socket)
    if (entrance?.open() !== true && this.isOver) socket.terminate()
  }

  #listen (socket: WebSocket): void {
    const { observer, route: { gateway: { messageBytes, streams }, requestStream } } = this
    this.#requests = new FrameRequests(socket, { reader: this.#codec.open(this.request.raw.url!), binary: this.#codec.binary, requestStream, messageBytes }, {
      onBytes: observer === undefined ? undefined : bytes => observer.bytesReceived(bytes),
      onMessage: message => this.deliver(message),
      onEnd: () => this.#endRequests(),
      onError: error => this.refuse(error)
    })
    this.#heartbeat = new Heartbeat(socket, streams, () => this.cancel())
    socket.on('close', (code: number) => this.#onClose(code))
  }

  override cancel (): void {
    super.cancel()
    this.#entrance?.leave()
  }

  override get httpStatus (): number | undefined {
    return this.#entrance === undefined ? SWITCHING_PROTOCOLS : undefined
  }

  protected override read (): void {
    if (this.#entrance !== undefined) return this.#entrance.afterUpgrade(() => this.read())
    this.#dropped = 0
    this.#requests?.read()
  }

  /** A socket that was closed in order has ended its requests, but nobody is there to hear of the answer. */
  #endRequests (): void {
    this.deliverEnd()
    if (this.#socket.readyState !== OPEN) setImmediate(() => this.cancel())
  }

  #onClose (code: number): void {
    const isOrderly = code === NORMAL_CLOSURE || code === NO_CODE
    if (!isOrderly || this.#requests === undefined || this.#requests.isOver) return this.cancel()
    this.#lastWords = setTimeout(() => this.cancel(), LONGEST_READING_MS)
    this.#requests.end()
  }

  protected override writeMetadata (metadata: Metadata): void {
    if (this.#entrance !== undefined) return this.#entrance.afterUpgrade(() => this.writeMetadata(metadata))
    this.#control({ headers: listed(this.route.gateway, metadata, 'initial') })
  }

  protected override serialize (message: unknown): string | Uint8Array {
    return this.#codec.write(message)
  }

  protected override writeMessage (serialized: string | Uint8Array, done: () => void): void {
    if (this.#entrance !== undefined) return this.#entrance.upgrade(() => this.writeMessage(serialized, done))
    if (this.#socket.readyState !== OPEN) return this.#drop(done)
    this.#cork()
    this.observer?.bytesSent(Buffer.byteLength(serialized))
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
    if (this.#requests?.isOver === true || ++this.#dropped > MOST_DROPPED) this.cancel()
    else setImmediate(done)
  }

  protected override writeStatus (ending: Status): void {
    if (this.#entrance !== undefined) {
      if (!this.#entrance.refuse(ending)) this.#entrance.upgrade(() => this.writeStatus(ending))
      return
    }
    const { gateway } = this.route
    const { error, status } = endOfCall(gateway, ending, this.refusedWith)
    if (this.#socket.readyState === CLOSED) return
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
    this.#requests?.stop()
    this.#heartbeat?.stop()
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
