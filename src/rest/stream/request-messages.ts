/** The messages of a request body, read while it arrives and no faster than they are wanted. */
import type { FastifyRequest } from 'fastify'
import type protobuf from 'protobufjs'
import { GrpcError } from '../../errors.ts'
import type { JsonReader } from '../../json/codec.ts'
import type { JsonReadOptions } from '../../json/options.ts'
import { HttpStatusError } from '../http-status-error.ts'
import { jsonStreamKind } from '../media-type.ts'
import { JsonSplitter } from './json-splitter.ts'
import { LineSplitter } from './line-splitter.ts'
import type { MessageSplitter } from './message-splitter.ts'
import { queryBinder, type QueryBinder } from '../query-binder.ts'

export interface MessageReceiver {
  onMessage (message: unknown): void
  onEnd (): void
  /** The body is wrong. Nothing follows. */
  onError (error: unknown): void
}

export interface RequestStreamOptions {
  readonly type: protobuf.Type
  readonly reader: JsonReader
  readonly json: JsonReadOptions
  /** The most bytes that a message may have. */
  readonly messageBytes: number
}

/** Makes the function that begins to read the request messages of a call. It throws an HttpStatusError 415. */
export function requestStreamReader ({ type, reader, json, messageBytes }: RequestStreamOptions): (request: FastifyRequest, receiver: MessageReceiver) => RequestMessages {
  const bindQuery = queryBinder(type, json)
  return (request, receiver) => {
    const splitter = jsonStreamKind(request.headers) === 'lines' ? new LineSplitter(messageBytes) : new JsonSplitter(messageBytes)
    return new RequestMessages(request, splitter, reader, bindQuery(request.raw.url!), receiver)
  }
}

export class RequestMessages {
  /** Undefined for a request without body. */
  readonly #body: NodeJS.ReadableStream | undefined
  readonly #isGone: () => boolean
  readonly #splitter: MessageSplitter
  readonly #reader: JsonReader
  readonly #query: QueryBinder
  readonly #receiver: MessageReceiver
  #started = false
  /** How many messages have been asked for. */
  #wanted = 0
  #given = 0
  #isDelivering = false
  /** Whether all bytes have come. */
  #isComplete = false
  #isOver = false

  constructor ({ body, raw }: FastifyRequest, splitter: MessageSplitter, reader: JsonReader, query: QueryBinder, receiver: MessageReceiver) {
    this.#body = typeof (body as Partial<NodeJS.ReadableStream> | undefined)?.pipe === 'function' ? body as NodeJS.ReadableStream : undefined
    this.#isGone = () => raw.destroyed || raw.socket.destroyed
    this.#splitter = splitter
    this.#reader = reader
    this.#query = query
    this.#receiver = receiver
  }

  /** Gives the next message, or the end, to the receiver: now, or when it has come. */
  read (): void {
    if (this.#isOver) return
    this.#wanted++
    if (!this.#started) this.#start()
    if (!this.#isDelivering) this.#deliver()
  }

  /** Nothing more is wanted: what still comes is dropped. */
  stop (): void {
    if (this.#isOver) return
    this.#isOver = true
    const body = this.#body
    if (body === undefined || !this.#started) return
    body.removeListener('data', this.#onData)
    body.removeListener('end', this.#onEnd)
    if (!this.#isComplete) body.resume()
  }

  #start (): void {
    this.#started = true
    const body = this.#body
    if (body === undefined) {
      this.#isComplete = true
      return
    }
    body.on('data', this.#onData)
    body.on('end', this.#onEnd)
    body.on('error', this.#onError)
  }

  readonly #onData = (chunk: Buffer | string): void => {
    this.#body!.pause()
    this.#splitter.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
    this.#deliver()
  }

  readonly #onEnd = (): void => {
    this.#isComplete = true
    this.#splitter.end()
    this.#deliver()
  }

  readonly #onError = (error: Error & { statusCode?: number }): void => {
    // Clients that are gone cancel their calls.
    if (!this.#isOver && !this.#isGone()) this.#fail(new HttpStatusError(error.statusCode ?? 400, error.message))
  }

  /** A message that is delivered may ask for the next one at once, which must not nest ever deeper. */
  #deliver (): void {
    this.#isDelivering = true
    while (this.#wanted > 0 && !this.#isOver) {
      let message
      try {
        message = this.#next()
      } catch (error) {
        this.#fail(error)
        break
      }
      if (message !== undefined) {
        this.#wanted--
        this.#receiver.onMessage(message)
      } else if (this.#isComplete) {
        this.#isOver = true
        this.#receiver.onEnd()
      } else {
        this.#body!.resume()
        break
      }
    }
    this.#isDelivering = false
  }

  #next (): unknown {
    const text = this.#splitter.next()
    const first = this.#given === 0
    if (text === undefined && !(first && this.#isComplete && this.#query.hasFields)) return undefined
    this.#given++
    try {
      return this.#reader.fromText(first ? this.#query.bind(text ?? '{}') : text!)
    } catch (error) {
      throw numbered(error, this.#given)
    }
  }

  #fail (error: unknown): void {
    this.stop()
    this.#receiver.onError(error)
  }
}

/** Says which message is wrong. */
function numbered (error: unknown, number: number): unknown {
  if (!(error instanceof GrpcError)) return error
  const { code, details, errorDetails, cause } = error
  return new GrpcError(code, `Message ${number} of the request: ${details}`, { errorDetails, ...(cause === undefined ? {} : { cause }) })
}
