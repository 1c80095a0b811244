/** The gateway's default and longest deadline for calls over gRPC, whose own deadline grpc-js enforces. */
import { ServerInterceptingCall, type Deadline, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import { allowedTimeout, LONGEST_TIMER, type TimeoutPolicy } from '../call/deadline.ts'
import type { CallListener } from '../call/invocation.ts'
import { status } from '../status.ts'

/** The same call, with a deadline when the policy asks for another than the client's. */
export function withTimeoutPolicy (call: ServerInterceptingCallInterface, policy: TimeoutPolicy): ServerInterceptingCallInterface {
  if (policy.default === undefined && policy.max === undefined) return call
  const deadline = call.getDeadline()
  const asked = deadline === Infinity ? undefined : Number(deadline) - Date.now()
  const allowed = allowedTimeout(asked, policy)
  return allowed === asked || allowed === undefined ? call : new CallWithDeadline(call, allowed)
}

class CallWithDeadline extends ServerInterceptingCall {
  readonly #deadline: number
  readonly #timer: NodeJS.Timeout | undefined

  constructor (call: ServerInterceptingCallInterface, timeout: number) {
    super(call)
    this.#deadline = Date.now() + timeout
    if (timeout > LONGEST_TIMER) return
    this.#timer = setTimeout(() => this.sendStatus({ code: status.DEADLINE_EXCEEDED, details: 'Deadline exceeded' }), timeout)
  }

  override start (listener: CallListener): void {
    super.start({
      onReceiveMetadata: metadata => listener.onReceiveMetadata(metadata),
      onReceiveMessage: message => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      onCancel: () => {
        clearTimeout(this.#timer)
        listener.onCancel()
      }
    })
  }

  override getDeadline (): Deadline {
    return this.#deadline
  }
}
