/** One unary call over HTTP: a JSON request in, a JSON response or an error body out. */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Exchange, HttpContext } from '../call/context.ts'
import type { MetadataPosition } from '../call/headers.ts'
import type { Status } from '../call/invocation.ts'
import type { Logger } from '../call/logger.ts'
import { ServerCall } from '../call/server-call.ts'
import type { JsonWriter } from '../json/codec.ts'
import { status } from '../status.ts'
import { cancelOnDisconnect, forgetCall } from './disconnect.ts'
import type { HttpGateway } from './gateway.ts'
import { sendError, sendStatus } from './reply.ts'
import { newRequestId, requestIdOf } from './request-id.ts'
import { sendMessage } from './send-message.ts'

/** What is known of the route before any request. */
export interface UnaryRoute {
  readonly gateway: HttpGateway
  readonly template: string
  /** The path of the RPC. */
  readonly rpc: string
  readonly readRequest: (request: FastifyRequest) => unknown
  readonly write: JsonWriter
}

export class UnaryHttpCall extends ServerCall implements Exchange {
  readonly protocol = 'http'
  readonly #route: UnaryRoute
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  #read = false
  #body: string | undefined = undefined
  #requestId: string | undefined = undefined

  constructor (route: UnaryRoute, request: FastifyRequest, reply: FastifyReply, timeout: number | undefined) {
    super(request.raw.socket, timeout)
    this.#route = route
    this.#request = request
    this.#reply = reply
    cancelOnDisconnect(this, request, reply)
  }

  get http (): HttpContext {
    const { method, raw } = this.#request
    return { method, template: this.#route.template, url: raw.url!, rawHeaders: raw.rawHeaders }
  }

  get log (): Logger {
    return this.#route.gateway.logger ?? this.#request.log
  }

  requestId (): string {
    this.#requestId ??= requestIdOf(this.#request)
    return this.#requestId
  }

  getHost (): string {
    return this.#request.host
  }

  receiveMetadata (): Metadata {
    return this.#route.gateway.headers.toMetadata(this.#request.raw.rawHeaders)
  }

  /** The request message; undefined when it is wrong, and the client has been told so. */
  readMessage (): unknown {
    try {
      return this.#route.readRequest(this.#request)
    } catch (error) {
      this.refuse(error)
      return undefined
    }
  }

  /** Answers with an error that no handler or interceptor has to hear of. */
  refuse (error: unknown): void {
    if (this.isOver) return
    this.cancel()
    sendError(this.#route.gateway, error, this.#request, this.#reply)
  }

  protected override read (): void {
    if (this.#read) return this.deliverEnd()
    this.#read = true
    const message = this.readMessage()
    if (message !== undefined) this.deliver(message)
  }

  protected override writeMetadata (metadata: Metadata): void {
    this.#setHeaders(metadata, 'initial')
  }

  protected override serialize (message: unknown): string {
    return this.#route.write(message)
  }

  protected override writeMessage (serialized: string, done: () => void): void {
    this.#body = serialized
    done()
  }

  protected override report (error: unknown, message: string): void {
    this.log.error({ err: error, rpc: this.#route.rpc, requestId: this.requestId() }, message)
  }

  protected override breakOff (): void {
    if (this.#reply.sent) return
    for (const name of Object.keys(this.#reply.getHeaders())) this.#reply.removeHeader(name)
    this.#reply.code(500).send()
  }

  protected override released (): void {
    forgetCall(this, this.#request)
  }

  protected override writeStatus (ending: Status): void {
    if (this.#reply.sent) return
    if (ending.code !== status.OK) return sendStatus(this.#route.gateway, ending, this.#request, this.#reply)
    if (this.#body === undefined) {
      const missing = { code: status.INTERNAL, details: 'The call ended without a response message' }
      return sendStatus(this.#route.gateway, missing, this.#request, this.#reply)
    }
    if (ending.metadata != null) this.#setHeaders(ending.metadata, 'trailing')
    sendMessage(this.#body, this.#requestId ?? newRequestId(this.#request), this.#request, this.#reply)
  }

  #setHeaders (metadata: Metadata, position: MetadataPosition): void {
    this.#route.gateway.headers.toHeaders(metadata, position, (name, value) => { this.#reply.header(name, value) })
  }
}
