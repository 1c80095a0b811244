/**
 * How long a call may take: what the client asks for, within what the gateway allows.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
 */
import { badRequest } from '../errors.ts'
import { status } from '../status.ts'

/** Milliseconds; 0 stands for none. */
export interface TimeoutPolicy {
  /** For calls whose client sets no deadline. Default none. */
  readonly default?: number | undefined
  /** The longest that any call may take. Default none. */
  readonly max?: number | undefined
}

/** Timeouts that differ by protocol. */
export interface TimeoutOptions extends TimeoutPolicy {
  /** In place of the others over gRPC. */
  readonly grpc?: TimeoutPolicy | undefined
  /** In place of the others over HTTP and WebSockets. */
  readonly http?: TimeoutPolicy | undefined
}

export function timeoutOver (protocol: 'grpc' | 'http', { grpc, http, ...both }: TimeoutOptions = {}): TimeoutPolicy {
  return { ...both, ...(protocol === 'grpc' ? grpc : http) }
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** The longest delay of a Node.js timer, about 24.8 days; deadlines past it are none. */
export const LONGEST_TIMER = 2 ** 31 - 1

/**
 * The timeout that the headers of an HTTP request ask for, in milliseconds: `grpc-timeout`, else
 * `x-request-timeout-seconds`, where 0 and less mean none.
 *
 * @throws GrpcError INVALID_ARGUMENT when the header is malformed
 */
export function timeoutOfHeaders (grpcTimeout: string | undefined, timeoutSeconds: string | undefined): number | undefined {
  if (grpcTimeout !== undefined) {
    const match = /^(\d{1,8})([HMSmun])$/.exec(grpcTimeout)
    if (match === null) throw badHeader('grpc-timeout', grpcTimeout, 'up to 8 digits and one of H, M, S, m, u, n')
    return Number(match[1]) * UNIT_MS[match[2]!]!
  }
  if (timeoutSeconds !== undefined) {
    const seconds = timeoutSeconds.trim() === '' ? NaN : Number(timeoutSeconds)
    if (!Number.isFinite(seconds)) throw badHeader('x-request-timeout-seconds', timeoutSeconds, 'a number of seconds')
    return seconds > 0 ? seconds * 1000 : undefined
  }
  return undefined
}

function badHeader (name: string, value: string, expected: string): Error {
  return badRequest([{ field: name, description: `the header must be ${expected}, not ${JSON.stringify(value.slice(0, 40))}` }])
}

/** What the policy makes of the timeout that a client asks for; both in milliseconds, undefined for none. */
export function allowedTimeout (asked: number | undefined, policy: TimeoutPolicy): number | undefined {
  const wanted = asked ?? (positive(policy.default))
  const max = positive(policy.max)
  return max !== undefined && (wanted === undefined || wanted > max) ? max : wanted
}

/** The status of a call whose deadline has passed. @param timeout what it was given, in milliseconds */
export function deadlineExceeded (timeout: number): { code: status, details: string } {
  return { code: status.DEADLINE_EXCEEDED, details: `Deadline exceeded: the call timed out after ${timeout / 1000}s.` }
}

function positive (ms: number | undefined): number | undefined {
  return ms !== undefined && ms > 0 ? ms : undefined
}
