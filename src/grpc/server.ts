/**
 * The gRPC transport: a grpc-js server whose calls run through the same handlers as those of every other
 * protocol. Its innermost interceptor hands each call to its `Invocation`, in place of grpc-js's own handling.
 */
import { Server, ServerCredentials, type ServerInterceptingCall, type ChannelOptions, type Metadata, type ServerInterceptingCallInterface, type ServerInterceptor } from '@grpc/grpc-js'
import type { Exchange } from '../call/context.ts'
import type { TimeoutPolicy } from '../call/deadline.ts'
import { Invocation } from '../call/invocation.ts'
import type { Logger } from '../call/logger.ts'
import { clientRequestId, madeRequestId } from '../call/request-id.ts'
import type { ServedMethod, ServedService } from '../call/served-service.ts'
import { configurationErrors } from '../errors.ts'
import { methodKind } from '../schema/service.ts'
import { halfCloseAfterCancel } from './half-close.ts'
import { limitsTime, timeoutInterceptor } from './timeout.ts'

export interface GrpcServerOptions {
  /** Host and port; port 0 for any free one. */
  readonly address: string
  readonly credentials: ServerCredentials | undefined
  /** grpc-js's channel arguments. */
  readonly channelOptions: ChannelOptions
  readonly interceptors: readonly ServerInterceptor[]
  readonly services: readonly ServedService[]
  readonly log: () => Logger
  timeoutPolicy (method: ServedMethod): TimeoutPolicy
}

export class GrpcServer {
  readonly #server: Server
  readonly #options: GrpcServerOptions

  constructor (options: GrpcServerOptions) {
    this.#options = options
    const methods = new Map(options.services.flatMap(service => service.methods.map(method => [method.method.path, method])))
    const policies = new Map([...methods].map(([path, method]) => [path, options.timeoutPolicy(method)] as const).filter(([, policy]) => limitsTime(policy)))
    this.#server = new Server({
      ...options.channelOptions,
      interceptors: [
        ...policies.size > 0 ? [timeoutInterceptor(policies)] : [],
        ...options.interceptors,
        ({ path }, call) => handedOver(methods.get(path)!, call, options.log)
      ]
    })
    for (const { method, definition } of methods.values()) this.#register(method.path, definition)
  }

  #register (path: string, definition: ServedMethod['definition']): void {
    const { requestStream, responseStream, requestDeserialize, responseSerialize } = definition
    const serialize = (message: unknown): Buffer => {
      try {
        return responseSerialize(message)
      } catch (error) {
        this.#options.log().error({ err: error, rpc: path }, 'The response does not fit its message type')
        throw error
      }
    }
    this.#server.register(path, handledByInvocation, serialize, requestDeserialize, GRPC_JS_KINDS[methodKind(requestStream, responseStream)])
  }

  /**
   * Listens.
   *
   * @returns the port
   * @throws FGG_ERR_LISTEN, naming the address
   */
  bind (): Promise<number> {
    const { address, credentials } = this.#options
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials ?? ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) return resolve(bound)
        this.#server.forceShutdown()
        reject(new configurationErrors.FGG_ERR_LISTEN(address, listenProblem(error)))
      })
    })
  }

  /** Takes no more connections and calls; resolves when the open ones are over. */
  close (): Promise<void> {
    return new Promise(resolve => this.#server.tryShutdown(() => resolve()))
  }

  /** Ends what is still open. */
  destroy (): void {
    this.#server.forceShutdown()
  }
}

const GRPC_JS_KINDS = { unary: 'unary', serverStreaming: 'serverStream', clientStreaming: 'clientStream', bidiStreaming: 'bidi' } as const

/** grpc-js registers a method only with a function; the innermost interceptor takes every call before it. */
function handledByInvocation (): never {
  throw new Error('This call bypassed its interceptors')
}

/**
 * Gives the call to an `Invocation` when grpc-js starts it, which is all that grpc-js does to the outermost call
 * before its listener hears of anything.
 */
function handedOver (method: ServedMethod, call: ServerInterceptingCallInterface, log: () => Logger): ServerInterceptingCall {
  const outermost: Pick<ServerInterceptingCall, 'start'> = {
    start () {
      const invocation = new Invocation(method, call, new GrpcExchange(log))
      call.start(method.requestStream ? halfCloseAfterCancel(invocation) : invocation)
    }
  }
  return outermost as ServerInterceptingCall
}

class GrpcExchange implements Exchange {
  readonly protocol = 'grpc'
  readonly http = undefined
  readonly #log: () => Logger

  constructor (log: () => Logger) {
    this.#log = log
  }

  get log (): Logger {
    return this.#log()
  }

  requestId (metadata: Metadata): string {
    return clientRequestId(metadata.get('x-request-id')[0]) ?? madeRequestId()
  }
}

/** grpc-js says only that no address could be bound, and why in a list beside. */
function listenProblem (error: Error & { errors?: string[] }): string {
  return [error.message, ...error.errors ?? []].join(': ')
}
