/** A gRPC status as an HTTP error: status line and JSON body, in one of three forms. */
import type { Metadata } from '@grpc/grpc-js'
import { DETAILS_KEY } from '../call/error-status.ts'
import type { StatusDetails } from '../json/status-details.ts'
import type { JsonValue } from '../json/value.ts'
import { httpStatus, statusName } from '../status.ts'

export interface ErrorBodyOptions {
  /**
   * The form of error bodies:
   * - `problem`, RFC 9457: `{"status":404,"title":"NOT_FOUND","detail":"No such book","code":5}`
   * - `google.rpc`, ProtoJSON of google.rpc.Status: `{"code":5,"message":"No such book","details":[]}`
   * - `aip-193`, as Google's APIs: `{"error":{"code":404,"message":"No such book","status":"NOT_FOUND"}}`
   *
   * Default `problem`.
   */
  format?: 'problem' | 'google.rpc' | 'aip-193' | undefined
  /** The HTTP status for a gRPC status code, 400 to 599; anything else for the usual one. */
  httpStatus?: ((code: number) => number | undefined) | undefined
}

export interface HttpError {
  readonly status: number
  readonly contentType: string
  readonly body: string
  /** The JSON text of the object that describes the error: the body, or what it holds under `error`. */
  readonly object: string
}

interface GrpcStatus {
  readonly code: number
  readonly details: string
  readonly metadata?: Metadata | null | undefined
}

/** @param http the HTTP status to answer with, where it is not that of the code */
export type ErrorWriter = (status: GrpcStatus, http?: number) => HttpError

export function errorWriter (options: ErrorBodyOptions, statusDetails: StatusDetails): ErrorWriter {
  const format = options.format ?? 'problem'
  const contentType = format === 'problem' ? 'application/problem+json' : 'application/json'
  const objectOf = OBJECTS[format]
  const statusOf = options.httpStatus
  return ({ code, details, metadata }, http = errorStatusOr(statusOf?.(code), httpStatus(code))) => {
    const object = JSON.stringify(objectOf(http, code, details, detailsOf(metadata, statusDetails)))
    return { status: http, contentType, body: format === 'aip-193' ? `{"error":${object}}` : object, object }
  }
}

/** What is no status of an error would be none of HTTP's, or say that all is well. */
function errorStatusOr (chosen: number | undefined, usual: number): number {
  return Number.isInteger(chosen) && chosen! >= 400 && chosen! <= 599 ? chosen! : usual
}

type ErrorObject = (http: number, code: number, message: string, details: JsonValue[]) => JsonValue

const OBJECTS: Readonly<Record<NonNullable<ErrorBodyOptions['format']>, ErrorObject>> = {
  problem: (status, code, detail, details) => ({ status, title: statusName(code), detail, code, ...unlessEmpty(details) }),
  'google.rpc': (_http, code, message, details) => ({ code, message, details }),
  'aip-193': (http, code, message, details) => ({ code: http, message, status: statusName(code), ...unlessEmpty(details) })
}

function unlessEmpty (details: JsonValue[]): { details?: JsonValue[] } {
  return details.length > 0 ? { details } : {}
}

function detailsOf (metadata: Metadata | null | undefined, statusDetails: StatusDetails): JsonValue[] {
  const bytes = metadata?.get(DETAILS_KEY)[0]
  if (!(bytes instanceof Uint8Array)) return []
  try {
    return statusDetails.decode(bytes)
  } catch {
    return [{ '@type': 'type.googleapis.com/google.rpc.Status', value: Buffer.from(bytes).toString('base64') }]
  }
}
