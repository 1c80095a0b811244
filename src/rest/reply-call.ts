/** A call whose messages come in the body of an HTTP request, and whose answer is the reply to it. */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MetadataPosition } from '../call/headers.ts'
import { markAnswered } from '../call/untaken.ts'
import type { JsonWriter } from '../json/codec.ts'
import { http2StreamOf } from './connection.ts'
import { cancelOnDisconnect, forgetCall } from './disconnect.ts'
import { HttpCall, type HttpRoute } from './http-call.ts'
import { observeCall } from './observation.ts'
import { bodyLength, type OpenRequest, type RequestBody } from './request.ts'
import { setRequestId } from './request-id.ts'

export interface ReplyRoute extends HttpRoute {
  /** How the body becomes messages. */
  readonly open: OpenRequest
  readonly write: JsonWriter
}

export abstract class ReplyCall extends HttpCall {
  override readonly protocol = 'http'
  declare protected readonly route: ReplyRoute
  protected readonly reply: FastifyReply
  /** Whether the reply has been sent, or is on its way through hooks. */
  protected isAnswered = false
  #body: RequestBody | undefined = undefined

  constructor (route: ReplyRoute, request: FastifyRequest, reply: FastifyReply, timeout: number | undefined) {
    super(route, request, timeout)
    this.reply = reply
    this.observer = observeCall(route.observe, this, request)
    cancelOnDisconnect(this, request, reply)
  }

  override get httpStatus (): number | undefined {
    const { reply } = this
    return this.isAnswered || reply.sent || reply.raw.headersSent ? reply.statusCode : undefined
  }

  /** The whole request has been read, as one message. */
  hasRead (): void {
    if (this.observer === undefined) return
    this.observer.messageReceived()
    this.observer.bytesReceived(bodyLength(this.request))
  }

  protected override read (): void {
    const { observer } = this
    this.#body ??= this.route.open(this.request, {
      onBytes: observer === undefined ? undefined : bytes => observer.bytesReceived(bytes),
      onMessage: message => this.deliver(message),
      onEnd: () => this.deliverEnd(),
      onError: error => this.refuse(error)
    })
    this.#body.read()
  }

  protected override serialize (message: unknown): string {
    return this.route.write(message)
  }

  protected override breakOff (): void {
    if (this.reply.sent) return
    for (const name of Object.keys(this.reply.getHeaders())) this.reply.removeHeader(name)
    setRequestId(this.request, this.reply).code(500).send()
  }

  protected override released (): void {
    super.released()
    forgetCall(this, this.request)
    const stream = http2StreamOf(this.request)
    if (stream !== undefined) markAnswered(stream)
    this.#body?.stop()
  }

  protected setHeaders (metadata: Metadata, position: MetadataPosition): void {
    this.route.gateway.headers.toHeaders(metadata, position, (name, value) => { this.reply.header(name, value) })
  }
}
