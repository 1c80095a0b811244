/**
 * ProtoJSON: one reader and one writer per message type, made at start.
 *
 * Both go by bytes, so that a handler receives exactly what its own definition's `requestDeserialize` gives
 * over gRPC, whichever tool generated that definition. Messages of plain scalars have a shorter way.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import protobuf from 'protobufjs'
import protojson from 'protobufjs/ext/protojson.js'
import { badRequest, GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import { plainReader, plainWriter } from './plain.ts'
import { findLostPrecision, mayLosePrecision } from './precision.ts'
import { findViolations } from './violations.ts'

/** Any value that JSON.parse gives. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue }

export interface JsonReadOptions {
  /** What to do with a member that is no field of the message. Default `reject`. */
  unknownFields?: 'reject' | 'ignore' | undefined
}

/** Turns JSON into the object that a handler receives. */
export interface JsonReader {
  /** @throws GrpcError INVALID_ARGUMENT, with a violation for each field that is wrong */
  fromText (text: string): unknown
  /** @throws GrpcError INVALID_ARGUMENT, with a violation for each field that is wrong */
  fromValue (value: JsonValue): unknown
}

/** Turns the object that a handler returns into JSON text. */
export type JsonWriter = (message: unknown) => string

export function compileReader (type: protobuf.Type, deserialize: (bytes: Buffer) => unknown, options: JsonReadOptions = {}): JsonReader {
  const readOptions = { ignoreUnknownFields: options.unknownFields === 'ignore' }

  function read (parse: () => protobuf.Message, json: () => JsonValue): unknown {
    let message
    try {
      message = parse()
    } catch (error) {
      throw badRequest(findViolations(type, json(), readOptions, error as Error))
    }
    try {
      return deserialize(type.encode(message).finish() as Buffer)
    } catch (cause) {
      throw new GrpcError(status.INTERNAL, 'Error deserializing request', { cause }) // as grpc-js has it
    }
  }

  const readPlain = plainReader(type, deserialize)

  return {
    fromText (text) {
      const message = readPlain?.(text)
      if (message !== undefined) return message
      if (mayLosePrecision(text)) {
        const lost = findLostPrecision(type, parseJson(text))
        if (lost.length > 0) throw badRequest(lost)
      }
      return read(() => protojson.fromJsonString(type, text, readOptions), () => parseJson(text))
    },
    fromValue (value) {
      return read(() => protojson.fromJson(type, value, readOptions), () => value)
    }
  }
}

function parseJson (text: string): JsonValue {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw badRequest([{ field: '', description: `The request body is not valid JSON: ${(error as Error).message}` }])
  }
}

export function compileWriter (type: protobuf.Type, serialize: (message: never) => Uint8Array): JsonWriter {
  const encode = serialize as (message: unknown) => Uint8Array
  const writePlain = plainWriter(type, serialize)
  return message => writePlain?.(message as Record<string, unknown>) ?? protojson.toJsonString(type, type.decode(encode(message)))
}
