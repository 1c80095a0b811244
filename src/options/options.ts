/** The options of a gateway: what is wrong with them, and their defaults. */
import { ServerCredentials, type ChannelOptions, type ServerInterceptor } from '@grpc/grpc-js'
import { LONGEST_TIMER, type TimeoutOptions } from '../call/deadline.ts'
import type { ErrorPolicy } from '../call/error-status.ts'
import type { HeaderOptions } from '../call/headers.ts'
import type { Logger } from '../call/logger.ts'
import type { ServiceSource } from '../call/registration.ts'
import { configurationErrors } from '../errors.ts'
import type { JsonOptions } from '../json/options.ts'
import type { ErrorBodyOptions } from '../rest/error-body.ts'
import type { StreamOptions, StreamSettings } from '../rest/gateway.ts'
import type { ProtoSource } from '../schema/load.ts'
import type { TlsOptions } from '../tls/options.ts'
import { ACCESS_CHECKS, type AccessOptions } from './access.ts'
import { checkSource, isBoolean, isObject, isString, oneOf } from './checks.ts'
import { checkHealth, checkProbes, type HealthOptions } from './health.ts'
import { checkLimits, limitsWithDefaults, type LimitOptions, type Limits } from './limits.ts'
import { checkMethods, type MethodSettings } from './methods.ts'
import type { TelemetryOptions } from '../telemetry/telemetry.ts'
import { checkTelemetry } from './telemetry.ts'
import { checkJson, checkTimeouts } from './values.ts'

export interface GatewayOptions extends AccessOptions, HealthOptions {
  /** Classes with a static `addToServer` hook, instances of them, and what `implement` returns. */
  services: readonly ServiceSource[]
  /** Under which the HTTP routes lie. Starts with `/`. Default `/grpc`. */
  path?: string | undefined
  /** The address of the gRPC server. Default `127.0.0.1`; `0.0.0.0` or `::` for every interface. */
  host?: string | undefined
  /** The port of the gRPC server; 0 for any free one, which `gateway.port` tells. Default 50051. */
  port?: number | undefined
  /** Whether the services get HTTP routes. Default true. */
  exposeHttp?: boolean | undefined
  /** HTTP methods that the routes take beside POST. Without a body, fields come from the query. Default none. */
  httpMethods?: ReadonlyArray<'POST' | 'GET' | 'PUT' | 'PATCH' | 'DELETE' | 'QUERY'> | undefined
  /** Serve gRPC over TLS. Default: whether `tls` or `serverCredentials` is given. */
  isSecure?: boolean | undefined
  /** grpc-js credentials for the gRPC server. */
  serverCredentials?: ServerCredentials | undefined
  /** TLS of the gRPC server from PEM files, in place of `serverCredentials`; `listen({ tls: true })` uses it for HTTP too. */
  tls?: TlsOptions | undefined
  /** grpc-js server interceptors. They run for every protocol; the first is the nearest to the client. */
  interceptors?: readonly ServerInterceptor[] | undefined
  /** Channel arguments of the grpc-js server, such as `grpc.max_connection_age_ms`. */
  channelOptions?: ChannelOptions | undefined
  /** .proto files or descriptor sets that describe definitions made by other generators than proto-loader. */
  protos?: ProtoSource | undefined
  /** Folders in which `protos`, `types` and their imports are looked for. */
  includeDirs?: readonly string[] | undefined
  /** Message types that a `google.protobuf.Any`, or an error's details, may hold, beside those in the files of the services. */
  types?: ProtoSource | undefined
  /**
   * Serve gRPC server reflection, v1 and v1alpha, by which clients such as grpcurl learn what services there are and
   * the types of their messages, with all that their .proto files say, comments included. Default false, because
   * whoever reaches the gRPC port could read it.
   */
  reflection?: boolean | undefined
  json?: JsonOptions | undefined
  errors?: ErrorPolicy & ErrorBodyOptions | undefined
  headers?: HeaderOptions | undefined
  /** How streams go over HTTP and WebSockets. */
  streams?: StreamOptions | undefined
  /** How long calls may take, and for single methods under `methods`. Default: as long as their clients say. */
  timeout?: TimeoutOptions | undefined
  /** What clients may ask of the gateway. Every limit has a default. */
  limits?: LimitOptions | undefined
  /** Settings of single methods by full name, `helloworld.Greeter.SayHello`, or of all of a service, `helloworld.Greeter.*`. */
  methods?: Readonly<Record<string, MethodSettings>> | undefined
  /** Access log, metrics and traces. Default none. */
  telemetry?: TelemetryOptions | undefined
  /**
   * Runs when a shutdown has ended all calls, before `shutdown` resolves: the place to close what handlers need, such as
   * databases. What it throws is logged. Default none.
   */
  onShutdown?: (() => unknown) | undefined
  /** Where errors of handlers are logged. Default: the logger of the app that mounts the gateway. */
  logger?: Logger | undefined
}

const HTTP_METHODS = ['POST', 'GET', 'PUT', 'PATCH', 'DELETE', 'QUERY']

type Check = (value: never) => string | undefined

