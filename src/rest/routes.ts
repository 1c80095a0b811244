/**
 * The routes of RPCs. By convention: `POST {path}/{service}/{method}` in lower case, and
 * `POST {path}/{package.Service}/{Method}`. Besides, those that services name.
 */
import type { FastifyInstance, HTTPMethods } from 'fastify'
import type { NamedRoute } from '../call/registration.ts'
import type { ServedMethod } from '../call/served-service.ts'
import { configurationErrors } from '../errors.ts'
import { largestBody } from './body.ts'
import type { HttpGateway } from './gateway.ts'
import { routeHandler } from './handlers.ts'
import type { HttpMethod } from './http-method.ts'
import { refuseMethod } from './not-found.ts'
import { webSocketOptions } from './websocket/route.ts'
import { hasWebSockets } from './websocket/socket.ts'

/** One way to call a method over HTTP. */
export interface RpcRoute {
  /** Without base path and prefix: `/grpc/greeterservice/sayhello`. */
  readonly url: string
  /** Where the service has named it, rather than convention. */
  readonly named: NamedRoute | undefined
  readonly method: ServedMethod
  readonly owner: string
}

/** A route on an app. */
export interface MountedRoute extends RpcRoute {
  readonly gateway: HttpGateway
  /** The whole URL, with the prefixes of the app and the base path. */
  readonly template: string
}

/** @throws FGG_ERR_DUPLICATE_ROUTE, naming both RPCs */
export function rpcRoutes (gateway: HttpGateway): RpcRoute[] {
  if (gateway.httpMethods.length === 0) return []
  const path = gateway.path === '/' ? '' : gateway.path
  const routes = gateway.services.flatMap(({ service, owner, methods }) => methods.flatMap(method => [
    { url: `${path}/${owner.toLowerCase()}/${method.method.name.toLowerCase()}`, named: undefined, method, owner },
    { url: `${path}/${service.fullName}/${method.method.name}`, named: undefined, method, owner },
    ...method.routes.map(named => ({ url: named.path, named, method, owner }))
  ]))
  const byUrl = new Map<string, RpcRoute>()
  for (const route of routes) {
    const other = byUrl.get(route.url)
    // A service without package whose names are lower-case has one URL, not two.
    if (other !== undefined && other.method !== route.method) {
      throw new configurationErrors.FGG_ERR_DUPLICATE_ROUTE(route.url, nameOf(other), nameOf(route))
    }
    byUrl.set(route.url, route)
  }
  return [...byUrl.values()]
}

export function nameOf ({ method, owner }: RpcRoute): string {
  return `${method.method.fullName} of ${owner}`
}

/**
 * Adds a route to a scope, for WebSockets too where the app serves them.
 *
 * @param url the part of the template that follows the prefix of the scope
 * @param http the method of the route, made once for all its routes
 */
export function registerRoute (scope: FastifyInstance, { gateway, method, template, named }: MountedRoute, url: string, http: HttpMethod): void {
  const { path: rpc, kind } = method.method
  const handler = routeHandler(http, template, named?.form)
  const common = {
    url,
    bodyLimit: largestBody(gateway),
    config: { grpc: { rpc, kind } },
    ...(named?.loggedRequest === undefined ? {} : { logSerializers: { req: named.loggedRequest } }),
    // Fastify answers HEAD by running the handler of GET, which would begin a stream.
    ...(kind === 'unary' ? {} : { exposeHeadRoute: false }),
    // @fastify/compress would hold messages back until there are enough of them.
    ...(method.definition.responseStream ? { compress: false as const } : {})
  }
  const methods = gateway.httpMethods as HTTPMethods[]
  // Messages of WebSockets are ProtoJSON.
  if (named?.form !== undefined || !hasWebSockets(scope)) {
    scope.route({ ...common, method: methods, handler })
    return
  }
  const takesGet = methods.includes('GET')
  scope.route({ ...common, method: methods.filter(name => name !== 'GET'), handler })
  scope.route({
    ...common,
    ...(takesGet ? {} : { exposeHeadRoute: false }),
    method: 'GET',
    handler: takesGet ? handler : (request, reply) => refuseMethod({ gateway, method }, request, reply),
    ...webSocketOptions(scope, http, template)
  })
}
