/**
 * One exchange of a protocol of ours as grpc-js's `ServerInterceptingCallInterface`: what interceptors and
 * handlers see of a call. A transport extends it with how messages come in and go out.
 *
 * Order, single sending of headers and status, cancellation and deadline are as in grpc-js's own call.
 *
 * @see https://github.com/grpc/proposal/blob/master/L112-node-server-interceptors.md
 */
import type { TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'
import { Metadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import { GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import type { AuthContext } from './context.ts'
import { deadlineExceeded, LONGEST_TIMER } from './deadline.ts'
import type { CallListener, Status } from './invocation.ts'
import { ListenerWithin, type CallObserver } from './observer.ts'

type ConnectionInfo = ReturnType<ServerInterceptingCallInterface['getConnectionInfo']>
type MetricsRecorder = ReturnType<ServerInterceptingCallInterface['getMetricsRecorder']>

/** A listener that may be done before it hears of the end. */
interface Settling {
  readonly isSettled: boolean
}

export abstract class ServerCall implements ServerInterceptingCallInterface {
  /** Undefined where nobody watches. */
  observer: CallObserver | undefined = undefined
  readonly #socket: Socket
  readonly #deadline: number = Infinity
  readonly #timer: NodeJS.Timeout | undefined
  #listener: (CallListener & Partial<Settling>) | undefined
  #metadataSent = false
  #over = false

  /** @param timeout in milliseconds; undefined for no deadline */
  constructor (socket: Socket, timeout: number | undefined) {
    this.#socket = socket
    if (timeout === undefined) return
    this.#deadline = Date.now() + timeout
    if (timeout <= LONGEST_TIMER) this.#timer = setTimeout(() => this.sendStatus(deadlineExceeded(timeout)), timeout)
  }

  /** The request's metadata. */
  protected abstract receiveMetadata (): Metadata
  /** The handler or an interceptor wants the next message, or the end of them: call `deliver` or `deliverEnd`. */
  protected abstract read (): void
  protected abstract writeMetadata (metadata: Metadata): void
  /** Throws when the message does not fit its type. */
  protected abstract serialize (message: unknown): string | Uint8Array
  /** @param done to be called when the next message may follow */
  protected abstract writeMessage (serialized: string | Uint8Array, done: () => void): void
  protected abstract writeStatus (ending: Status): void

  /** Whether nothing more can be sent: the status was, or the client is gone. */
  get isOver (): boolean {
    return this.#over
  }

  start (listener: CallListener): void {
    if (this.#over) return
    this.listen(listener)
    this.#listener!.onReceiveMetadata(this.receiveMetadata())
  }

  /** Makes `listener` hear of the end of the call, when what precedes has come to it by another way. */
  listen (listener: CallListener & Partial<Settling>): void {
    const run = this.observer?.run
    this.#listener = run === undefined ? listener : new ListenerWithin(run, listener)
  }

  startRead (): void {
    if (!this.#over) this.read()
  }

  protected deliver (message: unknown): void {
    if (this.#over) return
    this.observer?.messageReceived()
    this.#listener?.onReceiveMessage(message)
  }

  protected deliverEnd (): void {
    if (!this.#over) this.#listener?.onReceiveHalfClose()
  }

  sendMetadata (metadata: Metadata): void {
    if (this.#over || this.#metadataSent) return
    this.#metadataSent = true
    this.writeMetadata(metadata)
  }

  sendMessage (message: unknown, callback: () => void): void {
    if (this.#over) return
    let serialized
    try {
      serialized = this.serialize(message)
    } catch (error) {
      this.report(error, 'The response does not fit its message type')
      this.sendStatus({ code: status.INTERNAL, details: error instanceof GrpcError ? error.details : 'Error serializing response' })
      return
    }
    const size = sizeAbove(serialized, this.responseBytes)
    if (size === undefined) {
      this.observer?.messageSent()
      return this.writeMessage(serialized, callback)
    }
    // As grpc-js says it.
    const details = `Sent message larger than max (${size} vs. ${this.responseBytes})`
    this.report(new Error(details), RESPONSE_TOO_LARGE)
    this.sendStatus({ code: status.RESOURCE_EXHAUSTED, details })
  }

  /** The largest response message. */
  protected abstract get responseBytes (): number
  /** Logs what no handler is told of. */
  protected abstract report (error: unknown, message: string): void
  /** Ends the exchange somehow, when `writeStatus` has thrown. */
  protected abstract breakOff (): void
  /** The call is over: nothing more is read or written. */
  protected abstract released (): void

  sendStatus (ending: Status): void {
    if (this.#over) return
    this.#finish()
    let sent = ending
    try {
      this.writeStatus(ending)
    } catch (error) {
      this.report(error, 'The response could not be written')
      this.breakOff()
      sent = { code: status.INTERNAL, details: 'The response could not be written' }
    }
    this.observer?.ended(sent)
  }

  /** The client is gone. */
  cancel (): void {
    if (this.#over) return
    this.#finish()
    this.observer?.ended({ code: status.CANCELLED, details: 'The client cancelled the call' })
  }

  /** As in grpc-js, listeners hear of every end, on the next tick; but for those that know of it and are done. */
  #finish (): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.released()
    if (this.#listener !== undefined && this.#listener.isSettled !== true) process.nextTick(notify, this.#listener)
  }

  getDeadline (): number {
    return this.#deadline
  }

  getPeer (): string {
    return peerOf(this.#socket)
  }

  abstract getHost (): string

  getAuthContext (): AuthContext {
    const socket = this.#socket as Partial<TLSSocket>
    if (socket.authorized !== true) return {}
    const certificate = socket.getPeerCertificate!()
    return { transportSecurityType: 'ssl', ...(certificate.raw === undefined ? {} : { sslPeerCertificate: certificate }) }
  }

  getConnectionInfo (): ConnectionInfo {
    const { localAddress, localPort, remoteAddress, remotePort } = this.#socket
    return { localAddress, localPort, remoteAddress, remotePort }
  }

  getMetricsRecorder (): MetricsRecorder {
    return droppedMetrics as unknown as MetricsRecorder
  }
}

/** The address and port of who is connected. */
export function peerOf ({ remoteAddress, remotePort }: Socket): string {
  if (remoteAddress === undefined) return 'unknown'
  return remotePort === undefined ? remoteAddress : `${remoteAddress}:${remotePort}`
}

/** For the log, on every protocol. */
export const RESPONSE_TOO_LARGE = 'The response message is larger than limits.responseBytes'

/** The most bytes that a UTF-16 unit takes in UTF-8. */
const BYTES_PER_UNIT = 3

/** How many bytes it has, when they are more than `limit`. */
function sizeAbove (serialized: string | Uint8Array, limit: number): number | undefined {
  if (serialized.length * BYTES_PER_UNIT <= limit) return undefined
  const size = Buffer.byteLength(serialized)
  return size > limit ? size : undefined
}

function notify (listener: CallListener): void {
  listener.onCancel()
}

function drop (): void {}

/** grpc-js sends what is recorded only with a channel option that other protocols do not have. */
const droppedMetrics = {
  recordRequestCostMetric: drop,
  recordUtilizationMetric: drop,
  recordNamedMetric: drop,
  recordCPUUtilizationMetric: drop,
  recordMemoryUtilizationMetric: drop,
  recordApplicationUtilizationMetric: drop,
  recordQpsMetric: drop,
  recordEpsMetric: drop,
  serialize: () => Buffer.alloc(0)
}
