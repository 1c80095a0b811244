/**
 * The gRPC status codes: names and HTTP statuses, in one table.
 *
 * @see https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
 */
import { status } from '@grpc/grpc-js'

export { status }

const NAMES_AND_HTTP: ReadonlyArray<readonly [name: string, http: number]> = [
  ['OK', 200],
  ['CANCELLED', 499],
  ['UNKNOWN', 500],
  ['INVALID_ARGUMENT', 400],
  ['DEADLINE_EXCEEDED', 504],
  ['NOT_FOUND', 404],
  ['ALREADY_EXISTS', 409],
  ['PERMISSION_DENIED', 403],
  ['RESOURCE_EXHAUSTED', 429],
  ['FAILED_PRECONDITION', 400],
  ['ABORTED', 409],
  ['OUT_OF_RANGE', 400],
  ['UNIMPLEMENTED', 501],
  ['INTERNAL', 500],
  ['UNAVAILABLE', 503],
  ['DATA_LOSS', 500],
  ['UNAUTHENTICATED', 401]
]

const CODE_OF_HTTP: ReadonlyMap<number, status> = new Map([
  [400, status.INVALID_ARGUMENT],
  [401, status.UNAUTHENTICATED],
  [403, status.PERMISSION_DENIED],
  [404, status.NOT_FOUND],
  [405, status.UNIMPLEMENTED],
  [406, status.INVALID_ARGUMENT],
  [408, status.DEADLINE_EXCEEDED],
  [409, status.ABORTED],
  [413, status.RESOURCE_EXHAUSTED],
  [415, status.INVALID_ARGUMENT],
  [416, status.OUT_OF_RANGE],
  [422, status.INVALID_ARGUMENT],
  [429, status.RESOURCE_EXHAUSTED],
  [431, status.RESOURCE_EXHAUSTED],
  [499, status.CANCELLED],
  [501, status.UNIMPLEMENTED],
  [503, status.UNAVAILABLE],
  [504, status.DEADLINE_EXCEEDED]
])

/** Whether `value` is one of the seventeen gRPC status codes, 0 to 16. */
export function isStatusCode (value: unknown): value is status {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < NAMES_AND_HTTP.length
}

/** The name of a status code, such as `NOT_FOUND`; `UNKNOWN` for a number that is no status code. */
export function statusName (code: number): string {
  return (NAMES_AND_HTTP[code] ?? NAMES_AND_HTTP[status.UNKNOWN]!)[0]
}

/** The HTTP status that stands for a gRPC status code; 500 for a number that is no status code. */
export function httpStatus (code: number): number {
  return NAMES_AND_HTTP[code]?.[1] ?? 500
}

/** The gRPC status code that comes nearest to an HTTP error status. */
export function codeOfHttpStatus (http: number): status {
  return CODE_OF_HTTP.get(http) ?? (http < 500 ? status.FAILED_PRECONDITION : status.INTERNAL)
}
