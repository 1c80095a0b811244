/** The handlers of the routes: from an HTTP request to a call of the method, one way for each kind of RPC. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { JsonForm } from '../call/registration.ts'
import { negotiator } from './accept.ts'
import { isDisconnected } from './disconnect.ts'
import type { HttpMethod } from './http-method.ts'
import { HttpStatusError } from './http-status-error.ts'
import { checkJsonStream } from './media-type.ts'
import type { ReplyRoute } from './reply-call.ts'
import { formReader, oneMessage, requestReader } from './request.ts'
import { STREAM_MEDIA_TYPES, streamFormats } from './stream/format.ts'
import { requestStreamReader } from './stream/request-messages.ts'
import { StreamReplyCall } from './stream/stream-reply.ts'
import { UnaryReplyCall } from './unary-reply.ts'

type RouteHandler = (request: FastifyRequest, reply: FastifyReply) => void

/**
 * @param template the whole URL of the route
 * @param form of its messages; ProtoJSON when undefined
 */
export function routeHandler (http: HttpMethod, template: string, form?: JsonForm): RouteHandler {
  const { method: { method, definition: { requestStream, responseStream } }, gateway, reader, writer, jsonOptions } = http
  const observe = gateway.observe?.({ protocol: 'http', method, route: template })
  if (requestStream) {
    const open = requestStreamReader({ type: method.requestType, reader, json: jsonOptions, messageBytes: gateway.messageBytes, bodyBytes: gateway.bodyBytes })
    const route: ReplyRoute = { gateway, template, method, open, write: writer, observe }
    return responseStream ? streamHandler(http, route) : uploadHandler(http, route)
  }
  const readMessage = form === undefined ? requestReader(method.requestType, reader, jsonOptions) : formReader(form)
  const write = form === undefined ? writer : (message: unknown) => form.write(message)
  const route: ReplyRoute = { gateway, template, method, open: oneMessage(readMessage), write, observe }
  return responseStream ? streamHandler(http, route) : unaryHandler(http, route, readMessage)
}

function unaryHandler (http: HttpMethod, route: ReplyRoute, readMessage: (request: FastifyRequest) => unknown): RouteHandler {
  const { isDirect } = http
  return (request, reply) => {
    if (isDisconnected(request, reply)) return
    const call = new UnaryReplyCall(route, request, reply, http.admit(request))
    if (!isDirect) return http.start(call)
    let message
    try {
      message = readMessage(request)
    } catch (error) {
      return call.refuse(error)
    }
    call.hasRead()
    if (!call.isOver) http.run(call, message)
  }
}

function uploadHandler (http: HttpMethod, route: ReplyRoute): RouteHandler {
  return (request, reply) => {
    if (isDisconnected(request, reply)) return
    const timeout = http.admit(request)
    checkJsonStream(request.headers)
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
    if (requestStream) checkJsonStream(request.headers)
    const format = formats.get(accepted(request.headers.accept) ?? '')
    if (format === undefined) throw new HttpStatusError(406, `Accept must name one of ${STREAM_MEDIA_TYPES.join(', ')}`)
    http.start(new StreamReplyCall(route, format, request, reply, timeout))
  }
}
