/** A call whose messages come in the body of an HTTP request, and whose answer is the reply to it. */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MetadataPosition } from '../call/headers.ts'
import type { JsonWriter } from '../json/codec.ts'
import { cancelOnDisconnect, forgetCall } from './disconnect.ts'
import { HttpCall, type HttpRoute } from './http-call.ts'
import type { OpenRequest, RequestBody } from './request.ts'
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
  #body: RequestBody | undefined = undefined

  constructor (route: ReplyRoute, request: FastifyRequest, reply: FastifyReply, timeout: number | undefined) {
    super(route, request, timeout)
    this.reply = reply
    cancelOnDisconnect(this, request, reply)
  }

  protected override read (): void {
    this.#body ??= this.route.open(this.request, {
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
    this.#body?.stop()
  }

  protected setHeaders (metadata: Metadata, position: MetadataPosition): void {
    this.route.gateway.headers.toHeaders(metadata, position, (name, value) => { this.reply.header(name, value) })
  }
}
