/** The Fastify plugin: the routes of gateways, and their end with the app. */
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { ServedMethod } from './call/served-service.ts'
import { configurationErrors } from './errors.ts'
import { identifyLateRequests } from './rest/app-errors.ts'
import { collectBodies, passBodies } from './rest/body.ts'
import { Connections } from './rest/connections.ts'
import { kHttpGateway, type HttpGateway, type Mountable } from './rest/gateway.ts'
import { HttpMethod } from './rest/http-method.ts'
import { registerMetricsRoute } from './rest/metrics-route.ts'
import { notFoundHandler } from './rest/not-found.ts'
import { mirrorPressure, registerProbes } from './rest/probes.ts'
import { sendError } from './rest/reply.ts'
import { nameOf, registerRoute, rpcRoutes, type MountedRoute } from './rest/routes.ts'
import { hasWebSockets } from './rest/websocket/socket.ts'
import { loosePath, prepareUpgrades } from './rest/websocket/upgrade.ts'
import type { MethodKind } from './schema/service.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Of the routes of a GrpcGateway: the path of the RPC that answers, `/helloworld.Greeter/SayHello`. */
    grpc?: { rpc: string, kind: MethodKind }
  }
}

export interface GrpcGatewayPluginOptions {
  /** The gateways whose services get routes. */
  gateways: readonly Mountable[]
  /** Goes before the path of each gateway: `/api/v1`. Default none. A `prefix` of `register` goes before that. */
  basePath?: string | undefined
}

const plugin: FastifyPluginAsync<GrpcGatewayPluginOptions> = async (app, { gateways, basePath = '' }) => {
  if (!Array.isArray(gateways) || gateways.some(gateway => gateway?.[kHttpGateway] === undefined)) {
    throw new configurationErrors.FGG_ERR_OPTION('gateways', 'must be a list of GrpcGateway objects')
  }
  const base = checkedBasePath(basePath)
  const claimed = claimsOf(app)
  const { connections } = claimed
  for (const { [kHttpGateway]: gateway } of gateways as readonly Mountable[]) {
    gateway.useLogger(app.log)
    await gateway.ready
    mount(app, gateway, base, claimed)
    if (!claimed.gateways.has(gateway)) mirrorPressure(app, gateway.health)
    claimed.gateways.add(gateway)
    connections.limitAge(gateway.connectionAgeMs)
    connections.limitUntaken(gateway.untakenMs)
    if (gateway.probes !== undefined) registerProbes(app, gateway.probes, claimed.gateways)
    if (gateway.metrics !== undefined) registerMetricsRoute(app, gateway.metrics)
  }
  // Between the two, Fastify waits for the connections that are open.
  let closed: Promise<unknown> | undefined
  app.addHook('preClose', async () => {
    closed = Promise.all(gateways.map(({ [kHttpGateway]: gateway }) => gateway.appCloses(app.server)))
    connections.close()
    if (!claimed.isClosing) identifyLateRequests(app, url => claimed.paths.has(loosePath(url)))
    claimed.isClosing = true
  })
  app.addHook('onClose', async () => { await closed })
}

/**
 * The routes of gateways as a Fastify plugin. `prefix` and encapsulation are as for any plugin: hooks of the
 * scope in which it is registered run for its routes, and its parsers and error bodies stay inside.
 *
 * @example
 * app.register(grpcGateway, { gateways: [gateway], prefix: '/api/v1' })
 */
export const grpcGateway: FastifyPluginAsync<GrpcGatewayPluginOptions> = fp(plugin, {
  fastify: '5.x',
  name: 'fastify-grpc-gateway',
  encapsulate: true
})

/**
 * Adds the routes of gateways to an app. The app's closing shuts the gateways down.
 * Routes that conflict make `app.ready()` and `app.listen()` fail.
 *
 * @example
 * registerGrpcHttpRoutes(app, [gateway], { basePath: '/api/v1' })
 */
export function registerGrpcHttpRoutes (app: FastifyInstance, gateways: readonly Mountable[], options: { basePath?: string | undefined } = {}): void {
  for (const gateway of gateways) gateway[kHttpGateway].useLogger(app.log)
  app.register(grpcGateway, { gateways, basePath: options.basePath })
}

