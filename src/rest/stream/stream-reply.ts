/**
 * A call that is answered by a stream of messages. The response begins with the first message, with headers that the
 * handler sends, or with the end; until then an error has an HTTP status of its own.
 */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Status } from '../../call/invocation.ts'
import { status } from '../../status.ts'
import { endOfCall, httpTrailers } from '../end-of-call.ts'
import { ReplyCall, type ReplyRoute } from '../reply-call.ts'
import { endingOf, sendStatus } from '../reply.ts'
import { BatchedOutput } from './batched-output.ts'
import type { StreamFormat, StreamFraming } from './format.ts'

export class StreamReplyCall extends ReplyCall {
  readonly #format: StreamFormat
  readonly #framing: StreamFraming
  #output: BatchedOutput | undefined
  #heartbeat: NodeJS.Timeout | undefined
  /** Whether nothing was written since the last heartbeat was due. */
  #isQuiet = false

  constructor (route: ReplyRoute, format: StreamFormat, request: FastifyRequest, reply: FastifyReply, timeout: number | undefined) {
    super(route, request, reply, timeout)
    this.#format = format
    this.#framing = format.open(request.headers['last-event-id'] as string | undefined)
  }

  override refuse (error: unknown): void {
    if (this.#output === undefined) super.refuse(error)
    else this.sendStatus(endingOf(this.route.gateway, error, this.request).ending)
  }

  protected override writeMetadata (metadata: Metadata): void {
    this.setHeaders(metadata, 'initial')
    // Fastify sets the headers just before it pipes the stream.
    this.reply.raw.once('pipe', () => this.reply.raw.flushHeaders())
    this.#begin()
  }

  protected override writeMessage (serialized: string, done: () => void): void {
    this.#isQuiet = false
    this.#begin().write(this.#framing.message(serialized), done)
  }

  protected override writeStatus (ending: Status): void {
    const { route: { gateway }, request, reply } = this
    if (this.#output === undefined) {
      if (reply.sent) return
      if (ending.code !== status.OK) return sendStatus(gateway, ending, request, reply)
    }
    const output = this.#begin()
    const end = this.#framing.end(endOfCall(gateway, ending))
    const takesTrailers = this.#takesTrailers()
    if (takesTrailers) reply.raw.addTrailers(httpTrailers(gateway, ending))
    if (end !== undefined) output.end(end)
    else output.whenTaken(takesTrailers ? () => this.#endUnfinished(output) : () => this.#abort())
  }

  protected override released (): void {
    super.released()
    clearInterval(this.#heartbeat)
  }

  protected override breakOff (): void {
    if (this.#output === undefined) super.breakOff()
    else this.#abort()
  }

  #begin (): BatchedOutput {
    if (this.#output !== undefined) return this.#output
    const { reply } = this
    const output = this.#output = new BatchedOutput()
    reply.headers({ 'x-request-id': this.requestId(), 'content-type': this.#format.contentType, ...this.#format.headers })
    if (this.#takesTrailers()) reply.header('trailer', 'grpc-status, grpc-message')
    if (this.#framing.begin !== '') output.add(this.#framing.begin)
    reply.send(output)
    // A hook may have sent something else.
    reply.raw.once('close', () => this.cancel())
    this.#beat()
    return output
  }

  #beat (): void {
    const { heartbeat } = this.#framing
    const { heartbeatMs } = this.route.gateway.streams
    if (heartbeat === undefined || heartbeatMs === 0) return
    this.#heartbeat = setInterval(() => {
      if (this.#isQuiet) this.#output!.add(heartbeat)
      this.#isQuiet = true
    }, heartbeatMs)
  }

  #takesTrailers (): boolean {
    return /(?:^|,)\s*trailers\s*(?:$|[,;])/i.test(String(this.request.headers.te))
  }

  /** The trailers say what is wrong with a response that ends too early, and the connection ends with it. */
  #endUnfinished (output: BatchedOutput): void {
    output.end('')
    const { raw } = this.reply
    if (this.request.raw.httpVersionMajor < 2) raw.once('finish', () => this.request.raw.socket.destroySoon())
  }

  /** Ends the connection in the middle of the response, after what was written. */
  #abort (): void {
    const { raw } = this.reply
    if ('stream' in raw) raw.write('', () => (raw as unknown as Http2Response).stream.close(INTERNAL_ERROR))
    else this.request.raw.socket.destroySoon()
  }
}

/** The part of Node.js's `Http2ServerResponse` that Fastify's types do not have. */
interface Http2Response {
  readonly stream: { close (code: number): void }
}

/** Of HTTP/2. */
const INTERNAL_ERROR = 2
