/** The media types of request bodies. */
import type { FastifyRequest } from 'fastify'
import { HttpStatusError } from './http-status-error.ts'

type Headers = FastifyRequest['headers']

const JSON_MEDIA_TYPE = /^application\/(?:[\w!#$&^.+-]+\+)?json\s*(?:;|$)/i
/** NDJSON has no registered type, and several that are used. */
export const JSON_LINES_MEDIA_TYPES: readonly string[] = ['application/x-ndjson', 'application/jsonl', 'application/ndjson', 'application/x-jsonlines', 'application/x-jsonl']
const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]+)/i

/** @throws HttpStatusError 415 unless the body is JSON, as far as its headers tell */
export function checkJson (headers: Headers): void {
  checkEncoding(headers)
  const mediaType = headers['content-type']
  // curl and many clients forget the header, and what is no JSON fails as such.
  if (mediaType === undefined || mediaType === 'application/json') return
  if (!JSON_MEDIA_TYPE.test(mediaType)) throw unsupported(mediaType, "Send JSON, with the header 'content-type: application/json'")
  checkCharset(mediaType)
}

/** @throws HttpStatusError 415 unless the body is NDJSON or JSON, as far as its headers tell */
export function checkJsonStream (headers: Headers): void {
  checkEncoding(headers)
  const mediaType = headers['content-type']
  if (mediaType === undefined) return
  if (!isJsonLines(headers) && !JSON_MEDIA_TYPE.test(mediaType)) {
    throw unsupported(mediaType, "Send one JSON message a line, with the header 'content-type: application/x-ndjson', or an array of them with 'application/json'")
  }
  checkCharset(mediaType)
}

/** Whether a body is NDJSON, in contrast to JSON values. */
export function isJsonLines ({ 'content-type': mediaType = '' }: Headers): boolean {
  return JSON_LINES_MEDIA_TYPES.includes(mediaType.split(';', 1)[0]!.trim().toLowerCase())
}

function checkEncoding ({ 'content-encoding': encoding }: Headers): void {
  if (encoding !== undefined && encoding !== '' && encoding !== 'identity') {
    throw new HttpStatusError(415, `Content-Encoding ${encoding} is not supported. Send the body uncompressed`)
  }
}

function checkCharset (mediaType: string): void {
  const charset = CHARSET.exec(mediaType)?.[1]
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) throw new HttpStatusError(415, `Charset ${charset} is not supported. Send UTF-8`)
}

function unsupported (mediaType: string, hint: string): HttpStatusError {
  return new HttpStatusError(415, `Content-Type ${mediaType} is not supported. ${mediaType.startsWith('application/grpc') ? 'This is the HTTP port; call the gRPC port' : hint}`)
}
