/** HTTP requests as whoever watches calls sees them, those too that never become a call. */
import type { IncomingMessage } from 'node:http'
import { Metadata } from '@grpc/grpc-js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Status } from '../call/invocation.ts'
import type { CallObserver, ObserveCall, ObservedExchange } from '../call/observer.ts'
import { peerOf } from '../call/server-call.ts'
import type { HttpGateway } from './gateway.ts'
import { requestIdOf } from './request-id.ts'

const kObserved = Symbol('observed')

/** When the request began to arrive, by `performance.now()`, and then who watches its call. */
type Observed = IncomingMessage & { [kObserved]?: number | CallObserver }

/** The body of a request begins to arrive, which may take its time. */
export function noteArrival ({ raw }: FastifyRequest): void {
  (raw as Observed)[kObserved] = performance.now()
}

export function observeCall (observe: ObserveCall | undefined, exchange: ObservedExchange, request: FastifyRequest): CallObserver | undefined {
  if (observe === undefined) return undefined
  const raw: Observed = request.raw
  const arrived = raw[kObserved]
  const observer = observe(exchange, typeof arrived === 'number' ? arrived : performance.now())
  raw[kObserved] = observer
  return observer
}

/** A request ends without its call, or in spite of it: by an error on the way, or because it has no route. */
export function observeRefusal (gateway: HttpGateway, ending: Status, request: FastifyRequest, reply: FastifyReply, fault?: unknown): void {
  if (gateway.observe === undefined) return
  const observed = (request.raw as Observed)[kObserved]
  const observer = typeof observed === 'object' ? observed : observeCall(refusalsOf(gateway, request), new RefusedRequest(gateway, request, reply), request)!
  if (fault !== undefined) observer.failed(fault)
  observer.ended(ending)
}

function refusalsOf ({ observe, services }: HttpGateway, request: FastifyRequest): ObserveCall {
  const { config, url } = request.routeOptions
  const method = services.flatMap(({ methods }) => methods).find(({ method }) => method.path === config.grpc?.rpc)?.method
  const protocol = (request as { ws?: boolean }).ws === true ? 'websocket' : 'http'
  return observe!({ protocol, method, route: method === undefined ? undefined : url })
}

/** The path of a URL. */
export function pathOf (url: string): string {
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}

class RefusedRequest implements ObservedExchange {
  readonly #gateway: HttpGateway
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply

  constructor (gateway: HttpGateway, request: FastifyRequest, reply: FastifyReply) {
    this.#gateway = gateway
    this.#request = request
    this.#reply = reply
  }

  get path (): string {
    return pathOf(this.#request.raw.url!)
  }

  get httpMethod (): string {
    return this.#request.method
  }

  get httpStatus (): number {
    return this.#reply.statusCode
  }

  get httpVersion (): string {
    return this.#request.raw.httpVersion
  }

  get urlScheme (): string {
    return this.#request.protocol
  }

  requestId (): string {
    return requestIdOf(this.#request)
  }

  getPeer (): string {
    return peerOf(this.#request.raw.socket)
  }

  getHost (): string {
    return this.#request.host
  }

  header (name: string): string | undefined {
    return this.#request.headers[name]?.toString()
  }

  receiveMetadata (): Metadata {
    try {
      return this.#gateway.headers.toMetadata(this.#request.raw.rawHeaders)
    } catch {
      // Which may be why it is refused.
      return new Metadata()
    }
  }
}
