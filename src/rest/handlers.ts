/** The handlers of the routes: from an HTTP request to a call of the method, one way for each kind of RPC. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { allowedTimeout, timeoutOfHeaders, type TimeoutPolicy } from '../call/deadline.ts'
import { intercept, methodDescriptor } from '../call/interceptors.ts'
import { Invocation } from '../call/invocation.ts'
import type { ServedMethod } from '../call/served-service.ts'
import { GrpcError } from '../errors.ts'
import type { JsonReader, JsonWriter } from '../json/codec.ts'
import type { JsonOptions } from '../json/options.ts'
import { status } from '../status.ts'
import { negotiator } from './accept.ts'
import { isDisconnected } from './disconnect.ts'
import type { HttpGateway } from './gateway.ts'
import type { HttpCall } from './http-call.ts'
import { HttpStatusError } from './http-status-error.ts'
import { jsonStreamKind } from './media-type.ts'
import type { ReplyRoute } from './reply-call.ts'
import { oneMessage, requestReader } from './request.ts'
import { STREAM_MEDIA_TYPES, streamFormats } from './stream/format.ts'
import { requestStreamReader } from './stream/request-messages.ts'
import { StreamReplyCall } from './stream/stream-reply.ts'
import { UnaryReplyCall } from './unary-reply.ts'

/** A method as HTTP serves it: what all its routes and transports have in common. */
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
    if (!this.gateway.acceptsCalls()) throw new GrpcError(status.UNAVAILABLE, 'The server is shutting down')
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
    const intercepted = intercept(this.gateway.interceptors, this.#descriptor, call)
    if (call.isOver) return
    const invocation = new Invocation(this.method, intercepted, call)
    // Interceptors may hold the call back, or never pass it on.
    this.method.openCalls.add(invocation)
    call.whenReleased(() => this.method.openCalls.delete(invocation))
    if (invocation.isOpen) intercepted.start(invocation)
  }

  /** Runs the handler with the one request message, where no interceptor wants to see it. */
  run (call: HttpCall, message: unknown): void {
    const invocation = new Invocation(this.method, call, call, () => call.receiveMetadata())
    call.listen(invocation)
    invocation.receive(message)
  }
}

export type RouteHandler = (request: FastifyRequest, reply: FastifyReply) => void

/** @param template the whole URL of the route */
export function routeHandler (http: HttpMethod, template: string): RouteHandler {
  const { method: { method: { path: rpc, requestType }, definition: { requestStream, responseStream } }, gateway, reader, writer, jsonOptions } = http
  if (requestStream) {
    const open = requestStreamReader({ type: requestType, reader, json: jsonOptions, messageBytes: gateway.bodyLimit })
    const route: ReplyRoute = { gateway, template, rpc, open, write: writer }
    return responseStream ? streamHandler(http, route) : uploadHandler(http, route)
  }
  const readMessage = requestReader(requestType, reader, jsonOptions)
  const route: ReplyRoute = { gateway, template, rpc, open: oneMessage(readMessage), write: writer }
  return responseStream ? streamHandler(http, route) : unaryHandler(http, route, readMessage)
}

function unaryHandler (http: HttpMethod, route: ReplyRoute, readMessage: (request: FastifyRequest) => unknown): RouteHandler {
  const isIntercepted = http.gateway.interceptors.length > 0
  return (request, reply) => {
    if (isDisconnected(request, reply)) return
    const call = new UnaryReplyCall(route, request, reply, http.admit(request))
    if (isIntercepted) return http.start(call)
    let message
    try {
      message = readMessage(request)
    } catch (error) {
      return call.refuse(error)
    }
    if (!call.isOver) http.run(call, message)
  }
}

function uploadHandler (http: HttpMethod, route: ReplyRoute): RouteHandler {
  return (request, reply) => {
    if (isDisconnected(request, reply)) return
    const timeout = http.admit(request)
    jsonStreamKind(request.headers)
    http.start(new UnaryReplyCall(route, request, reply, timeout))
  }
}

const accepted = negotiator(STREAM_MEDIA_TYPES)

function streamHandler (http: HttpMethod, route: ReplyRoute): RouteHandler {
  const formats = streamFormats(http.gateway.streams.envelope)
  const { requestStream } = http.method
  return (request, reply) => {
    if (isDisconnected(request, reply)) return
    const timeout = http.admit(request)
    if (requestStream) jsonStreamKind(request.headers)
    const format = formats.get(accepted(request.headers.accept) ?? '')
    if (format === undefined) throw new HttpStatusError(406, `Accept must name one of ${STREAM_MEDIA_TYPES.join(', ')}`)
    http.start(new StreamReplyCall(route, format, request, reply, timeout))
  }
}
