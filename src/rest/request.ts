/** From an HTTP request to a request message: media type, body, query. */
import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type protobuf from 'protobufjs'
import { badRequest } from '../errors.ts'
import type { JsonReader } from '../json/codec.ts'
import type { JsonReadOptions } from '../json/options.ts'
import { queryToJson } from './query.ts'

/** An error whose HTTP status says more than that of its gRPC code. */
export class HttpStatusError extends Error {
  readonly statusCode: number

  constructor (statusCode: number, message: string) {
    super(message)
    this.statusCode = statusCode
  }
}

/** Bodies are collected as they are: what they must be is decided by the route, once it is known. */
export function collectBodies (scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  // Fastify finds a type that is named sooner than `*`.
  for (const type of ['application/json', '*']) {
    scope.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  }
}

/**
 * Makes the function that reads the request message: from the JSON body, or from the query when there is no body.
 * It throws a GrpcError INVALID_ARGUMENT, or an HttpStatusError 415.
 */
export function requestReader (type: protobuf.Type, reader: JsonReader, options: JsonReadOptions): (request: FastifyRequest) => unknown {
  return request => {
    const body = request.body as Buffer | undefined
    if (body === undefined || body === null || body.length === 0) {
      const query = queryOf(request.raw.url!)
      return reader.fromValue(query === '' ? {} : queryToJson(type, query, options))
    }
    checkMediaType(request.headers)
    if (!isUtf8(body)) throw badRequest([{ field: '', description: 'The request body is not valid UTF-8' }])
    return reader.fromText(body.toString())
  }
}

function queryOf (url: string): string {
  const start = url.indexOf('?')
  return start === -1 ? '' : url.slice(start + 1)
}

const JSON_MEDIA_TYPE = /^application\/(?:[\w!#$&^.+-]+\+)?json\s*(?:;|$)/i
const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]+)/i

function checkMediaType ({ 'content-type': mediaType, 'content-encoding': encoding }: FastifyRequest['headers']): void {
  if (encoding !== undefined && encoding !== '' && encoding !== 'identity') {
    throw new HttpStatusError(415, `Content-Encoding ${encoding} is not supported. Send the body uncompressed`)
  }
  // curl and many clients forget the header, and what is no JSON fails as such.
  if (mediaType === undefined || mediaType === 'application/json') return
  if (!JSON_MEDIA_TYPE.test(mediaType)) throw new HttpStatusError(415, unsupported(mediaType))
  const charset = CHARSET.exec(mediaType)?.[1]
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) throw new HttpStatusError(415, `Charset ${charset} is not supported. Send UTF-8`)
}

function unsupported (mediaType: string): string {
  const hint = mediaType.startsWith('application/grpc')
    ? 'This is the HTTP port; call the gRPC port'
    : "Send JSON, with the header 'content-type: application/json'"
  return `Content-Type ${mediaType} is not supported. ${hint}`
}
