/** From an HTTP request to its one request message: JSON body, or query. */
import type { FastifyRequest } from 'fastify'
import type protobuf from 'protobufjs'
import type { JsonForm } from '../call/registration.ts'
import type { JsonReader } from '../json/codec.ts'
import type { JsonReadOptions } from '../json/options.ts'
import type { JsonValue } from '../json/value.ts'
import { checkJson } from './media-type.ts'
import type { MessageReceiver } from './message-pump.ts'
import { queryOf, queryToJson } from './query.ts'
import { decodeUtf8 } from './utf8.ts'

/** The body of a request, as a call reads it. */
export interface RequestBody {
  /** Gives the next message, or the end, to the receiver: now, or when it has come. */
  read (): void
  /** Nothing more is wanted. */
  stop (): void
}

export type OpenRequest = (request: FastifyRequest, receiver: MessageReceiver) => RequestBody

/** The body of a request that has one message. */
export function oneMessage (readMessage: (request: FastifyRequest) => unknown): OpenRequest {
  return (request, receiver) => {
    let isGiven = false
    return {
      read () {
        if (isGiven) return receiver.onEnd()
        isGiven = true
        let message
        try {
          message = readMessage(request)
        } catch (error) {
          return receiver.onError(error)
        }
        receiver.onBytes?.(bodyLength(request))
        receiver.onMessage(message)
      },
      stop () {}
    }
  }
}

/**
 * Makes the function that reads the request message: from the JSON body, or from the query when there is no body.
 * It throws a GrpcError INVALID_ARGUMENT, or an HttpStatusError 415.
 */
export function requestReader (type: protobuf.Type, reader: JsonReader, options: JsonReadOptions): (request: FastifyRequest) => unknown {
  return request => {
    const body = request.body as Buffer | Hooked | undefined
    if (body === undefined || body === null || (body as Buffer).length === 0) {
      const query = queryOf(request.raw.url!)
      return reader.fromValue(query === '' ? {} : queryToJson(type, query, options))
    }
    checkJson(request.headers)
    if (body instanceof Uint8Array) return reader.fromText(decodeUtf8(body))
    return typeof body === 'string' ? reader.fromText(body) : reader.fromValue(body)
  }
}

/** The same for a form of JSON that is not ProtoJSON: of the body, never of the query. */
export function formReader (form: JsonForm): (request: FastifyRequest) => unknown {
  return request => {
    const body = request.body as Buffer | Hooked | undefined
    if (body === undefined || body === null || (body as Buffer).length === 0) return form.read('')
    checkJson(request.headers)
    if (body instanceof Uint8Array) return form.read(decodeUtf8(body))
    return form.read(typeof body === 'string' ? body : JSON.stringify(body))
  }
}

/** The bytes of a body that has been collected; 0 for what a hook has put in its place. */
export function bodyLength ({ body }: FastifyRequest): number {
  return body instanceof Uint8Array ? body.length : 0
}

/** What a hook may have put in place of the body. */
type Hooked = Uint8Array | string | { [key: string]: JsonValue } | null
