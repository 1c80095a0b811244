/**
 * Handlers of grpc-js's own form: `(call, callback)` where the response is one message, `(call)` where it is a
 * stream.
 */
import type { Metadata } from '@grpc/grpc-js'
import type { MethodHandler } from './bound-method.ts'
import { sinkInCall } from './current-call.ts'
import type { Invocation } from './invocation.ts'
import { DuplexCall, ReadableCall, UnaryCall, WritableCall, type FailingCall } from './surface-call.ts'

/** `sendUnaryData` of grpc-js. */
type Callback = (error: unknown, value?: unknown, trailers?: Metadata | null) => void

export type GrpcJsMethod = (call: unknown, callback?: Callback) => unknown

export function grpcJsHandler (method: GrpcJsMethod, requestStream: boolean, responseStream: boolean): MethodHandler {
  if (responseStream) {
    return requestStream
      ? invocation => {
        const call = new DuplexCall(invocation, undefined)
        invocation.receiveBy(sinkInCall(call))
        return run(call, method)
      }
      : (invocation, request) => run(new WritableCall(invocation, request), method)
  }
  return requestStream
    ? invocation => {
      const call = new ReadableCall(invocation, undefined)
      invocation.receiveBy(sinkInCall(call))
      return run(call, method, callbackOf(invocation))
    }
    : (invocation, request) => run(new UnaryCall(invocation, request), method, callbackOf(invocation))
}

/** What the handler has written before it fails still goes out before the status. */
function run (call: FailingCall, method: GrpcJsMethod, callback?: Callback): Promise<void> | undefined {
  try {
    const result = method(call, callback) as Partial<Promise<unknown>> | undefined
    // An async function is no grpc-js handler by contract, yet common; grpc-js leaves its rejection unhandled.
    if (typeof result?.then === 'function') return result.then(() => {}, error => call.onFailure(error))
  } catch (error) {
    call.onFailure(error)
  }
}

function callbackOf (invocation: Invocation): Callback {
  return (error, value, trailers) => {
    if (error) return invocation.fail(error, trailers, true) // any truthy value, as in grpc-js
    try {
      invocation.reply(value, trailers)
    } catch (fault) {
      invocation.fail(fault, trailers)
    }
  }
}
