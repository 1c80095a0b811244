/** What every call has that began with an HTTP request, whatever carries its messages from then on. */
import type { Metadata } from '@grpc/grpc-js'
import type { FastifyRequest } from 'fastify'
import type { Exchange, HttpContext, Protocol } from '../call/context.ts'
import type { Logger } from '../call/logger.ts'
import type { ObserveCall, ObservedExchange } from '../call/observer.ts'
import { REQUEST_ID_KEY } from '../call/request-id.ts'
import { ServerCall } from '../call/server-call.ts'
import type { Method } from '../schema/service.ts'
import type { HttpGateway } from './gateway.ts'
import { pathOf } from './observation.ts'
import { endingOf } from './reply.ts'
import { requestIdOf } from './request-id.ts'

/** What is known of the route before any request. */
export interface HttpRoute {
  readonly gateway: HttpGateway
  readonly template: string
  readonly method: Method
  /** Undefined where nobody watches calls. */
  readonly observe: ObserveCall | undefined
}

export abstract class HttpCall extends ServerCall implements Exchange, ObservedExchange {
  abstract readonly protocol: Protocol
  protected readonly route: HttpRoute
  protected readonly request: FastifyRequest
  protected knownRequestId: string | undefined = undefined
  /** The HTTP status of what `refuse` was told, where it says more than the code. */
  protected refusedWith: number | undefined = undefined

  #whenReleased: (() => void) | undefined = undefined

  constructor (route: HttpRoute, request: FastifyRequest, timeout: number | undefined) {
    super(request.raw.socket, timeout)
    this.route = route
    this.request = request
  }

  get http (): HttpContext {
    const { method, raw } = this.request
    return { method, template: this.route.template, url: raw.url!, rawHeaders: raw.rawHeaders }
  }

  get log (): Logger {
    return this.route.gateway.logger ?? this.request.log
  }

  get path (): string {
    return pathOf(this.request.raw.url!)
  }

  header (name: string): string | undefined {
    return this.request.headers[name]?.toString()
  }

  abstract get httpStatus (): number | undefined

  get httpMethod (): string {
    return this.request.method
  }

  get httpVersion (): string {
    return this.request.raw.httpVersion
  }

  get urlScheme (): string {
    return this.request.protocol
  }

  requestId (): string {
    this.knownRequestId ??= requestIdOf(this.request)
    return this.knownRequestId
  }

  getHost (): string {
    return this.request.host
  }

  receiveMetadata (): Metadata {
    const metadata = this.route.gateway.headers.toMetadata(this.request.raw.rawHeaders)
    metadata.set(REQUEST_ID_KEY, this.requestId())
    return metadata
  }

  /** Ends the call because its request is wrong, which no handler or interceptor has said. */
  refuse (error: unknown): void {
    const { ending, http, fault } = endingOf(this.route.gateway, error, this.request)
    if (fault !== undefined) this.observer?.failed(fault)
    this.refusedWith = http
    this.sendStatus(ending)
  }

  /** Calls back when the call is over, whoever has heard of it. */
  whenReleased (callback: () => void): void {
    this.#whenReleased = callback
  }

  protected override get responseBytes (): number {
    return this.route.gateway.responseBytes
  }

  protected override released (): void {
    this.#whenReleased?.()
  }

  protected override report (error: unknown, message: string): void {
    this.log.error({ err: error, rpc: this.route.method.path, requestId: this.requestId() }, message)
    this.observer?.failed(error)
  }
}
