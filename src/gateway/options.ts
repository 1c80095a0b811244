/** What the methods of a gateway take and return. */
import type { FastifyInstance, FastifyListenOptions } from 'fastify'
import type { SignalOptions } from '../options/signals.ts'
import type { WorkersOptions } from '../options/workers.ts'
import type { MethodKind } from '../schema/service.ts'
import type { AppOptions } from './app.ts'

/** One way to call an RPC over HTTP. */
export interface RouteInfo {
  readonly httpMethods: readonly string[]
  /** With the prefixes of the app, once the gateway is registered with one. */
  readonly url: string
  /** The gRPC path: `/helloworld.Greeter/SayHello`. */
  readonly rpc: string
  readonly kind: MethodKind
  /** Whether the service has a method for it; else it answers UNIMPLEMENTED. */
  readonly implemented: boolean
}

export interface GatewayLoad {
  /** Calls that are open on any protocol, but for those that wait. */
  readonly running: number
  /** Calls that wait because of `concurrentCalls`. */
  readonly waiting: number
}

export interface DrainOptions {
  /** How long the drain goes on at least, in milliseconds. Default 0. */
  minMs?: number | undefined
}

export interface ShutdownOptions {
  /** How long open calls may go on, in milliseconds; then they end with UNAVAILABLE. Default 9,000. */
  graceMs?: number | undefined
}

export interface ListenOptions extends FastifyListenOptions, AppOptions, SignalOptions {
  /** Goes before the path of the gateway: `/api/v1`. Default none. */
  basePath?: string | undefined
  /**
   * Is given the app before it has the routes of the gateway: the place for plugins such as @fastify/cors, for hooks, and
   * for routes of your own. Default none.
   */
  configure?: ((app: FastifyInstance) => unknown) | undefined
  /** Serve WebSockets on the routes too. It needs the package @fastify/websocket. Default false. */
  webSocket?: boolean | undefined
}

/** Of a gateway that is served by several processes. */
export interface WorkersListenOptions extends ListenOptions, WorkersOptions {}