/** For each option, what is wrong with a value: a sentence that goes on from the option's name. */
const CHECKS: Readonly<Record<keyof GatewayOptions, Check>> = {
  services: (value: unknown) => Array.isArray(value) && value.length > 0 ? undefined : 'must be a list of services',
  path: isString,
  host: isString,
  port: (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 65536 ? undefined : 'must be a port number, 0 to 65535',
  exposeHttp: isBoolean,
  httpMethods: (value: unknown) => Array.isArray(value) && value.every(method => HTTP_METHODS.includes(method)) ? undefined : `must be a list of ${HTTP_METHODS.join(', ')}`,
  isSecure: isBoolean,
  serverCredentials: (value: unknown) => value instanceof ServerCredentials ? undefined : 'must be made by ServerCredentials of the same @grpc/grpc-js as this package uses. See `npm ls @grpc/grpc-js`',
  tls: isObject,
  interceptors: (value: unknown) => Array.isArray(value) && value.every(item => typeof item === 'function') ? undefined : 'must be a list of functions',
  channelOptions: isObject,
  protos: checkSource,
  types: checkSource,
  includeDirs: (value: unknown) => Array.isArray(value) && value.every(item => typeof item === 'string') ? undefined : 'must be a list of folders',
  reflection: isBoolean,
  json: checkJson,
  errors: (value: Record<string, unknown>) => oneOf(value, { expose: ['none', 'message', 'stack'], format: ['problem', 'google.rpc', 'aip-193'], keepCode: [true, false], httpStatus: 'function' }),
  headers: (value: Record<string, unknown>) => oneOf(value, { incoming: 'function', outgoing: 'function' }),
  streams: (value: Record<string, unknown>) => oneOf(value, { envelope: [true, false], heartbeatMs: 'number', idleMs: 'number' }) ??
    Object.entries(value).filter(([, ms]) => typeof ms === 'number' && !(ms >= 0 && ms <= LONGEST_TIMER)).map(([name]) => `is wrong: \`${name}\` must be milliseconds, 0 to ${LONGEST_TIMER}`)[0],
  timeout: checkTimeouts,
  limits: checkLimits,
  methods: checkMethods,
  health: checkHealth,
  probes: checkProbes,
  ...ACCESS_CHECKS,
  telemetry: checkTelemetry,
  onShutdown: (value: unknown) => typeof value === 'function' ? undefined : 'must be a function',
  logger: (value: Partial<Logger> | null) => typeof value?.child === 'function' && typeof value?.error === 'function' ? undefined : 'must be a logger like pino: debug, info, warn, error and child'
}

/** Options with their defaults. */
export interface CheckedOptions extends GatewayOptions {
  path: string
  host: string
  port: number
  httpMethods: NonNullable<GatewayOptions['httpMethods']>
  interceptors: readonly ServerInterceptor[]
  limits: Limits
  streams: StreamSettings
}

/** @throws FGG_ERR_OPTION naming the option; FGG_ERR_PATH; FGG_ERR_CREDENTIALS */
export function checkOptions (options: GatewayOptions): CheckedOptions {
  const { FGG_ERR_OPTION, FGG_ERR_PATH, FGG_ERR_CREDENTIALS } = configurationErrors
  if (isObject(options) !== undefined) throw new FGG_ERR_OPTION('services', 'must be a list of services')
  for (const [name, value] of Object.entries({ ...options, services: options.services })) {
    if (!Object.hasOwn(CHECKS, name)) throw new FGG_ERR_OPTION(name, `does not exist. There are: ${Object.keys(CHECKS).join(', ')}`)
    if (value === undefined && name !== 'services') continue
    const problem = CHECKS[name as keyof GatewayOptions](value as never)
    if (problem !== undefined) throw new FGG_ERR_OPTION(name, problem)
  }
  const { path = '/grpc', tls, serverCredentials } = options
  if (!path.startsWith('/')) throw new FGG_ERR_PATH(path)
  if (!/^[\w/.~-]+$/.test(path)) throw new FGG_ERR_OPTION('path', `must be a plain path of letters, digits and /._~-, not ${path}`)
  if (options.isSecure === true && tls === undefined && serverCredentials === undefined) throw new FGG_ERR_CREDENTIALS()
  if (options.isSecure === false && (tls !== undefined || serverCredentials !== undefined)) throw new FGG_ERR_OPTION('isSecure', 'is false, yet `tls` or `serverCredentials` is given')
  if (tls !== undefined && serverCredentials !== undefined) throw new FGG_ERR_OPTION('tls', 'cannot be given together with `serverCredentials`')
  return {
    ...options,
    path: path === '/' ? path : path.replace(/\/+$/, ''),
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 50051,
    httpMethods: options.exposeHttp === false ? [] : [...new Set(['POST', ...options.httpMethods ?? []] as const)],
    interceptors: options.interceptors ?? [],
    limits: limitsWithDefaults(options.limits),
    streams: {
      envelope: options.streams?.envelope ?? false,
      heartbeatMs: options.streams?.heartbeatMs ?? 15_000,
      idleMs: options.streams?.idleMs ?? 60_000
    }
  }
}
