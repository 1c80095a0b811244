/** The messages of a request body, read while it arrives and no faster than they are wanted. */
import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type protobuf from 'protobufjs'
import { GrpcError } from '../../errors.ts'
import type { JsonReader } from '../../json/codec.ts'
import type { JsonReadOptions } from '../../json/options.ts'
import { HttpStatusError } from '../http-status-error.ts'
import { MessagePump, type MessageReceiver, type MessageSource } from '../message-pump.ts'
import { jsonStreamKind } from '../media-type.ts'
import { JsonSplitter } from './json-splitter.ts'
import { LineSplitter } from './line-splitter.ts'
import type { MessageSplitter } from './message-splitter.ts'
import { queryBinder, type QueryBinder } from '../query-binder.ts'

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

export class RequestMessages implements MessageSource {
  /** Undefined for a request without body. */
  readonly #body: NodeJS.ReadableStream | undefined
  readonly #isGone: () => boolean
  readonly #splitter: MessageSplitter
  readonly #reader: JsonReader
  readonly #query: QueryBinder
  readonly #pump: MessagePump
  #started = false
  /** Messages that have been read before they are wanted; the next one is the last. */
  #read: unknown[] = []
  #given = 0
  /** Whether all bytes have come. */
  #isComplete = false

  constructor ({ body, raw }: FastifyRequest, splitter: MessageSplitter, reader: JsonReader, query: QueryBinder, receiver: MessageReceiver) {
    this.#body = body === undefined || body === null ? undefined : streamOf(body)
    this.#isGone = () => raw.aborted || raw.socket.destroyed
    this.#splitter = splitter
    this.#reader = reader
    this.#query = query
    this.#pump = new MessagePump(this, receiver)
  }

  get isComplete (): boolean {
    return this.#isComplete
  }

  /** Gives the next message, or the end, to the receiver: now, or when it has come. */
  read (): void {
    if (!this.#started) this.#start()
    this.#pump.read()
  }

  /** Nothing more is wanted: what still comes is dropped. */
  stop (): void {
    this.#pump.stop()
    const body = this.#body
    if (body === undefined || !this.#started) return
    body.removeListener('data', this.#onData)
    body.removeListener('end', this.#onEnd)
    if (!this.#isComplete) body.resume()
  }

  next (): unknown {
    if (this.#read.length === 0) this.#readLines()
    if (this.#read.length > 0) {
      this.#given++
      const message = this.#read.pop()
      this.#resumeIfEmpty()
      return message
    }
    const text = this.#splitter.next()
    const isFirst = this.#given === 0
    this.#resumeIfEmpty()
    if (text === undefined && !(isFirst && this.#isComplete && this.#query.hasFields)) return undefined
    this.#given++
    try {
      return this.#reader.fromText(isFirst ? this.#query.bind(text ?? '{}') : text!)
    } catch (error) {
      throw numbered(error, this.#given)
    }
  }

  /** Reads the lines that have come at once, where nothing is to be said about a single one. */
  #readLines (): void {
    const { lines } = this.#splitter
    if (lines === undefined || (this.#given === 0 && this.#query.hasFields)) return
    const messages = this.#reader.fromLines(lines)
    if (messages === undefined) return
    this.#splitter.takeLines!()
    this.#read = messages.reverse()
  }

  #resumeIfEmpty (): void {
    if (this.#read.length === 0 && this.#splitter.isEmpty && !this.#isComplete) this.#body!.resume()
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
    // Bytes of half a message do not wait until that is wanted, so that it is noticed when the client goes away.
    this.#resumeIfEmpty()
    this.#pump.advance()
  }

  readonly #onEnd = (): void => {
    // Node.js ends an HTTP/2 request that the client takes back without an error.
    if (this.#isGone()) return
    this.#isComplete = true
    this.#splitter.end()
    this.#pump.advance()
  }

  readonly #onError = (error: Error & { statusCode?: number }): void => {
    // Clients that are gone cancel their calls.
    if (!this.#isGone()) this.#pump.fail(new HttpStatusError(error.statusCode ?? 400, error.message))
  }
}

/** @param body what came, or what a hook has put in its place */
function streamOf (body: unknown): NodeJS.ReadableStream {
  if (typeof (body as Partial<NodeJS.ReadableStream>).pipe === 'function') return body as NodeJS.ReadableStream
  return Readable.from([typeof body === 'string' || body instanceof Uint8Array ? Buffer.from(body as string) : Buffer.from(JSON.stringify(body))])
}

/** Says which message is wrong. */
function numbered (error: unknown, number: number): unknown {
  if (!(error instanceof GrpcError)) return error
  const { code, details, errorDetails, cause } = error
  return new GrpcError(code, `Message ${number} of the request: ${details}`, { errorDetails, ...(cause === undefined ? {} : { cause }) })
}
