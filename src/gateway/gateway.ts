/** The gateway: services, the gRPC server that serves them, and what the HTTP routes need, with one lifecycle. */
import type { ServerInterceptor } from '@grpc/grpc-js'
import type { FastifyInstance } from 'fastify'
import { timeoutOver, type TimeoutPolicy } from '../call/deadline.ts'
import { headerMapper } from '../call/headers.ts'
import { guardedInterceptor } from '../call/interceptors.ts'
import { consoleLogger, type Logger } from '../call/logger.ts'
import { collectRegistrations } from '../call/registration.ts'
import { bindServices, warnOfMissingMethods, type ServedMethod, type ServedService } from '../call/served-service.ts'
import { bindBuiltIn } from '../grpc/built-in.ts'
import { healthService } from '../grpc/health.ts'
import { Reflection } from '../grpc/reflection.ts'
import { GrpcServer } from '../grpc/server.ts'
import { Health, type GatewayHealth } from '../health/health.ts'
import { JsonCodecs } from '../json/codec.ts'
import { checkAccessNames, gates } from '../options/access.ts'
import { checkHealthServices, healthChecks, probePaths } from '../options/health.ts'
import { checkMilliseconds } from '../options/lifecycle.ts'
import { Admissions, callTimes, lookMs, orInfinity } from '../options/limits.ts'
import { checkMethodNames, settingsOf } from '../options/methods.ts'
import { checkOptions, type CheckedOptions, type GatewayOptions } from '../options/options.ts'
import { DEFAULT_GRACE_MS } from '../options/signals.ts'
import { errorWriter } from '../rest/error-body.ts'
import { LateBodies } from '../rest/late-bodies.ts'
import { kHttpGateway, type HttpGateway, type Mountable } from '../rest/gateway.ts'
import { rpcRoutes, type MountedRoute } from '../rest/routes.ts'
import { serviceDescriber } from '../schema/from-definition.ts'
import { loadRoots } from '../schema/load.ts'
import { Certificates } from '../tls/certificates.ts'
import { startTelemetry, type Telemetry } from '../telemetry/telemetry.ts'
import { Lifecycle } from './lifecycle.ts'
import { Standalone } from './standalone.ts'
import type { DrainOptions, GatewayLoad, ListenOptions, RouteInfo, ShutdownOptions, WorkersListenOptions } from './options.ts'

/**
 * Serves gRPC services over gRPC and, on the Fastify apps that it is registered with, over HTTP and JSON.
 *
 * @example
 * const gateway = new GrpcGateway({ services: [GreeterService], port: 50051 })
 * registerGrpcHttpRoutes(app, [gateway], { basePath: '/api/v1' })
 * await gateway.startup()
 */
export class GrpcGateway implements Mountable {
  readonly [kHttpGateway]: HttpGateway
  readonly #options: CheckedOptions
  readonly #services: readonly ServedService[]
  /** Served over gRPC only. */
  readonly #builtIn: readonly ServedService[]
  readonly #interceptors: readonly ServerInterceptor[]
  readonly #health: Health
  readonly #admissions: Admissions
  /** Of the gRPC server, and of the HTTP server when it is to have the same. */
  readonly #certificates: Certificates | undefined
  readonly #lifecycle: Lifecycle
  readonly #telemetry: Telemetry
  readonly #standalone: Standalone
  /** The routes on each app, which is known by its HTTP server. */
  readonly #mounted = new Map<object, ReadonlyArray<Pick<MountedRoute, 'template' | 'method'>>>()
  #log: Logger
  /** On which gRPC was last served. */
  #host: string

