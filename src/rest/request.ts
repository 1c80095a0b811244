/** From an HTTP request to a request message: media type, body, query. */
import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import type protobuf from 'protobufjs'
import { badRequest } from '../errors.ts'
import type { JsonReader } from '../json/codec.ts'
import type { JsonReadOptions } from '../json/options.ts'
import type { JsonValue } from '../json/value.ts'
import { HttpStatusError } from './http-status-error.ts'
import { queryToJson } from './query.ts'

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
    checkMediaType(request.headers)
    if (body instanceof Uint8Array) return reader.fromText(decoded(body))
    return typeof body === 'string' ? reader.fromText(body) : reader.fromValue(body)
  }
}

/** What a hook may have put in place of the body. */
type Hooked = Uint8Array | string | { [key: string]: JsonValue } | null

function decoded (body: Uint8Array): string {
  const text = Buffer.isBuffer(body) ? body.toString() : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()
  // So Node.js decodes what is no UTF-8, and that character itself.
  if (text.includes('\ufffd') && !isUtf8(body)) throw badRequest([{ field: '', description: 'The request body is not valid UTF-8' }])
  return text
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
