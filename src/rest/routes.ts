/** The routes by convention: `POST {path}/{service}/{method}` in lower case, and `POST {path}/{package.Service}/{Method}`. */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import { allowedTimeout, timeoutOfHeaders } from '../call/deadline.ts'
import { intercept, methodDescriptor } from '../call/interceptors.ts'
import { Invocation } from '../call/invocation.ts'
import type { ServedMethod } from '../call/served-service.ts'
import { configurationErrors, GrpcError } from '../errors.ts'
import type { MethodKind } from '../schema/service.ts'
import { status } from '../status.ts'
import { UnaryHttpCall, type UnaryRoute } from './call.ts'
import { isDisconnected } from './disconnect.ts'
import type { HttpGateway } from './gateway.ts'
import { requestReader } from './request.ts'

/** One way to call a method over HTTP. */
export interface ConventionRoute {
  /** Without base path and prefix: `/grpc/greeterservice/sayhello`. */
  readonly url: string
  readonly method: ServedMethod
  readonly owner: string
}

/** A route on an app. */
export interface MountedRoute extends ConventionRoute {
  readonly gateway: HttpGateway
  /** The whole URL, with the prefixes of the app and the base path. */
  readonly template: string
}

/** @throws FGG_ERR_DUPLICATE_ROUTE, naming both RPCs */
export function conventionRoutes (gateway: HttpGateway): ConventionRoute[] {
  if (gateway.httpMethods.length === 0) return []
  const path = gateway.path === '/' ? '' : gateway.path
  const routes = gateway.services.flatMap(({ service, owner, methods }) => methods.flatMap(method => [
    { url: `${path}/${owner.toLowerCase()}/${method.method.name.toLowerCase()}`, method, owner },
    { url: `${path}/${service.fullName}/${method.method.name}`, method, owner }
  ]))
  const byUrl = new Map<string, ConventionRoute>()
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

export function nameOf ({ method, owner }: ConventionRoute): string {
  return `${method.method.fullName} of ${owner}`
}

/** @param url the part of the template that follows the prefix of the scope */
export function registerRoute (scope: FastifyInstance, { gateway, method, template }: MountedRoute, url: string): void {
  const { path: rpc, kind } = method.method
  scope.route({
    method: gateway.httpMethods as HTTPMethods[],
    url,
    bodyLimit: gateway.bodyLimit,
    config: { grpc: { rpc, kind } },
    handler: kind === 'unary' ? unaryHandler(gateway, method, template) : streamHandler(method)
  })
}

type RouteHandler = (request: FastifyRequest, reply: FastifyReply) => void

function unaryHandler (gateway: HttpGateway, method: ServedMethod, template: string): RouteHandler {
  const { requestType, responseType, path: rpc } = method.method
  const { requestDeserialize, requestSerialize, responseDeserialize, responseSerialize } = method.definition
  const jsonOptions = gateway.jsonOptions(method)
  const timeoutPolicy = gateway.timeoutPolicy(method)
  const { interceptors, headers } = gateway
  const descriptor = methodDescriptor(method.definition)
  const route: UnaryRoute = {
    gateway,
    template,
    rpc,
    readRequest: requestReader(requestType, gateway.json.reader({ type: requestType, deserialize: requestDeserialize, serialize: requestSerialize }, jsonOptions), jsonOptions),
    write: gateway.json.writer({ type: responseType, deserialize: responseDeserialize, serialize: responseSerialize }, jsonOptions)
  }

  return (request, reply) => {
    if (isDisconnected(request, reply)) return
    if (!gateway.acceptsCalls()) throw new GrpcError(status.UNAVAILABLE, 'The server is shutting down')
    const { rawHeaders, headers: known } = request.raw
    headers.check(rawHeaders)
    const asked = timeoutOfHeaders(known['grpc-timeout'] as string | undefined, known['x-request-timeout-seconds'] as string | undefined)
    const call = new UnaryHttpCall(route, request, reply, allowedTimeout(asked, timeoutPolicy))
    if (interceptors.length > 0) {
      const intercepted = intercept(interceptors, descriptor, call)
      return intercepted.start(new Invocation(method, intercepted, call))
    }
    const message = call.readMessage()
    if (message === undefined || call.isOver) return
    const invocation = new Invocation(method, call, call, () => call.receiveMetadata())
    call.listen(invocation)
    invocation.receive(message)
  }
}

const KIND_NAMES: Readonly<Record<Exclude<MethodKind, 'unary'>, string>> = {
  serverStreaming: 'server-streaming',
  clientStreaming: 'client-streaming',
  bidiStreaming: 'bidirectional streaming'
}

function streamHandler ({ method }: ServedMethod): RouteHandler {
  const kind = KIND_NAMES[method.kind as Exclude<MethodKind, 'unary'>]
  return () => {
    throw new GrpcError(status.UNIMPLEMENTED, `${method.fullName} is a ${kind} RPC, which HTTP does not serve. Call it over gRPC`)
  }
}
