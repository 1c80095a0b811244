/** What the HTTP side needs of a gateway, and how it finds that in a `GrpcGateway`. */
import type { ServerInterceptor } from '@grpc/grpc-js'
import type { TimeoutPolicy } from '../call/deadline.ts'
import type { ErrorStatuses } from '../call/error-status.ts'
import type { HeaderMapper } from '../call/headers.ts'
import type { Logger } from '../call/logger.ts'
import type { ObserveMethod } from '../call/observer.ts'
import type { ServedMethod, ServedService } from '../call/served-service.ts'
import type { Health } from '../health/health.ts'
import type { JsonOptions } from '../json/options.ts'
import type { JsonCodecs } from '../json/codec.ts'
import type { ClosingConnections } from './closing-connections.ts'
import type { Connections } from './connections.ts'
import type { ErrorWriter } from './error-body.ts'
import type { LateBodies } from './late-bodies.ts'
import type { MetricsRoute } from '../telemetry/prometheus.ts'

/** How streams go over HTTP. */
export interface StreamOptions {
  /**
   * Wrap the messages of NDJSON and JSON array responses as grpc-gateway does: `{"result":{…}}`, beside which
   * `{"error":{…}}` cannot be mistaken for a message. Default false.
   */
  envelope?: boolean | undefined
  /**
   * After how many milliseconds of silence a comment is sent to clients of server-sent events, once the response has
   * begun, and how often WebSockets are pinged; 0 for never. Default 15,000.
   */
  heartbeatMs?: number | undefined
  /**
   * A WebSocket client that has not answered a ping for so many milliseconds, nor sent anything else, is taken for
   * gone; 0 for never. Default 60,000.
   */
  idleMs?: number | undefined
}

export type StreamSettings = { readonly [K in keyof StreamOptions]-?: NonNullable<StreamOptions[K]> }

/** Where HTTP probes lie. */
export interface ProbePaths {
  readonly live: string
  readonly ready: string
}

export interface HttpGateway {
  /** Under which its routes lie, after the base path: `/grpc`. */
  readonly path: string
  /** In upper case; POST is among them. Empty when nothing is exposed over HTTP. */
  readonly httpMethods: readonly string[]
  readonly services: readonly ServedService[]
  readonly interceptors: readonly ServerInterceptor[]
  readonly headers: HeaderMapper
  readonly errorStatus: ErrorStatuses
  readonly writeError: ErrorWriter
  /** The largest request message, in bytes. */
  readonly messageBytes: number
  /** The largest request body, in bytes. */
  readonly bodyBytes: number
  /** How old a connection may become, in milliseconds; 0 for no limit. */
  readonly connectionAgeMs: number
  /** How long a client may take nothing of what is there for it, in milliseconds; 0 for no limit. */
  readonly untakenMs: number
  readonly lateBodies: LateBodies
  /** The largest response message, in bytes. */
  readonly responseBytes: number
  readonly json: JsonCodecs
  readonly streams: StreamSettings
  readonly closings: ClosingConnections
  readonly health: Health
  /** Undefined for none. */
  readonly probes: ProbePaths | undefined
  /** What must have happened before its first call. */
  readonly ready: Promise<unknown> | undefined
  jsonOptions (method: ServedMethod): JsonOptions
  timeoutPolicy (method: ServedMethod): TimeoutPolicy
  /** Whether calls may begin on an app, which is known by its HTTP server. */
  acceptsCalls (app: object): boolean
  /** Hears of the URLs that its routes have been given on an app. */
  mounted (routes: ReadonlyArray<{ readonly template: string, readonly method: ServedMethod }>, app: object, connections: Connections): void
  /** An app with its routes begins to close. Resolves when the gateway is shut down. */
  appCloses (app: object): Promise<void>
  /** Undefined where there is none. */
  readonly metrics: MetricsRoute | undefined
  /** Undefined where nobody watches calls. */
  readonly observe: ObserveMethod | undefined
  /** The logger that the gateway was given; else requests log by their own. */
  readonly logger: Logger | undefined
  /** Tells the gateway where to log what belongs to no request, unless it was given a logger. */
  useLogger (logger: Logger): void
}

/** The same in every copy of this package, so that a gateway of one can be mounted by another. */
export const kHttpGateway: unique symbol = Symbol.for('fastify-grpc-gateway.http')

/** What can be registered with an app: a `GrpcGateway`. */
export interface Mountable {
  readonly [kHttpGateway]: HttpGateway
}
