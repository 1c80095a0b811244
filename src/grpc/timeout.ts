/** The gateway's default and longest deadline for calls over gRPC, whose own deadline grpc-js enforces. */
import { ServerInterceptingCall, type Deadline, type ServerInterceptingCallInterface, type ServerInterceptor } from '@grpc/grpc-js'
import { allowedTimeout, deadlineExceeded, LONGEST_TIMER, type TimeoutPolicy } from '../call/deadline.ts'
import type { CallListener } from '../call/invocation.ts'

export function limitsTime (policy: TimeoutPolicy): boolean {
  return policy.default !== undefined || policy.max !== undefined
}

/** The nearest to the client, so that other interceptors see the deadline too. */
export function timeoutInterceptor (policies: ReadonlyMap<string, TimeoutPolicy>): ServerInterceptor {
  return ({ path }, call) => {
    const deadline = call.getDeadline()
    const asked = deadline === Infinity ? undefined : Number(deadline) - Date.now()
    const allowed = allowedTimeout(asked, policies.get(path) ?? {})
    return allowed === asked || allowed === undefined ? new ServerInterceptingCall(call) : new CallWithDeadline(call, allowed)
  }
}

class CallWithDeadline extends ServerInterceptingCall {
  readonly #timeout: number
  readonly #deadline: number
  #timer: NodeJS.Timeout | undefined

  constructor (call: ServerInterceptingCallInterface, timeout: number) {
    super(call)
    this.#timeout = timeout
    this.#deadline = Date.now() + timeout
  }

  override start (listener: CallListener): void {
    if (this.#timeout <= LONGEST_TIMER) {
      this.#timer = setTimeout(() => this.sendStatus(deadlineExceeded(this.#timeout)), this.#timeout)
    }
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
