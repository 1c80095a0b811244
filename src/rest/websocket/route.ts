/** WebSockets on the routes of a gateway, where @fastify/websocket is registered with the app. */
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import { badRequest } from '../../errors.ts'
import type { HttpMethod } from '../http-method.ts'
import { requestIdOf } from '../request-id.ts'
import { WebSocketCall, type WebSocketRoute } from './call.ts'
import { frameCodecs } from './codec.ts'
import { limitMessages, ownSocket, type WebSocketRouteOptions } from './socket.ts'
import { isServable } from './upgrade.ts'

/** Of a message that is too large, no more than so many times what it may have is kept to be refused with a status. */
const MOST_KEPT = 2

/** What a GET route needs to take WebSockets too. */
export function webSocketOptions (scope: FastifyInstance, http: HttpMethod, template: string): WebSocketRouteOptions & Pick<RouteOptions, 'preHandler'> {
  const { gateway, method: { method, requestStream } } = http
  const route: WebSocketRoute = { gateway, template, method, requestStream, observe: gateway.observe?.({ protocol: 'websocket', method, route: template }) }
  const codecs = frameCodecs(http)
  const isGated = http.method.gate !== undefined
  /** Those that were started before the upgrade. */
  const entering = new WeakMap<FastifyRequest, WebSocketCall>()

  function callOf (request: FastifyRequest, timeout: number | undefined): WebSocketCall {
    const codec = codecs.get(request.headers['sec-websocket-protocol'] ?? '') ?? codecs.get('json')!
    return new WebSocketCall(route, codec, request, timeout)
  }

  return {
    /** What is refused here still has an HTTP status. */
    async preHandler (request, reply) {
      if ((request as { ws?: boolean }).ws !== true) return
      // What it offers is not repeated, because it may be a token.
      if (!isServable(request.headers['sec-websocket-protocol'])) throw badRequest([{ field: 'sec-websocket-protocol', description: 'the header must offer json or proto' }])
      const timeout = http.admit(request)
      // The answer to the upgrade carries it.
      requestIdOf(request)
      if (!isGated) return
      const call = callOf(request, timeout)
      entering.set(request, call)
      await call.enter(reply, () => http.start(call))
    },
    wsHandler (socket, request) {
      ownSocket(scope, socket)
      limitMessages(socket, MOST_KEPT * gateway.messageBytes)
      const entered = entering.get(request)
      const call = entered ?? callOf(request, http.timeoutOf(request))
      call.open(socket)
      if (entered === undefined) http.start(call)
    }
  }
}
