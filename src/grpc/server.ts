/**
 * The gRPC transport: a grpc-js server whose calls run through the same handlers as those of every other
 * protocol. Its one interceptor takes each call through those of the user to its `Invocation`, in place of grpc-js's own
 * handling.
 */
import type { Http2Server } from 'node:http2'
import { Server, ServerCredentials, type ServerInterceptingCall, type ChannelOptions, type ServerInterceptingCallInterface, type ServerInterceptor } from '@grpc/grpc-js'
import { LONGEST_TIMER, type TimeoutPolicy } from '../call/deadline.ts'
import { intercept, methodDescriptor } from '../call/interceptors.ts'
import { Invocation } from '../call/invocation.ts'
import type { Logger } from '../call/logger.ts'
import type { ObserveCall, ObserveMethod } from '../call/observer.ts'
import { RESPONSE_TOO_LARGE } from '../call/server-call.ts'
import type { ServedMethod, ServedService } from '../call/served-service.ts'
import { configurationErrors } from '../errors.ts'
import { methodKind, type Method } from '../schema/service.ts'
import { Certificates } from '../tls/certificates.ts'
import { TlsCredentials } from './credentials.ts'
import { GrpcExchange } from './grpc-exchange.ts'
import { channelArguments, limitConnections, limitHeaders, type GrpcLimits } from './limits.ts'
import { halfCloseAfterCancel } from './half-close.ts'
import { HeldCall } from './held-call.ts'
import { sizingCodec } from './message-sizes.ts'
import { shareHttp2, type StreamListener } from './shared-http2.ts'
import { limitsTime, timeoutInterceptor } from './timeout.ts'
import { interceptUnknownMethods, unknownMethodStatus } from './unknown-methods.ts'

export interface GrpcServerOptions {
  /** Host and port; port 0 for any free one. */
  readonly address: string
  /** Credentials, or the certificates to make them of; undefined for clear text. */
  readonly credentials: ServerCredentials | Certificates | undefined
  readonly limits: GrpcLimits
  /** grpc-js's channel arguments, over those that are made of `limits`. */
  readonly channelOptions: ChannelOptions | undefined
  readonly interceptors: readonly ServerInterceptor[]
  readonly services: readonly ServedService[]
  readonly log: () => Logger
  /** Undefined where nobody watches. */
  readonly observe: ObserveMethod | undefined
  timeoutPolicy (method: ServedMethod): TimeoutPolicy
}

interface InterceptedMethod {
  readonly served: ServedMethod
  readonly descriptor: ReturnType<typeof methodDescriptor>
  readonly observe: ObserveCall | undefined
}

export class GrpcServer {
  readonly #server: Server
  readonly #options: GrpcServerOptions
  readonly #methods: ReadonlyMap<string, InterceptedMethod>
  readonly #interceptors: readonly ServerInterceptor[]
  #tls: TlsCredentials | undefined
  /** The port that it is bound to; undefined when somebody else listens. */
  #port: number | undefined
  readonly #observeUnknown: ObserveCall | undefined

