/** The messages of a request body, read while it arrives and no faster than they are wanted. */
import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type protobuf from 'protobufjs'
import type { JsonReader } from '../../json/codec.ts'
import type { JsonReadOptions } from '../../json/options.ts'
import { HttpStatusError } from '../http-status-error.ts'
import { MessagePump, MOST_UNREAD, type MessageReceiver, type MessageSource } from '../message-pump.ts'
import type { OpenRequest, RequestBody } from '../request.ts'
import { isJsonLines } from '../media-type.ts'
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
  /** The most bytes that all messages may have together. */
  readonly bodyBytes: number
}

/** Makes the function that begins to read the request messages of a call. The media type has been checked. */
export function requestStreamReader ({ type, reader, json, messageBytes, bodyBytes }: RequestStreamOptions): OpenRequest {
  const bindQuery = queryBinder(type, json)
  return (request, receiver) => {
    const splitter = isJsonLines(request.headers) ? new LineSplitter(messageBytes) : new JsonSplitter(messageBytes)
    return new RequestMessages(request, splitter, reader, bindQuery(request.raw.url!), receiver, bodyBytes)
  }
}

export class RequestMessages implements MessageSource, RequestBody {
  /** Undefined for a request without body. */
  readonly #body: NodeJS.ReadableStream | undefined
  readonly #isGone: () => boolean
  readonly #splitter: MessageSplitter
  readonly #reader: JsonReader
  readonly #query: QueryBinder
  readonly #pump: MessagePump
  readonly #onBytes: MessageReceiver['onBytes']
  /** The most bytes that may come. */
  readonly #limit: number
  /** How many have come. */
  #length = 0
  #started = false
  /** Messages that have been read before they are wanted; the next one is the last. */
  #readAhead: unknown[] = []
  /** How many bytes have come since nothing was left to be given. */
  #unread = 0
  /** Whether all bytes have come. */
  #isComplete = false

  constructor ({ body, raw }: FastifyRequest, splitter: MessageSplitter, reader: JsonReader, query: QueryBinder, receiver: MessageReceiver, limit: number) {
    this.#limit = limit
    this.#body = body === undefined || body === null ? undefined : streamOf(body)
    this.#isGone = () => raw.aborted || raw.socket.destroyed
    this.#splitter = splitter
    this.#reader = reader
    this.#query = query
    this.#pump = new MessagePump(this, receiver)
    this.#onBytes = receiver.onBytes
  }

  get isComplete (): boolean {
    return this.#isComplete
  }

  read (): void {
    if (!this.#started) this.#start()
    this.#pump.read()
  }

  /** What still comes is dropped. */
  stop (): void {
    this.#pump.stop()
    const body = this.#body
    if (body === undefined || !this.#started) return
    body.removeListener('data', this.#onData)
    body.removeListener('end', this.#onEnd)
    if (!this.#isComplete) body.resume()
  }

  next (isFirst: boolean): unknown {
    if (this.#readAhead.length === 0 && !(isFirst && this.#query.hasFields)) this.#readLines()
    const message = this.#readAhead.length > 0 ? this.#readAhead.pop() : this.#readText(isFirst)
    if (this.#readAhead.length === 0 && this.#splitter.isEmpty && !this.#isComplete) {
      this.#unread = 0
      this.#body!.resume()
    }
    return message
  }

  #readText (isFirst: boolean): unknown {
    const text = this.#splitter.next()
    if (!isFirst) return text === undefined ? undefined : this.#reader.fromText(text)
    if (text === undefined && !(this.#isComplete && this.#query.hasFields)) return undefined
    return this.#reader.fromText(this.#query.bind(text ?? '{}'))
  }

  /** Reads the lines that have come at once, where nothing is to be said about a single one. */
  #readLines (): void {
    const { lines } = this.#splitter
    const messages = lines === undefined ? undefined : this.#reader.fromLines(lines)
    if (messages === undefined) return
    this.#splitter.takeLines!()
    this.#readAhead = messages.reverse()
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
    const { errored } = body as Readable
    if (errored) this.#onError(errored)
  }

  readonly #onData = (chunk: Buffer | string): void => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    this.#onBytes?.(bytes.length)
    this.#length += bytes.length
    if (this.#length > this.#limit) return this.#pump.fail(new HttpStatusError(413, `The request body is larger than ${this.#limit} bytes`))
    this.#splitter.push(bytes)
    this.#unread = this.#splitter.isEmpty && this.#readAhead.length === 0 ? 0 : this.#unread + bytes.length
    if (this.#unread >= MOST_UNREAD) this.#body!.pause()
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
