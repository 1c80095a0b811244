/** Why a call was given up that nobody has answered. */
import { GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import type { CallContext } from './context.ts'

/** Timers may fire this much before the clock says so, in milliseconds. */
const TIMER_TOLERANCE_MS = 2

/** grpc-js says only that it is over. */
export function reasonOfCancellation (context: CallContext): GrpcError {
  return context.timeRemaining() <= TIMER_TOLERANCE_MS
    ? new GrpcError(status.DEADLINE_EXCEEDED, 'Deadline exceeded')
    : new GrpcError(status.CANCELLED, 'The client cancelled the call')
}

/** What `signal.throwIfAborted()` and the functions that take a signal throw. */
export function isAbortError (error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
