/**
 * A call that is answered by a stream of messages. The response begins with the first message, with headers that the
 * handler sends, or with the end; until then an error has an HTTP status of its own.
 */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Status } from '../../call/invocation.ts'
import { REQUEST_ID_KEY } from '../../call/request-id.ts'
import { markAnswered } from '../../call/untaken.ts'
import { status } from '../../status.ts'
import { cutOff, destroyExchange, http2StreamOf } from '../connection.ts'
import { endOfCall, httpTrailers } from '../end-of-call.ts'
import { ReplyCall, type ReplyRoute } from '../reply-call.ts'
import { sendStatus } from '../reply.ts'
import { BatchedOutput } from './batched-output.ts'
import type { StreamFormat, StreamFraming } from './format.ts'

/** How often it is looked for messages between two heartbeats. */
const LOOKS = 4

export class StreamReplyCall extends ReplyCall {
  readonly #format: StreamFormat
  readonly #framing: StreamFraming
  readonly #takesTrailers: boolean
  #output: BatchedOutput | undefined
  /** Whether the response begins before there is a message. */
  #beginsWithHeaders = false
  #mayHaveTrailers = false
  #heartbeat: NodeJS.Timeout | undefined
  /** How often it was looked in vain for a message since the last one. */
  #quiet = 0

  constructor (route: ReplyRoute, format: StreamFormat, request: FastifyRequest, reply: FastifyReply, timeout: number | undefined) {
    super(route, request, reply, timeout)
    this.#format = format
    this.#takesTrailers = takesTrailers(request)
    this.#framing = format.open(request.headers['last-event-id'] as string | undefined)
  }

  protected override writeMetadata (metadata: Metadata): void {
    this.setHeaders(metadata, 'initial')
    this.#beginsWithHeaders = true
    this.#begin()
  }

  protected override writeMessage (serialized: string, done: () => void): void {
    this.#quiet = 0
    this.#begin().write(this.#framing.message(serialized), done)
  }

  protected override writeStatus (ending: Status): void {
    const { route: { gateway }, request, reply } = this
    this.isAnswered = true
    if (this.#output === undefined) {
      if (reply.sent) return
      if (ending.code !== status.OK) return sendStatus(gateway, ending, request, reply, this.refusedWith)
    }
    const output = this.#begin()
    const end = this.#framing.end(endOfCall(gateway, ending, this.refusedWith))
    if (this.#takesTrailers) {
      const trailers = httpTrailers(gateway, ending)
      output.prependOnceListener('end', () => { if (this.#mayHaveTrailers) reply.raw.addTrailers(trailers) })
    }
    reply.raw.once('close', gateway.closings.add(() => destroyExchange(request, reply)))
    if (end !== undefined) output.end(end)
    else if (this.#takesTrailers) this.#endUnfinished(output)
    else output.whenTaken(() => cutOff(request, reply))
  }

  protected override released (): void {
    super.released()
    clearInterval(this.#heartbeat)
    markAnswered(this.reply.raw)
  }

  protected override breakOff (): void {
    if (this.#output === undefined) super.breakOff()
    else cutOff(this.request, this.reply)
  }

  #begin (): BatchedOutput {
    if (this.#output !== undefined) return this.#output
    const { reply, observer } = this
    const output = this.#output = new BatchedOutput(observer === undefined ? undefined : bytes => observer.bytesSent(bytes))
    const vary = reply.getHeader('vary')
    reply.headers({ [REQUEST_ID_KEY]: this.requestId(), 'content-type': this.#format.contentType, vary: vary === undefined ? 'accept' : `${vary}, accept`, ...this.#format.headers })
    if (this.#framing.begin !== '') output.add(this.#framing.begin)
    reply.raw.once('pipe', () => this.#onPipe())
    reply.send(output)
    // A hook may have sent something else.
    reply.raw.once('close', () => this.cancel())
    this.#beat()
    return output
  }

  /** Fastify sets the headers just before it pipes the stream, or what a hook has made of it. */
  #onPipe (): void {
    const { raw } = this.reply
    // A response that has a length has no trailers.
    this.#mayHaveTrailers = this.#takesTrailers && !raw.hasHeader('content-length')
    if (this.#mayHaveTrailers) raw.setHeader('trailer', 'grpc-status, grpc-message')
    if (this.#beginsWithHeaders) raw.flushHeaders()
  }

  #beat (): void {
    const { heartbeat } = this.#framing
    const { heartbeatMs } = this.route.gateway.streams
    if (heartbeat === undefined || heartbeatMs === 0 || this.isOver) return
    this.#heartbeat = setInterval(() => {
      if (++this.#quiet % LOOKS === 0) this.#output!.add(heartbeat)
    }, heartbeatMs / LOOKS)
  }

  /** The trailers say what is wrong with a response that ends too early, and the connection ends with it. */
  #endUnfinished (output: BatchedOutput): void {
    output.end('')
    if (http2StreamOf(this.request) === undefined) this.reply.raw.once('finish', () => cutOff(this.request, this.reply))
  }
}

function takesTrailers ({ raw: { httpVersion, headers } }: FastifyRequest): boolean {
  return httpVersion !== '1.0' && /(?:^|,)\s*trailers\s*(?:$|[,;])/i.test(String(headers.te))
}
