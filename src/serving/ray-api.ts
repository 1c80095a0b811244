/** What clients of Ray Serve ask its proxies: whether they are well, and which applications there are. */
import type { FastifyInstance } from 'fastify'
import { implement, type ImplementedService } from '../call/registration.ts'
import { GrpcError } from '../errors.ts'
import type { HealthState } from '../health/state.ts'
import type { UnaryMethod } from '../schema/definition.ts'
import { loadProto } from '../schema/load.ts'
import { status } from '../status.ts'
import type { Applications } from './applications.ts'

export interface RayServeDefinition {
  ListApplications: UnaryMethod<object, { applicationNames?: string[] }>
  Healthz: UnaryMethod<object, { message?: string }>
}

const DRAINING: ReadonlySet<HealthState> = new Set(['draining', 'notServing'])

export class RayApi {
  readonly #applications: Applications
  readonly #state: () => HealthState

  constructor (applications: Applications, state: () => HealthState) {
    this.#applications = applications
    this.#state = state
  }

  get service (): ImplementedService {
    const { RayServeAPIService } = loadProto<{ RayServeAPIService: RayServeDefinition }>(new URL('../../protos/ray/serve.proto', import.meta.url))
    return implement(RayServeAPIService, {
      Healthz: () => {
        this.#check()
        return { message: 'success' }
      },
      ListApplications: () => {
        this.#check()
        return { applicationNames: this.#applications.serving.map(({ name }) => name) }
      }
    })
  }

  /** `/-/healthz` and `/-/routes`, and 404 in Ray's words for what has no route at all. */
  register (app: FastifyInstance): void {
    app.get('/-/healthz', async (_request, reply) => reply.code(this.#problem === undefined ? 200 : 503).type('text/plain').send(this.#problem ?? 'success'))
    app.get('/-/routes', async (_request, reply) => {
      if (this.#problem !== undefined) return reply.code(503).type('text/plain').send(this.#problem)
      return Object.fromEntries(this.#applications.serving.flatMap(({ name, routePrefix }) => routePrefix === null ? [] : [[routePrefix, name]]))
    })
    app.setNotFoundHandler((request, reply) => {
      const path = request.originalUrl.split('?')[0]
      return reply.code(404).type('text/plain').send(`Path '${path}' not found. Ping http://.../-/routes for available routes.`)
    })
  }

  /** Why the proxy is not well. */
  get #problem (): string | undefined {
    if (DRAINING.has(this.#state())) return 'This node is being drained.'
    return this.#applications.hasRoutes ? undefined : 'Route table is not populated yet.'
  }

  #check (): void {
    if (this.#problem !== undefined) throw new GrpcError(status.UNAVAILABLE, this.#problem)
  }
}
