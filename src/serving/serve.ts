/** Applications behind a gateway: deployed, replaced and deleted while it runs. */
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { FastifyInstance } from 'fastify'
import { consoleLogger } from '../call/logger.ts'
import type { ServiceSource } from '../call/registration.ts'
import { GrpcGateway } from '../gateway/gateway.ts'
import type { DrainOptions, ListenOptions, ShutdownOptions } from '../gateway/options.ts'
import type { GatewayOptions } from '../options/options.ts'
import { DEFAULT_GRACE_MS } from '../options/signals.ts'
import { serviceNameOf } from '../schema/from-definition.ts'
import { Applications, type ApplicationStatus, type RunOptions } from './applications.ts'
import type { BoundDeployment } from './deployment.ts'
import { RayApi } from './ray-api.ts'
import { RoutePrefixes } from './route-prefixes.ts'
import { routedService } from './router.ts'

/** As large as Ray takes them. */
const LARGEST_MESSAGE = 2 ** 31 - 1
const RAY_PORT = 9000

export interface ServeOptions extends Omit<GatewayOptions, 'services' | 'exposeHttp'> {
  /** The gRPC services whose methods applications answer: what Ray calls servicer functions. */
  definitions: ReadonlyArray<object>
  /** Services beside those, as a gateway takes them, which are no part of an application. */
  services?: readonly ServiceSource[] | undefined
  /**
   * Whether a wrong name in the metadata `application` is NOT_FOUND when there is only one application; else that one
   * answers. Default true.
   */
  strictApplication?: boolean | undefined
  /** Goes before the paths of applications over HTTP, which are found without it too: `/serve`. Default none. */
  rootPath?: string | undefined
}

export interface ServeListenOptions extends Omit<ListenOptions, 'basePath'> {}

/**
 * Serves applications over gRPC and HTTP. Unlike a gateway's, its port is 9000, its routes have no path before them, and
 * messages may have 2 GiB, as Ray's have.
 *
 * @example
 * const serve = new Serve({ definitions: [FruitService] })
 * await serve.listen({ port: 8000 })
 * await serve.run(deployment(FruitStand).bind(), { name: 'fruit', routePrefix: '/fruit' })
 */
export class Serve {
  readonly gateway: GrpcGateway
  readonly #applications: Applications
  readonly #api: RayApi
  readonly #prefixes: RoutePrefixes
  #app: FastifyInstance | undefined

  /** @throws as the constructor of {@link GrpcGateway} does */
  constructor ({ definitions, services = [], strictApplication = true, rootPath = '', onShutdown, ...options }: ServeOptions) {
    const routed = definitions as readonly unknown[] as readonly ServiceDefinition[]
    this.#applications = new Applications(strictApplication, DEFAULT_GRACE_MS, () => options.logger ?? this.#app?.log ?? consoleLogger)
    this.#api = new RayApi(this.#applications, () => this.gateway.health.state)
    this.#prefixes = new RoutePrefixes(() => this.#applications.serving, routed.map(definition => ({
      fullName: serviceNameOf(definition),
      methods: Object.values(definition).map(({ path }) => path.slice(path.lastIndexOf('/') + 1))
    })), rootPath.replace(/\/+$/, ''))
    this.gateway = new GrpcGateway({
      port: RAY_PORT,
      path: '/',
      ...options,
      limits: { messageBytes: LARGEST_MESSAGE, ...options.limits },
      onShutdown: async () => {
        await this.#applications.deleteAll()
        await onShutdown?.()
      },
      services: [...routed.map(definition => routedService(definition, this.#applications)), this.#api.service, ...services]
    })
  }

  /** Deploys an application, in place of one of the same name, without touching the others. */
  async run (application: BoundDeployment, options: RunOptions = {}): Promise<void> {
    await this.#applications.run(application, options)
  }

  /** Takes an application away once it has finished what it has begun. @returns whether there was one */
  async delete (name: string): Promise<boolean> {
    return await this.#applications.delete(name)
  }

  /** The applications by name. */
  status (): Readonly<Record<string, ApplicationStatus>> {
    return this.#applications.status()
  }

  /** Starts the gRPC server and an HTTP server, as {@link GrpcGateway.listen} does. */
  async listen ({ fastify, configure, ...options }: ServeListenOptions = {}): Promise<FastifyInstance> {
    return await this.gateway.listen({
      ...options,
      fastify: { ...fastify, rewriteUrl: request => this.#prefixes.rewrite(request) },
      configure: async app => {
        this.#app = app
        this.#api.register(app)
        await configure?.(app)
      }
    })
  }

  /** As {@link GrpcGateway.drain}. */
  async drain (options?: DrainOptions): Promise<boolean> {
    return await this.gateway.drain(options)
  }

  /** As {@link GrpcGateway.undrain}. */
  undrain (): void {
    this.gateway.undrain()
  }

  /** As {@link GrpcGateway.shutdown}; applications are deleted at its end, as when the app closes or a signal ends the process. */
  async shutdown (options?: ShutdownOptions): Promise<void> {
    await this.gateway.shutdown(options)
  }
}
