/**
 * The trace that a call belongs to, as clients tell it.
 *
 * @see https://www.w3.org/TR/trace-context/
 */
import type { Metadata } from '@grpc/grpc-js'

/** Headers, or metadata, for calls to others that belong to the same trace. */
export interface TraceContext {
  traceparent?: string
  tracestate?: string
}

const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}(-.*)?$/
const LONGEST_STATE = 8192

/** The trace id of a `traceparent`; undefined when there is none, or not one that can be used. */
export function traceIdOf (traceparent: string | undefined): string | undefined {
  if (traceparent === undefined) return undefined
  const match = TRACEPARENT.exec(traceparent)
  // A later version may have more to say, the first has not.
  if (match === null || (match[2] !== undefined && traceparent.startsWith('00'))) return undefined
  return match[1]
}

/** What the client tells, to be passed on; nothing of it when its `traceparent` is wrong. */
export function traceContextOf (metadata: Metadata): TraceContext {
  const traceparents = metadata.get('traceparent')
  const [traceparent] = traceparents
  if (traceparents.length !== 1 || typeof traceparent !== 'string' || traceIdOf(traceparent) === undefined) return {}
  const tracestate = metadata.get('tracestate').join(',')
  return tracestate === '' || tracestate.length > LONGEST_STATE ? { traceparent } : { traceparent, tracestate }
}
