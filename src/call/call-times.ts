/** How long a call may be without progress. What a deadline bounds is the whole call. */
import { GrpcError } from '../errors.ts'
import { status } from '../status.ts'

/** In milliseconds; Infinity for no limit. */
export interface CallTimes {
  /** Until the one request message has come. */
  readonly requestMs: number
  /** Of a stream: without a message either way. Of a single response: until the client has taken it. */
  readonly idleMs: number
  /** Of a stream: as a whole. */
  readonly lifeMs: number
}

export const UNLIMITED: CallTimes = { requestMs: Infinity, idleMs: Infinity, lifeMs: Infinity }

export function requestTooSlow ({ requestMs }: CallTimes): GrpcError {
  return tooLate(`the request did not arrive within ${seconds(requestMs)}.`)
}

export function streamIdle ({ idleMs }: CallTimes): GrpcError {
  return tooLate(`no message of the stream went either way for ${seconds(idleMs)}.`)
}

export function streamTooLong ({ lifeMs }: CallTimes): GrpcError {
  return tooLate(`the stream was open for ${seconds(lifeMs)}.`)
}

export function responseNotTaken ({ idleMs }: CallTimes): GrpcError {
  return tooLate(`the client did not take the response within ${seconds(idleMs)}.`)
}

function tooLate (what: string): GrpcError {
  return new GrpcError(status.DEADLINE_EXCEEDED, `Deadline exceeded: ${what}`)
}

function seconds (ms: number): string {
  return `${ms / 1000}s`
}
