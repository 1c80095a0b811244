/** WebSockets on the routes of a gateway, where @fastify/websocket is registered with the app. */
import type { FastifyInstance, RouteOptions } from 'fastify'
import { badRequest } from '../../errors.ts'
import type { HttpMethod } from '../http-method.ts'
import { requestIdOf } from '../request-id.ts'
import { WebSocketCall, type WebSocketRoute } from './call.ts'
import { frameCodecs } from './codec.ts'
import { ownSocket, type WebSocketRouteOptions } from './socket.ts'
import { isServable } from './upgrade.ts'

/** What a GET route needs to take WebSockets too. */
export function webSocketOptions (scope: FastifyInstance, http: HttpMethod, template: string): WebSocketRouteOptions & Pick<RouteOptions, 'preHandler'> {
  const { gateway, method: { method: { path: rpc }, requestStream } } = http
  const route: WebSocketRoute = { gateway, template, rpc, requestStream }
  const codecs = frameCodecs(http)

  return {
    /** What is refused here still has an HTTP status. */
    async preHandler (request) {
      if ((request as { ws?: boolean }).ws !== true) return
      const offered = request.headers['sec-websocket-protocol']
      // What it offers is not repeated, because it may be a token.
      if (!isServable(offered)) throw badRequest([{ field: 'sec-websocket-protocol', description: 'the header must offer json or proto' }])
      http.admit(request)
      // The answer to the upgrade carries it.
      requestIdOf(request)
    },
    wsHandler (socket, request) {
      ownSocket(scope, socket)
      const codec = codecs.get(socket.protocol) ?? codecs.get('json')!
      http.start(new WebSocketCall(route, codec, request, socket, http.timeoutOf(request)))
    }
  }
}
