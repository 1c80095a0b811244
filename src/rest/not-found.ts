/** What Fastify answers with 404: a path without an RPC, or an RPC by another HTTP method. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MethodKind } from '../schema/service.ts'
import { status } from '../status.ts'
import type { HttpGateway } from './gateway.ts'
import { refuse } from './reply.ts'
import { setRequestId } from './request-id.ts'
import type { MountedRoute } from './routes.ts'

/**
 * @param gateway answers where no route of any gateway has the path
 * @param routes of all gateways of the app, by their whole URLs
 */
export function notFoundHandler (gateway: HttpGateway, routes: ReadonlyMap<string, MountedRoute>): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    const path = request.raw.url!.replace(/[?#].*$/s, '')
    const route = routes.get(path)
    if (route === undefined) {
      return refuse(gateway, { code: status.NOT_FOUND, details: `No RPC answers ${request.method} ${path}.` }, request, reply, { http: 404 })
    }
    refuseMethod(route, request, reply)
  }
}

/** Answers an HTTP method that the route does not take: 405, or what OPTIONS asks for. */
export function refuseMethod ({ gateway, method }: Pick<MountedRoute, 'gateway' | 'method'>, request: FastifyRequest, reply: FastifyReply): void {
  reply.header('allow', allowedMethods(gateway.httpMethods, method.method.kind).join(', '))
  if (request.method === 'OPTIONS') {
    setRequestId(request, reply).code(204).send()
    return
  }
  refuse(gateway, { code: status.UNIMPLEMENTED, details: `Method ${request.method} not allowed.` }, request, reply, { http: 405 })
}

/** Fastify answers HEAD wherever it answers GET, unless that is a stream. */
function allowedMethods (methods: readonly string[], kind: MethodKind): string[] {
  return [...methods, ...methods.includes('GET') && kind === 'unary' ? ['HEAD'] : [], 'OPTIONS'].sort()
}
