/** Runs grpc-js server interceptors around a call of any protocol. */
import { ServerInterceptingCall, type Metadata, type MethodDefinition, type ServerInterceptor, type ServerInterceptingCallInterface, type ServerMethodDefinition } from '@grpc/grpc-js'
import type { ErrorStatuses } from './error-status.ts'
import type { CallListener, Status } from './invocation.ts'
import type { Logger } from './logger.ts'

/** What interceptors are told of the method: the server's half of its definition. */
export function methodDescriptor (definition: MethodDefinition<unknown, unknown>): ServerMethodDefinition<unknown, unknown> {
  const { path, requestStream, responseStream, requestDeserialize, responseSerialize, originalName } = definition as ServerMethodDefinition<unknown, unknown>
  return { path, requestStream, responseStream, requestDeserialize, responseSerialize, ...(originalName === undefined ? {} : { originalName }) }
}

/** As in grpc-js, the first interceptor is the nearest to the client. */
export function intercept (
  interceptors: readonly ServerInterceptor[],
  descriptor: ServerMethodDefinition<unknown, unknown>,
  call: ServerInterceptingCallInterface
): ServerInterceptingCallInterface {
  return interceptors.reduce((next: ServerInterceptingCallInterface, interceptor) => interceptor(descriptor, next), call)
}

/**
 * The same interceptor, whose throws end its call by their status. grpc-js lets them crash the process.
 */
export function guardedInterceptor (interceptor: ServerInterceptor, errorStatus: ErrorStatuses, log: () => Logger): ServerInterceptor {
  return (descriptor, next) => {
    const fail = (error: unknown): void => {
      const { status, fault } = errorStatus(error)
      if (fault !== undefined) log().error({ err: fault, rpc: descriptor.path }, 'An interceptor failed')
      next.sendStatus(status)
    }
    try {
      return new GuardedCall(interceptor(descriptor, new GuardedCall(next, fail)), fail)
    } catch (error) {
      fail(error)
      return new ServerInterceptingCall(next, { start () {} })
    }
  }
}

class GuardedCall extends ServerInterceptingCall {
  readonly #fail: (error: unknown) => void

  constructor (call: ServerInterceptingCallInterface, fail: (error: unknown) => void) {
    super(call)
    this.#fail = fail
  }

  #guard (step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#fail(error)
    }
  }

  override start (listener: CallListener): void {
    this.#guard(() => super.start({
      onReceiveMetadata: metadata => this.#guard(() => listener.onReceiveMetadata(metadata)),
      onReceiveMessage: message => this.#guard(() => listener.onReceiveMessage(message)),
      onReceiveHalfClose: () => this.#guard(() => listener.onReceiveHalfClose()),
      onCancel: () => this.#guard(() => listener.onCancel())
    }))
  }

  override sendMetadata (metadata: Metadata): void {
    this.#guard(() => super.sendMetadata(metadata))
  }

  override sendMessage (message: unknown, callback: () => void): void {
    this.#guard(() => super.sendMessage(message, callback))
  }

  override sendStatus (status: Status): void {
    this.#guard(() => super.sendStatus(status))
  }
}