  /** @throws an error with a code `FGG_ERR_…` that names the option, service or file which is wrong */
  constructor (options: GatewayOptions) {
    this.#options = checkOptions(options)
    this.#host = this.#options.host
    const { path, httpMethods, interceptors, limits, errors = {}, headers, streams, tls } = this.#options
    const checks = healthChecks(options.health)
    this.#log = options.logger ?? consoleLogger
    this.#telemetry = startTelemetry(options.telemetry ?? {}, () => this.#log)
    this.#health = new Health(checks, () => this.#log, (errors.expose ?? 'none') !== 'none')
    this.#lifecycle = new Lifecycle(() => this.#grpcServer(), this.#health.states, () => this.#log, lookMs(this.#options))
    this.#admissions = new Admissions(this.#options)
    this.#certificates = tls === undefined ? undefined : new Certificates(tls, () => this.#log)
    const typeRoots = options.types === undefined ? [] : loadRoots(options.types, { includeDirs: options.includeDirs })
    const gateOf = gates(options)
    const { services, types, statusDetails, errorStatus } = bindServices(collectRegistrations(options.services), {
      describe: serviceDescriber(options.protos, options.includeDirs),
      typeRoots,
      errors,
      openCalls: this.#lifecycle.openCalls,
      builtIn: false,
      gateOf,
      admissionOf: method => this.#admissions.of(method),
      timesOf: method => callTimes(this.#options, method)
    })
    this.#services = services
    const reflection = options.reflection === true ? new Reflection() : undefined
    const builtIn = [...options.health === false ? [] : [healthService(this.#health)], ...reflection?.services ?? []]
    this.#builtIn = bindBuiltIn(builtIn, services, { errors, gateOf, openCalls: this.#lifecycle.builtInCalls })
    reflection?.describe([...services, ...this.#builtIn], typeRoots)
    this.#health.addServices([...services, ...this.#builtIn].map(({ service }) => service.fullName))
    checkHealthServices(checks, this.#health.services)
    checkMethodNames(options.methods ?? {}, [...services, ...this.#builtIn])
    checkAccessNames(options, [...services, ...this.#builtIn])
    this.#interceptors = interceptors.map(interceptor => guardedInterceptor(interceptor, errorStatus, () => this.#log))
    this[kHttpGateway] = {
      path,
      httpMethods,
      services,
      interceptors: this.#interceptors,
      headers: headerMapper(headers),
      errorStatus,
      writeError: errorWriter(errors, statusDetails),
      json: new JsonCodecs(types),
      streams,
      ready: options.authenticate?.ready,
      closings: this.#lifecycle.closings,
      health: this.#health,
      probes: probePaths(options.probes),
      messageBytes: limits.messageBytes,
      bodyBytes: orInfinity(limits.bodyBytes),
      connectionAgeMs: limits.connectionAgeMs,
      untakenMs: limits.streamIdleMs,
      responseBytes: orInfinity(limits.responseBytes),
      lateBodies: new LateBodies(limits.requestMs, lookMs(this.#options)),
      jsonOptions: method => settingsOf(this.#options, method, 'json'),
      timeoutPolicy: method => this.#timeoutOf(method, 'http'),
      acceptsCalls: app => this.#lifecycle.acceptsCalls(app),
      metrics: this.#telemetry.metrics,
      observe: this.#telemetry.observe,
      mounted: (routes, app, connections) => {
        this.#mounted.set(app, [...this.#mounted.get(app) ?? [], ...routes])
        this.#lifecycle.mount(app, connections)
      },
      appCloses: async app => {
        this.#mounted.delete(app)
        await this.#standalone.appCloses(app)
      },
      logger: options.logger,
      useLogger: logger => { if (this.#log === consoleLogger) this.#log = logger }
    }
    rpcRoutes(this[kHttpGateway])
    this.#standalone = new Standalone({
      gateway: this,
      given: { ...options },
      options: this.#options,
      certificates: this.#certificates,
      lifecycle: this.#lifecycle,
      log: () => this.#log,
      start: (host, open) => this.#start(host, open)
    })
  }

  /** Whether the gateway and its services can serve, as probes are told. */
  get health (): GatewayHealth {
    return this.#health
  }

  /** The port of the gRPC server: the one that it is bound to, else the one that it is to be bound to. */
  get port (): number {
    return this.#lifecycle.port ?? this.#standalone.port ?? this.#options.port
  }

  /** The address of the gRPC server, for clients: `127.0.0.1:50051`. */
  get address (): string {
    return hostPort(this.#lifecycle.port === undefined ? this.#options.host : this.#host, this.port)
  }

  /** How busy the gateway is now, for metrics and for who scales it. */
  get load (): GatewayLoad {
    const { waiting } = this.#admissions
    return { running: this.#lifecycle.openCalls.size - waiting, waiting }
  }

  /**
   * Starts the gRPC server. A gateway that is started already stays as it is; one that was shut down starts anew.
   *
   * @throws FGG_ERR_LISTEN, naming the address, when the port is taken
   */
  startup (): Promise<void> {
    return this.#lifecycle.inTurn(async () => {
      await this.#start()
      this.#lifecycle.listens()
    })
  }

  async #start (host = this.#options.host, open?: (server: GrpcServer) => Promise<number>): Promise<void> {
    await this.#options.authenticate?.ready
    if (!await this.#lifecycle.start(open)) return
    this.#host = host
    this.#log.info({ address: this.address }, 'gRPC server listening')
    warnOfMissingMethods(this.#services, this.#log)
  }

  #grpcServer (): GrpcServer {
    const { host, port, serverCredentials, channelOptions, limits } = this.#options
    return new GrpcServer({
      address: hostPort(host, port),
      credentials: this.#certificates ?? serverCredentials,
      limits,
      channelOptions,
      interceptors: this.#interceptors,
      services: [...this.#services, ...this.#builtIn],
      log: () => this.#log,
      observe: this.#telemetry.observe,
      timeoutPolicy: method => this.#timeoutOf(method, 'grpc')
    })
  }

  #timeoutOf (method: ServedMethod, protocol: 'grpc' | 'http'): TimeoutPolicy {
    return settingsOf({ ...this.#options, timeout: timeoutOver(protocol, this.#options.timeout) }, method, 'timeout')
  }

  /**
   * Makes a Fastify app with the routes of this gateway, starts the gRPC server, then the HTTP server. When
   * either fails, neither is left running. Unless `fastify` says otherwise, the app logs warnings and errors, and the
   * access log where there is one. SIGTERM, SIGINT and SIGQUIT end the process in order, unless `signals` is false.
   *
   * @returns the app; closing it, or `shutdown`, ends both servers. With `workers`, undefined in the process that starts
   * them, once all of them listen
   * @throws FGG_ERR_WORKERS when a worker does not come up
   *
   * @example
   * await gateway.listen({ port: 8000 })
   */
  listen (options: WorkersListenOptions): Promise<FastifyInstance | undefined>
  listen (options?: ListenOptions): Promise<FastifyInstance>
  async listen (options: Partial<WorkersListenOptions> = {}): Promise<FastifyInstance | undefined> {
    return await this.#standalone.listen(options)
  }

  /**
   * Prepares the end while everything is still served: health says no, and clients are asked to use other connections,
   * by `connection: close` over HTTP/1.1 and GOAWAY over HTTP/2 and gRPC. WebSockets and calls that are open go on, and
   * so do new ones, because load balancers need time to notice. A drain that is under way already is joined.
   *
   * @returns a promise of true when the drain has gone on for `minMs` and no call is open, or the gateway is shut down;
   * of false when `undrain` has taken it back
   */
  async drain ({ minMs = 0 }: DrainOptions = {}): Promise<boolean> {
    checkMilliseconds('minMs', minMs)
    return await this.#lifecycle.drain(minMs)
  }

  /** Takes `drain` back: health says yes, and connections stay open. Without effect once `shutdown` is called. */
  undrain (): void {
    this.#lifecycle.undrain()
  }

  /**
   * Takes no new connections and waits for open calls, on every protocol; those that outlast `graceMs` end with
   * UNAVAILABLE. What clients have sent on open connections by then is answered too. An app that `listen` has made is
   * closed; others go on, and the routes of the gateway on them answer UNAVAILABLE from now on. A gateway that is shut
   * down already stays as it is. A second call with a shorter `graceMs` hastens the first.
   */
  async shutdown ({ graceMs = DEFAULT_GRACE_MS }: ShutdownOptions = {}): Promise<void> {
    checkMilliseconds('graceMs', graceMs)
    await this.#standalone.shutdown(graceMs)
  }

  /** Every way to call an RPC over HTTP. Prefixes are known once the gateway is registered with an app. */
  routes (): RouteInfo[] {
    const http = this[kHttpGateway]
    const mounted = [...this.#mounted.values()].flat()
    const routes = mounted.length > 0 ? mounted : rpcRoutes(http).map(({ url, method }) => ({ template: url, method }))
    return routes.map(({ template, method: { method, implemented } }) => ({
      httpMethods: http.httpMethods,
      url: template,
      rpc: method.path,
      kind: method.kind,
      implemented
    }))
  }
}

function hostPort (host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
