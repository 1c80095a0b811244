/**
 * The errors that users throw and see: `GrpcError` for a call that fails, and the coded errors of a
 * configuration that cannot work.
 */
import createError from '@fastify/error'
import type { Metadata } from '@grpc/grpc-js'
import { status, statusName } from './status.ts'

/**
 * One entry of `google.rpc.Status.details`: the ProtoJSON form of a `google.protobuf.Any`.
 * `@type` is a message name or a type URL: `google.rpc.BadRequest` and
 * `type.googleapis.com/google.rpc.BadRequest` mean the same.
 */
export interface ErrorDetail {
  readonly '@type': string
  readonly [field: string]: unknown
}

export interface GrpcErrorOptions {
  /** Sent as trailing metadata with the status. */
  metadata?: Metadata
  /**
   * Structured details (`google.rpc.BadRequest`, `RetryInfo`, your own messages): sent in
   * `grpc-status-details-bin` over gRPC and in the `details` of the error body over HTTP.
   */
  errorDetails?: readonly ErrorDetail[]
  /** What led to this error. It is logged, never sent. */
  cause?: unknown
}

/**
 * The error that a handler or an interceptor throws to end a call with a status.
 * Its code and message reach the client on every protocol.
 *
 * @example
 * throw new GrpcError(status.NOT_FOUND, `No book ${id}`)
 */
export class GrpcError extends Error {
  /** The gRPC status code. */
  readonly code: status
  /** The status message; grpc-js calls it by this name. */
  readonly details: string
  readonly metadata: Metadata | undefined
  readonly errorDetails: readonly ErrorDetail[]

  constructor (code: status, details: string = statusName(code), options: GrpcErrorOptions = {}) {
    super(details, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'GrpcError'
    this.code = code
    this.details = details
    this.metadata = options.metadata
    this.errorDetails = options.errorDetails ?? []
  }
}

/** One field of a request that breaks a rule, as in `google.rpc.BadRequest.FieldViolation`. */
export interface FieldViolation {
  /** The JSON path of the field, such as `items[3].price`; empty for the message itself. */
  readonly field: string
  readonly description: string
}

/** INVALID_ARGUMENT with a `google.rpc.BadRequest` that lists every violation. */
export function badRequest (violations: readonly FieldViolation[]): GrpcError {
  const lines = violations.map(({ field, description }) => field === '' ? description : `${field}: ${description}`)
  return new GrpcError(status.INVALID_ARGUMENT, lines.join('; '), {
    errorDetails: [{ '@type': 'google.rpc.BadRequest', fieldViolations: violations }]
  })
}

/** The errors of a configuration that cannot work; each has its `code`. Thrown at start, never during a call. */
export const configurationErrors = {
  FGG_ERR_OPTION: createError('FGG_ERR_OPTION', 'Option `%s` of GrpcGateway %s'),
  FGG_ERR_PATH: createError<[string]>('FGG_ERR_PATH', "Paths must start with '/': got %s"),
  FGG_ERR_CREDENTIALS: createError('FGG_ERR_CREDENTIALS', 'When `isSecure` is true, you must provide `serverCredentials` or `tls`'),
  FGG_ERR_TLS: createError('FGG_ERR_TLS', 'Option `tls.%s`: %s'),
  FGG_ERR_SERVICE: createError('FGG_ERR_SERVICE', '%s'),
  FGG_ERR_DUPLICATE_SERVICE: createError('FGG_ERR_DUPLICATE_SERVICE', 'Service %s is registered twice, by %s and by %s'),
  FGG_ERR_DUPLICATE_ROUTE: createError('FGG_ERR_DUPLICATE_ROUTE', 'Route %s is claimed by %s and by %s. Give one of the gateways another `path`, one of the classes another name, one `implement` a `name`, or name other `routes`'),
  FGG_ERR_NO_SCHEMA: createError('FGG_ERR_NO_SCHEMA', 'The definition of %s carries no descriptors. Name its .proto files or descriptor set in the `protos` option'),
  FGG_ERR_PROTO_NOT_FOUND: createError('FGG_ERR_PROTO_NOT_FOUND', '%s'),
  FGG_ERR_PROTO_SYNTAX: createError('FGG_ERR_PROTO_SYNTAX', '%s'),
  FGG_ERR_PROTO_DUPLICATE: createError('FGG_ERR_PROTO_DUPLICATE', '%s'),
  FGG_ERR_UNKNOWN_SERVICE: createError('FGG_ERR_UNKNOWN_SERVICE', '%s'),
  FGG_ERR_LISTEN_OPTION: createError('FGG_ERR_LISTEN_OPTION', 'Option `%s` of listen %s'),
  FGG_ERR_SINGLE_PORT: createError<[string, string]>('FGG_ERR_SINGLE_PORT', '`singlePort` does not work with @grpc/grpc-js %s: %s. Listen on two ports, or install a version that this package is tested with'),
  FGG_ERR_LISTEN: createError('FGG_ERR_LISTEN', 'The gRPC server cannot listen on %s: %s'),
  FGG_ERR_WORKERS: createError('FGG_ERR_WORKERS', 'The workers cannot start: %s'),
  FGG_ERR_WEBSOCKET: createError('FGG_ERR_WEBSOCKET', 'WebSockets need the package @fastify/websocket: npm install @fastify/websocket'),
  FGG_ERR_AUTH: createError('FGG_ERR_AUTH', '%s: %s'),
  FGG_ERR_SELDON: createError('FGG_ERR_SELDON', 'Seldon: %s'),
  FGG_ERR_VARIATIONS: createError('FGG_ERR_VARIATIONS', 'Variations %s'),
  FGG_ERR_TELEMETRY: createError('FGG_ERR_TELEMETRY', '%s'),
  FGG_ERR_MULTIPLEXED: createError('FGG_ERR_MULTIPLEXED', '%s'),
  FGG_ERR_CONFIG: createError('FGG_ERR_CONFIG', '%s'),
  FGG_ERR_APPLICATION: createError('FGG_ERR_APPLICATION', '%s'),
  FGG_ERR_STATE: createError('FGG_ERR_STATE', '%s')
} as const