  constructor (options: GrpcServerOptions) {
    this.#options = options
    const methods = options.services.flatMap(service => service.methods)
    const observed = (method?: Method): ObserveCall | undefined => options.observe?.({ protocol: 'grpc', method, route: undefined })
    this.#observeUnknown = observed()
    this.#methods = new Map(methods.map(served => [served.method.path, { served, descriptor: methodDescriptor(served.definition), observe: observed(served.method) }]))
    const policies = new Map(methods.map(method => [method.method.path, options.timeoutPolicy(method)] as const).filter(([, policy]) => limitsTime(policy)))
    this.#interceptors = [...policies.size > 0 ? [timeoutInterceptor(policies)] : [], ...options.interceptors]
    this.#server = new Server({ ...channelArguments(options.limits), ...options.channelOptions, interceptors: [({ path }, call) => this.#handOver(path, call)] })
    limitHeaders(this.#server, options.limits)
    interceptUnknownMethods(this.#server)
    for (const { method, definition } of methods) this.#register(method.path, definition)
  }

  #register (path: string, definition: ServedMethod['definition']): void {
    const { requestStream, responseStream } = definition
    const { requestDeserialize, responseSerialize } = this.#options.observe === undefined ? definition : sizingCodec(definition)
    const { log, limits: { responseBytes } } = this.#options
    const serialize = (message: unknown): Buffer => {
      try {
        const bytes = responseSerialize(message)
        // grpc-js refuses it then.
        if (bytes.length > responseBytes && responseBytes > 0) log().error({ rpc: path, size: bytes.length }, RESPONSE_TOO_LARGE)
        return bytes
      } catch (error) {
        log().error({ err: error, rpc: path }, 'The response does not fit its message type')
        throw error
      }
    }
    this.#server.register(path, handledByInvocation, serialize, requestDeserialize, GRPC_JS_KINDS[methodKind(requestStream, responseStream)])
  }

  /** Takes a call through the interceptors to its `Invocation`. */
  #handOver (path: string, call: ServerInterceptingCallInterface): ServerInterceptingCall {
    const { log } = this.#options
    const method = this.#methods.get(path)
    const exchange = new GrpcExchange(call, path, log, method === undefined ? this.#observeUnknown : method.observe)
    if (method === undefined) return outermost(() => call.sendStatus(unknownMethodStatus(path)))
    const { served, descriptor } = method
    const held = this.#options.interceptors.length > 0 ? new HeldCall(call) : undefined
    const run = exchange.observer?.run ?? now
    const intercepted = run(() => intercept(this.#interceptors, descriptor, call))
    return outermost(() => {
      const invocation = new Invocation(served, intercepted, exchange)
      held?.isFor(invocation, served.openCalls)
      run(() => intercepted.start(served.requestStream ? halfCloseAfterCancel(invocation) : invocation))
    })
  }

  /**
   * Listens.
   *
   * @returns the port
   * @throws FGG_ERR_LISTEN, naming the address
   */
  bind (): Promise<number> {
    const { address, credentials } = this.#options
    const tls = this.#tls = credentials instanceof Certificates ? new TlsCredentials(credentials) : undefined
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, tls ?? credentials as ServerCredentials | undefined ?? ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) {
          limitConnections(this.#server, this.#options.limits)
          resolve(this.#port = bound)
        } else reject(new configurationErrors.FGG_ERR_LISTEN(address, listenProblem(error)))
      })
    })
  }

  /**
   * Sends GOAWAY on the connections that are open now. Their calls go on, and new ones use other connections. To those
   * that it shares, the app sends it.
   */
  moveOn (): void {
    if (this.#port === undefined) return
    this.#server.drain(this.#options.address.replace(/\d+$/, String(this.#port)), LONGEST_TIMER)
  }

  /**
   * Takes the connections of somebody else who listens, in place of its own, and from them the streams of gRPC.
   *
   * @param others takes the other streams
   * @returns a server that never listens: connections are given to it by its event `connection`
   * @throws FGG_ERR_SINGLE_PORT when the version of grpc-js does not allow for it
   */
  share (others: StreamListener): Http2Server {
    const shared = shareHttp2(this.#server, others)
    limitConnections(this.#server, this.#options.limits)
    return shared
  }

  /** Takes no more connections, and on those that are open no more calls; resolves when they are over. */
  close (): Promise<void> {
    this.#tls?.release()
    return new Promise(resolve => this.#server.tryShutdown(() => resolve()))
  }

  /** Ends what is still open. */
  destroy (): void {
    this.#tls?.release()
    this.#server.forceShutdown()
  }
}

const GRPC_JS_KINDS = { unary: 'unary', serverStreaming: 'serverStream', clientStreaming: 'clientStream', bidiStreaming: 'bidi' } as const

/** grpc-js registers a method only with a function; the innermost interceptor takes every call before it. */
function handledByInvocation (): never {
  throw new Error('This call bypassed its interceptors')
}

function now<T> (step: () => T): T {
  return step()
}

/** To start a call is all that grpc-js does to the outermost one before its listener hears of anything. */
function outermost (start: () => void): ServerInterceptingCall {
  const call: Pick<ServerInterceptingCall, 'start'> = { start }
  return call as ServerInterceptingCall
}

/** grpc-js says only that no address could be bound, and why in a list beside. */
function listenProblem (error: Error & { errors?: string[] }): string {
  return [error.message, ...error.errors ?? []].join(': ')
}
