/** The standalone form of a gateway: the app that it makes for itself, or the workers that serve in its place, and their end. */
import type { FastifyInstance } from 'fastify'
import type { Logger } from '../call/logger.ts'
import { isWorker } from '../cluster/channel.ts'
import type { Primary } from '../cluster/primary.ts'
import { configurationErrors } from '../errors.ts'
import type { GrpcServer } from '../grpc/server.ts'
import type { CheckedOptions, GatewayOptions } from '../options/options.ts'
import { signalsWithDefaults, type CheckedSignalOptions } from '../options/signals.ts'
import { checkSinglePort } from '../options/single-port.ts'
import { appLogging } from '../options/telemetry.ts'
import { workersWithDefaults } from '../options/workers.ts'
import { registerGrpcHttpRoutes } from '../plugin.ts'
import { appErrors } from '../rest/app-errors.ts'
import { kHttpGateway, type Mountable } from '../rest/gateway.ts'
import { registerWebSockets } from '../rest/websocket/socket.ts'
import type { Certificates } from '../tls/certificates.ts'
import { makeApp } from './app.ts'
import { endGatewayOnSignal, type Endable } from './ending.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { ListenOptions, WorkersListenOptions } from './options.ts'
import { makePrimary, serveAsWorker } from './workers.ts'

interface StandaloneOptions {
  readonly gateway: Mountable & Endable & { readonly port: number }
  /** Those of the gateway, without defaults. */
  readonly given: GatewayOptions
  readonly options: CheckedOptions
  readonly certificates: Certificates | undefined
  readonly lifecycle: Lifecycle
  readonly log: () => Logger
  /** Starts the gRPC server. */
  start (host?: string, open?: (server: GrpcServer) => Promise<number>): Promise<void>
}

export class Standalone {
  readonly #of: StandaloneOptions
  readonly #lifecycle: Lifecycle
  #app: FastifyInstance | undefined
  /** While workers serve. */
  #primary: Primary | undefined
  /** Apps that are closed from here. */
  readonly #closing = new WeakSet<object>()
  /** Signals end the process again as they do without the gateway. */
  #disobey: (() => void) | undefined

  constructor (of: StandaloneOptions) {
    this.#of = of
    this.#lifecycle = of.lifecycle
  }

  /** That of the gRPC server that workers share. */
  get port (): number | undefined {
    return this.#primary?.port
  }

  async listen ({ workers, signals, drainMs, graceMs, ...options }: Partial<WorkersListenOptions>): Promise<FastifyInstance | undefined> {
    if (this.#app !== undefined || this.#primary !== undefined) throw new configurationErrors.FGG_ERR_STATE('This gateway listens already. Shut it down first')
    const { gateway, log } = this.#of
    const ending = signalsWithDefaults({ signals, drainMs, graceMs })
    if (workers === undefined) return await this.#listen(options, ending)
    const checked = { ...workersWithDefaults({ workers, drainMs, graceMs }), signals: ending.signals }
    if (isWorker()) return await serveAsWorker(gateway, checked, () => this.#listen(options), log)
    this.#primary = makePrimary(checked, log)
    try {
      await this.#primary.start()
    } catch (error) {
      this.#primary = undefined
      throw error
    }
  }

  async #listen ({ basePath, configure, fastify, tls, singlePort: isSingle = false, webSocket = false, ...listen }: ListenOptions, ending?: CheckedSignalOptions): Promise<FastifyInstance> {
    const { gateway, given, options: { host: ownHost, port: ownPort, limits, telemetry }, certificates, log, start } = this.#of
    checkSinglePort(isSingle, { ...listen, fastify, tls }, given)
    const { app, singlePort } = makeApp({ fastify: { ...appLogging(telemetry), ...appErrors(gateway[kHttpGateway]), ...fastify }, tls, singlePort: isSingle, limits }, certificates, log)
    this.#app = app
    return await this.#lifecycle.inTurn(async () => {
      const startedBefore = this.#lifecycle.port !== undefined
      try {
        await configure?.(app)
        if (webSocket) registerWebSockets(app, limits.messageBytes)
        registerGrpcHttpRoutes(app, [gateway], { basePath })
        await app.ready()
        if (singlePort === undefined) {
          await start()
          await app.listen(listen)
        } else {
          if (startedBefore) throw new configurationErrors.FGG_ERR_STATE('This gateway listens already, on a port of its own. Shut it down before it listens with `singlePort`')
          const { host = ownHost, port = ownPort } = listen
          await start(host, server => singlePort.listen(server, app, { ...listen, host, port }))
        }
        this.#lifecycle.listens()
        if (ending?.signals === true) this.#disobey = endGatewayOnSignal(gateway, ending, log)
        return app
      } catch (error) {
        if (this.#app === app) this.#app = undefined
        await this.#close(app)
        if (!startedBefore) await this.#lifecycle.stop(Date.now())
        throw error
      }
    })
  }

  async shutdown (graceMs: number): Promise<void> {
    if (this.#primary === undefined) return await this.#stop(graceMs)
    await this.#primary.shutdown(graceMs)
    this.#primary = undefined
  }

  async #stop (graceMs: number): Promise<void> {
    const app = this.#app
    this.#app = undefined
    if (app !== undefined) this.#lifecycle.appCloses(app.server)
    const deadline = Date.now() + graceMs
    const timer = setTimeout(() => this.#lifecycle.giveUp(), graceMs)
    try {
      await this.#lifecycle.inTurn(async () => {
        const hasStopped = await this.#lifecycle.stop(deadline, app === undefined ? undefined : { server: app.server, close: () => this.#close(app) })
        if (hasStopped) await this.#tellShutdown()
        this.#disobey?.()
        this.#disobey = undefined
      })
    } finally {
      clearTimeout(timer)
    }
  }

  async #tellShutdown (): Promise<void> {
    try {
      await this.#of.options.onShutdown?.()
    } catch (error) {
      this.#of.log().error({ err: error }, 'The function `onShutdown` failed')
    }
  }

  async #close (app: FastifyInstance): Promise<void> {
    this.#closing.add(app.server)
    await app.close()
    this.#lifecycle.unmount(app.server)
  }

  /** Any app with routes of the gateway closes, and takes the gateway with it. */
  async appCloses (server: object): Promise<void> {
    if (this.#closing.has(server)) return
    this.#lifecycle.appCloses(server)
    if (this.#app?.server === server) this.#app = undefined
    await this.#of.gateway.shutdown({})
    this.#lifecycle.unmount(server)
  }
}
