/** What Fastify answers with 404: a path without an RPC, or an RPC by another HTTP method. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { status } from '../status.ts'
import type { HttpGateway } from './gateway.ts'
import { sendStatus } from './reply.ts'
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
      return sendStatus(gateway, { code: status.NOT_FOUND, details: `No RPC answers ${request.method} ${path}.` }, request, reply, 404)
    }
    reply.header('allow', allowedMethods(route.gateway.httpMethods).join(', '))
    if (request.method === 'OPTIONS') {
      reply.code(204).send()
      return
    }
    sendStatus(route.gateway, { code: status.UNIMPLEMENTED, details: `Method ${request.method} not allowed.` }, request, reply, 405)
  }
}

/** Fastify answers HEAD wherever it answers GET. */
function allowedMethods (methods: readonly string[]): string[] {
  return [...methods, ...methods.includes('GET') ? ['HEAD'] : [], 'OPTIONS'].sort()
}