/** What the gateways of one app have taken so far, over all registrations. */
interface Claims {
  /** HTTP probes speak for all of them. */
  readonly gateways: Set<HttpGateway>
  readonly routes: Map<string, MountedRoute>
  /** Of all routes, in the form that WebSockets are told by. */
  readonly paths: Set<string>
  readonly prefixes: Set<string>
  readonly connections: Connections
  /** Whether requests for WebSockets come to these routes. */
  takesUpgrades: boolean
  /** Whether the app closes. */
  isClosing: boolean
}

const claims = new WeakMap<object, Claims>()

function claimsOf (app: FastifyInstance): Claims {
  let claimed = claims.get(app.server)
  if (claimed === undefined) {
    claimed = { gateways: new Set(), routes: new Map(), paths: new Set(), prefixes: new Set(), connections: new Connections(app), takesUpgrades: false, isClosing: false }
    claims.set(app.server, claimed)
  }
  return claimed
}

function mount (app: FastifyInstance, gateway: HttpGateway, basePath: string, claimed: Claims): void {
  const mounted = rpcRoutes(gateway).map((route): MountedRoute => ({ ...route, gateway, template: app.prefix + basePath + route.url }))
  for (const route of mounted) {
    const other = claimed.routes.get(route.template)
    if (other !== undefined) throw new configurationErrors.FGG_ERR_DUPLICATE_ROUTE(route.template, nameOf(other), nameOf(route))
    claimed.routes.set(route.template, route)
    claimed.paths.add(loosePath(route.template))
  }
  gateway.mounted(mounted, app.server, claimed.connections)
  if (hasWebSockets(app) && !claimed.takesUpgrades) {
    claimed.takesUpgrades = true
    prepareUpgrades(app, url => claimed.paths.has(loosePath(url)))
  }
  if (mounted.length === 0) return

  const own = basePath + (gateway.path === '/' ? '' : gateway.path)
  for (const [prefix, routes] of scopesOf(mounted, own, basePath)) {
    app.register(async scope => {
      scope.setErrorHandler((error, request, reply) => sendError(gateway, error, request, reply))
      if (!claimed.prefixes.has(scope.prefix)) {
        claimed.prefixes.add(scope.prefix)
        scope.setNotFoundHandler(notFoundHandler(gateway, claimed.routes))
      }
      const [whole, streamed] = [routes.filter(({ method }) => !method.requestStream), routes.filter(({ method }) => method.requestStream)]
      collectBodies(scope, gateway)
      registerRoutes(scope, whole)
      await scope.register(async scope => {
        passBodies(scope, gateway.closings)
        registerRoutes(scope, streamed)
      })
    }, { prefix })
  }
}

/**
 * Where the gateway answers what is no route, with the routes there. The 404 of the root stays the app's, so that without
 * a path of its own a gateway answers for its services only; and so it does where services name routes.
 */
function scopesOf (mounted: readonly MountedRoute[], own: string, basePath: string): Map<string, MountedRoute[]> {
  const scopes = new Map<string, MountedRoute[]>()
  for (const route of mounted) {
    const prefix = route.named !== undefined ? basePath + route.url : own === '' ? route.url.slice(0, route.url.lastIndexOf('/')) : own
    scopes.set(prefix, [...scopes.get(prefix) ?? [], route])
  }
  return scopes
}

function registerRoutes (scope: FastifyInstance, routes: readonly MountedRoute[]): void {
  const methods = new Map<ServedMethod, HttpMethod>()
  for (const route of routes) {
    const { gateway, method, template } = route
    const http = methods.get(method) ?? new HttpMethod(gateway, method)
    methods.set(method, http)
    registerRoute(scope, route, template.slice(scope.prefix.length), http)
  }
}

function checkedBasePath (basePath: unknown): string {
  if (typeof basePath !== 'string') throw new configurationErrors.FGG_ERR_OPTION('basePath', 'must be a string')
  const path = basePath.replace(/\/+$/, '')
  if (path !== '' && !path.startsWith('/')) throw new configurationErrors.FGG_ERR_PATH(basePath)
  return path
}
