/** A method as HTTP serves it: what all its routes and transports have in common. */
import type { FastifyRequest } from 'fastify'
import { allowedTimeout, timeoutOfHeaders, type TimeoutPolicy } from '../call/deadline.ts'
import { intercept, methodDescriptor } from '../call/interceptors.ts'
import { Invocation } from '../call/invocation.ts'
import type { ServedMethod } from '../call/served-service.ts'
import { GrpcError } from '../errors.ts'
import type { JsonReader, JsonWriter } from '../json/codec.ts'
import type { JsonOptions } from '../json/options.ts'
import { status } from '../status.ts'
import type { HttpGateway } from './gateway.ts'
import type { HttpCall } from './http-call.ts'

export class HttpMethod {
  readonly gateway: HttpGateway
  readonly method: ServedMethod
  readonly reader: JsonReader
  readonly writer: JsonWriter
  readonly jsonOptions: JsonOptions
  readonly #timeoutPolicy: TimeoutPolicy
  readonly #descriptor: ReturnType<typeof methodDescriptor>

  constructor (gateway: HttpGateway, method: ServedMethod) {
    const { requestType, responseType } = method.method
    const { requestDeserialize, requestSerialize, responseDeserialize, responseSerialize } = method.definition
    const options = this.jsonOptions = gateway.jsonOptions(method)
    this.gateway = gateway
    this.method = method
    this.reader = gateway.json.reader({ type: requestType, deserialize: requestDeserialize, serialize: requestSerialize }, options)
    // A message of a stream has to stay on one line.
    this.writer = gateway.json.writer({ type: responseType, deserialize: responseDeserialize, serialize: responseSerialize }, method.definition.responseStream ? { ...options, space: 0 } : options)
    this.#timeoutPolicy = gateway.timeoutPolicy(method)
    this.#descriptor = methodDescriptor(method.definition)
  }

  /**
   * Decides on a request before anything is made for it.
   *
   * @returns how long its call may take, in milliseconds; undefined for no limit
   * @throws GrpcError UNAVAILABLE during a shutdown, INVALID_ARGUMENT for wrong headers
   */
  admit (request: FastifyRequest): number | undefined {
    if (!this.gateway.acceptsCalls(request.server.server)) throw new GrpcError(status.UNAVAILABLE, 'The server is shutting down')
    this.gateway.headers.check(request.raw.rawHeaders)
    return this.timeoutOf(request)
  }

  /** @returns milliseconds; undefined for no limit */
  timeoutOf ({ raw: { headers } }: FastifyRequest): number | undefined {
    const asked = timeoutOfHeaders(headers['grpc-timeout'] as string | undefined, headers['x-request-timeout-seconds'] as string | undefined)
    return allowedTimeout(asked, this.#timeoutPolicy)
  }

  /** Hands a call to its interceptors and its handler, as grpc-js does. */
  start (call: HttpCall): void {
    const run = call.observer?.run
    if (run === undefined) this.#start(call)
    else run(() => this.#start(call))
  }

  #start (call: HttpCall): void {
    const intercepted = intercept(this.gateway.interceptors, this.#descriptor, call)
    if (call.isOver) return
    const invocation = new Invocation(this.method, intercepted, call)
    // Interceptors may hold the call back, or never pass it on.
    this.method.openCalls.add(invocation)
    call.whenReleased(() => this.method.openCalls.delete(invocation))
    if (invocation.isOpen) intercepted.start(invocation)
  }

  /** Whether nothing comes before the handler: no interceptor and no gate. */
  get isDirect (): boolean {
    return this.gateway.interceptors.length === 0 && this.method.gate === undefined
  }

  /** Runs the handler with the one request message, where nothing comes before it. */
  run (call: HttpCall, message: unknown): void {
    const invocation = new Invocation(this.method, call, call, () => call.receiveMetadata())
    call.listen(invocation)
    invocation.receive(message)
  }
}
