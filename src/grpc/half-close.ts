/** The end of a request stream over gRPC, told from its cancellation. */
import type { Metadata } from '@grpc/grpc-js'
import type { CallListener } from '../call/invocation.ts'

/**
 * When a client cancels, Node.js ends the request stream and then closes it, so that grpc-js reports an end of
 * requests first and the cancellation after. This waits for the latter before it believes the former: a handler
 * must not take half an upload for a whole one.
 */
export function halfCloseAfterCancel (listener: CallListener): CallListener {
  let cancelled = false
  return {
    onReceiveMetadata: (metadata: Metadata) => listener.onReceiveMetadata(metadata),
    onReceiveMessage: (message: unknown) => listener.onReceiveMessage(message),
    onReceiveHalfClose () {
      setImmediate(() => { if (!cancelled) listener.onReceiveHalfClose() })
    },
    onCancel () {
      cancelled = true
      listener.onCancel()
    }
  }
}
