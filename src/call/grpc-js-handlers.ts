/**
 * Handlers of grpc-js's own form: `(call, callback)` where the response is one message, `(call)` where it is a
 * stream.
 */
import type { Metadata } from '@grpc/grpc-js'
import type { Invocation, MethodHandler, Receiver } from './invocation.ts'
import { DuplexCall, ReadableCall, UnaryCall, WritableCall } from './surface-call.ts'

/** `sendUnaryData` of grpc-js. */
type Callback = (error: unknown, value?: unknown, trailers?: Metadata) => void

export type GrpcJsMethod = (call: unknown, callback?: Callback) => unknown

export function grpcJsHandler (method: GrpcJsMethod, requestStream: boolean, responseStream: boolean): MethodHandler {
  if (responseStream) {
    return requestStream
      ? invocation => run(invocation, new DuplexCall(invocation, undefined), method)
      : (invocation, request) => run(invocation, new WritableCall(invocation, request), method)
  }
  return requestStream
    ? invocation => run(invocation, new ReadableCall(invocation, undefined), method, callbackOf(invocation))
    : (invocation, request) => run(invocation, new UnaryCall(invocation, request), method, callbackOf(invocation))
}

function run<Call extends Receiver> (invocation: Invocation, call: Call, method: GrpcJsMethod, callback?: Callback): Call {
  const result = method(call, callback) as Partial<PromiseLike<unknown>> | undefined
  // An async function is no grpc-js handler by contract, yet common; grpc-js leaves its rejection unhandled.
  if (typeof result?.then === 'function') result.then(undefined, error => invocation.fail(error))
  return call
}

function callbackOf (invocation: Invocation): Callback {
  return (error, value, trailers) => {
    if (error !== null && error !== undefined) return invocation.fail(error, trailers)
    try {
      invocation.reply(value, trailers)
    } catch (fault) {
      invocation.fail(fault, trailers)
    }
  }
}
