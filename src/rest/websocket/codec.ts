/**
 * What frames hold. Messages are frames of one kind, text for JSON and binary for protobuf. Frames of the other kind
 * control the call: an empty one ends the requests, those of the server tell of headers and of the end.
 */
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'
import type { HttpMethod } from '../http-method.ts'
import { queryBinder } from '../query-binder.ts'
import { decodeUtf8 } from '../utf8.ts'

export interface FrameCodec {
  /** Whether messages are binary frames, and control frames text; or the other way round. */
  readonly binary: boolean
  /** Makes the function that reads request messages; the fields of the URL's query are bound to the first. */
  open (url: string): FrameReader
  write (message: unknown): string | Uint8Array
}

export interface FrameReader {
  /** Whether the query alone makes a message. */
  readonly hasFields: boolean
  /**
   * @param frame undefined for the message that the query makes
   * @throws GrpcError INVALID_ARGUMENT
   */
  read (frame: Buffer | undefined, isFirst: boolean): unknown
}

/** The codecs by subprotocol; the first is used when the client names none. */
export function frameCodecs (http: HttpMethod): ReadonlyMap<string, FrameCodec> {
  return new Map([['json', jsonFrames(http)], ['proto', protobufFrames(http)]])
}

function jsonFrames ({ method: { method: { requestType } }, reader, writer, jsonOptions }: HttpMethod): FrameCodec {
  const bindQuery = queryBinder(requestType, jsonOptions)
  return {
    binary: false,
    open (url) {
      const query = bindQuery(url)
      return {
        hasFields: query.hasFields,
        read (frame, isFirst) {
          const text = frame === undefined ? '{}' : decodeUtf8(frame)
          return reader.fromText(isFirst ? query.bind(text) : text)
        }
      }
    },
    write: writer
  }
}

/** Joined, the bytes of two messages are those of both merged: so protobuf binds the query. */
function protobufFrames ({ method: { method: { requestType }, definition }, reader, jsonOptions }: HttpMethod): FrameCodec {
  const { requestDeserialize, requestSerialize, responseSerialize } = definition
  const bindQuery = queryBinder(requestType, jsonOptions)
  return {
    binary: true,
    open (url) {
      const query = bindQuery(url)
      return {
        hasFields: query.hasFields,
        read (frame = Buffer.alloc(0), isFirst) {
          const bytes = isFirst && query.hasFields ? Buffer.concat([requestSerialize(reader.fromText(query.bind('{}'))), frame]) : frame
          try {
            return requestDeserialize(bytes)
          } catch (cause) {
            throw new GrpcError(status.INVALID_ARGUMENT, `The frame is no ${requestType.fullName.slice(1)}`, { cause })
          }
        }
      }
    },
    write: responseSerialize
  }
}
