/** A call whose messages come in the body of an HTTP request, and whose answer is the reply to it. */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MetadataPosition } from '../call/headers.ts'
import type { JsonWriter } from '../json/codec.ts'
import { cancelOnDisconnect, forgetCall } from './disconnect.ts'
import { HttpCall, type HttpRoute } from './http-call.ts'
import type { MessageReceiver } from './message-pump.ts'
import type { RequestMessages } from './stream/request-messages.ts'
import { endUnreadBody } from './unread-body.ts'

export interface ReplyRoute extends HttpRoute {
  readonly requests: RequestSide
  readonly write: JsonWriter
}

/** How the body becomes messages: one, or a stream of them. */
export type RequestSide =
  | { readonly read: (request: FastifyRequest) => unknown }
  | { readonly open: (request: FastifyRequest, receiver: MessageReceiver) => RequestMessages }

export abstract class ReplyCall extends HttpCall {
  override readonly protocol = 'http'
  declare protected readonly route: ReplyRoute
  protected readonly reply: FastifyReply
  #read = false
  #messages: RequestMessages | undefined = undefined

  constructor (route: ReplyRoute, request: FastifyRequest, reply: FastifyReply, timeout: number | undefined) {
    super(route, request, timeout)
    this.reply = reply
    cancelOnDisconnect(this, request, reply)
  }

  /** The one request message; undefined when it is wrong, and the client has been told so. */
  readMessage (): unknown {
    try {
      return (this.route.requests as Extract<RequestSide, { read: unknown }>).read(this.request)
    } catch (error) {
      this.refuse(error)
      return undefined
    }
  }

  protected override read (): void {
    if ('open' in this.route.requests) return this.#readStream(this.route.requests.open)
    if (this.#read) return this.deliverEnd()
    this.#read = true
    const message = this.readMessage()
    if (message !== undefined) this.deliver(message)
  }

  #readStream (open: Extract<RequestSide, { open: unknown }>['open']): void {
    try {
      this.#messages ??= open(this.request, {
        onMessage: message => this.deliver(message),
        onEnd: () => this.deliverEnd(),
        onError: error => this.refuse(error)
      })
    } catch (error) {
      return this.refuse(error)
    }
    this.#messages.read()
  }

  protected override serialize (message: unknown): string {
    return this.route.write(message)
  }

  protected override breakOff (): void {
    if (this.reply.sent) return
    for (const name of Object.keys(this.reply.getHeaders())) this.reply.removeHeader(name)
    this.reply.code(500).send()
  }

  protected override released (): void {
    forgetCall(this, this.request)
    if ('read' in this.route.requests) return
    this.#messages?.stop()
    endUnreadBody(this.request, this.reply)
  }

  protected setHeaders (metadata: Metadata, position: MetadataPosition): void {
    this.route.gateway.headers.toHeaders(metadata, position, (name, value) => { this.reply.header(name, value) })
  }
}
