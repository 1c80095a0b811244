/** A method bound to its handler, and to what is decided before the handler runs. */
import type { Method } from '../schema/service.ts'
import type { Admission } from './admission.ts'
import type { CallTimes } from './call-times.ts'
import type { CallContext } from './context.ts'
import type { ErrorStatuses } from './error-status.ts'
import type { Invocation } from './invocation.ts'
import type { OpenCalls } from './open-calls.ts'

/** A method of a user's service, whatever its style. */
export interface MethodHandler {
  /**
   * Runs the method. A method with one request message gets it here; one with a stream of them gets undefined and
   * calls `receiveBy` before anything can arrive. What it throws becomes the status of the call.
   *
   * @returns a promise that resolves when the method has finished, whatever has become of the call; undefined where the
   * end of the call is all there is to go by
   */
  (invocation: Invocation, request: unknown): Promise<void> | undefined
}

/**
 * Decides whether a call may be made, before anything of its request is read: it may when this resolves. What it throws
 * ends the call.
 */
export type Gate = (context: CallContext) => Promise<void>

/** What is known of a method before any call. */
export interface BoundMethod {
  readonly method: Method
  readonly handler: MethodHandler
  readonly requestStream: boolean
  readonly errorStatus: ErrorStatuses
  readonly keepCode: boolean
  /** The calls that are open now. */
  readonly openCalls: OpenCalls
  /** Whether the gateway itself offers the service: health, for one. What limits calls is for the services of users. */
  readonly builtIn: boolean
  /** Undefined where everybody may call. */
  readonly gate: Gate | undefined
  readonly admission: Admission
  readonly times: CallTimes
  /** Whether requests or responses are a stream. */
  readonly isStream: boolean
}
