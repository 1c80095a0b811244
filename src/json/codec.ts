/**
 * ProtoJSON: one reader and one writer per message type, made at start.
 *
 * Where it is known how messages look to handlers, JSON and message are converted into each other. Elsewhere they go
 * by bytes, through the definition's own codec, whichever tool generated it: a handler gets exactly what it gets
 * over gRPC.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import { isDeepStrictEqual } from 'node:util'
import protobuf from 'protobufjs'
import { badRequest, GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import { detectShape } from './detect-shape.ts'
import { mayHaveDuplicates, membersIn, parseExactly } from './exact-json.ts'
import { mayGenerate } from './generated-code.ts'
import { indent } from './indent.ts'
import { DEFAULT_NESTING_LIMIT, type JsonReadOptions, type JsonWriteOptions } from './options.ts'
import { messageAt, placesIn, probesOf } from './probes.ts'
import { generateReader } from './reader/generated.ts'
import { MessageReaders } from './reader/messages.ts'
import { Reading, type ValueReader } from './reader/reading.ts'
import { wireShape, type Shape } from './shape.ts'
import { TypeRegistry } from './type-registry.ts'
import type { JsonValue } from './value.ts'
import { generateTextWriter } from './writer/generated-text.ts'
import { generateValueWriter } from './writer/generated-value.ts'
import { MessageWriters } from './writer/messages.ts'
import { Writing, type ValueWriter } from './writer/writing.ts'

/** The codec that a definition has for a message type. */
export interface MessageCodec {
  readonly type: protobuf.Type
  readonly deserialize: (bytes: Buffer) => unknown
  readonly serialize: (message: never) => Uint8Array
}

/** Turns JSON into the object that a handler receives. */
export interface JsonReader {
  /** @throws GrpcError INVALID_ARGUMENT, with a violation for each field that is wrong */
  fromText (text: string): unknown
  /** @throws GrpcError INVALID_ARGUMENT, with a violation for each field that is wrong */
  fromValue (value: JsonValue): unknown
}

/**
 * Turns the object that a handler returns into JSON text.
 *
 * @throws GrpcError INTERNAL, naming the field that does not have its type
 */
export type JsonWriter = (message: unknown) => string

export function compileReader (codec: MessageCodec, options: JsonReadOptions, types: TypeRegistry): JsonReader {
  const shape = shapeOf(codec)
  const { type } = codec
  const ignoreUnknown = options.unknownFields === 'ignore'
  const readers = new MessageReaders(shape ?? wireShape, {
    ignoreUnknown, nestingLimit: options.nestingLimit ?? DEFAULT_NESTING_LIMIT
  }, types)
  const read = readers.of(type)
  const fast = mayGenerate ? generateReader(type, readers) : read
  const finish = shape !== undefined ? (message: unknown) => message : byBytes(codec)

  const reading = new Reading()

  return {
    fromText (text) {
      const json = tryParse(text)
      reading.restart()
      const message = json === undefined ? undefined : fast(json, reading)
      if (message !== undefined && reading.isUnharmed && !(reading.mayBeRounded && MAY_LOSE_DIGITS.test(text)) &&
        (text.length === reading.shortest || !mayHaveDuplicates(text, json!, ignoreUnknown ? membersIn(json!) : reading.members))) return finish(message)
      const parsed = parseExactly(text)
      return finish(readAll(parsed.value, read, new Reading(parsed)))
    },
    fromValue (value) {
      return finish(readAll(value, read, new Reading()))
    }
  }
}

/** What a number must look like for JSON.parse to make another integer of it. */
const MAY_LOSE_DIGITS = /\d{16}|\d{14}\.\d|\.\d{14,}[eE]/

function tryParse (text: string): JsonValue | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function readAll (json: JsonValue, read: ValueReader, reading: Reading): unknown {
  const message = read(json, reading)
  if (reading.violations.length > 0) throw badRequest(reading.violations)
  return message
}

function byBytes ({ type, deserialize }: MessageCodec): (message: unknown) => unknown {
  return message => {
    try {
      return deserialize(type.encode(message as protobuf.Message).finish() as Buffer)
    } catch (cause) {
      throw new GrpcError(status.INTERNAL, 'Error deserializing request', { cause }) // as grpc-js has it
    }
  }
}

export function compileWriter (codec: MessageCodec, options: JsonWriteOptions, types: TypeRegistry): JsonWriter {
  const shape = shapeOf(codec)
  const { type } = codec
  const serialize = codec.serialize as (message: unknown) => Uint8Array
  const writers = new MessageWriters(shape ?? wireShape, options, types)
  const exact = writers.of(type)
  const fast = mayGenerate ? generateWriter(type, writers) : exact
  const typeName = type.fullName.slice(1)

  function write (message: unknown): string {
    try {
      return fast(message, new Writing(typeName))
    } catch {
      return exact(message, new Writing(typeName))
    }
  }

  const toText = shape !== undefined ? write : (message: unknown) => write(type.toObject(type.decode(serialize(message))))
  const { space } = options
  return space === undefined || space === 0 || space === '' ? toText : message => indent(toText(message), space)
}

/**
 * Small messages are put together faster than JSON.stringify does it. It cannot make the text of a `Struct` without
 * that being parsed first.
 */
function generateWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const isSmall = type.fieldsArray.length <= MOST_SMALL_FIELDS && type.fieldsArray.every(field => !field.repeated && !field.map && !(field.resolve().resolvedType instanceof protobuf.Type))
  const isDynamic = placesIn(type).some(place => DYNAMIC_TYPES.has(place.type.fullName))
  return isSmall || isDynamic ? generateTextWriter(type, writers) : generateValueWriter(type, writers)
}

const MOST_SMALL_FIELDS = 8
const DYNAMIC_TYPES: ReadonlySet<string> = new Set(['Any', 'Struct', 'Value', 'ListValue'].map(name => `.google.protobuf.${name}`))

/** @returns undefined when messages have to go by bytes */
function shapeOf (codec: MessageCodec): Shape | undefined {
  const shape = detectShape(codec.type, codec.deserialize)
  return shape !== undefined && isProven(shape, codec) ? shape : undefined
}

/** Whether every field of every type in the message is converted just as by bytes. */
function isProven (shape: Shape, { type, deserialize, serialize }: MessageCodec): boolean {
  const types = new TypeRegistry()
  const options = { ignoreUnknown: false, nestingLimit: Infinity }
  const read = new MessageReaders(shape, options, types).of(type)
  const write = new MessageWriters(shape, {}, types).of(type)
  const writeDecoded = new MessageWriters(wireShape, {}, types).of(type)
  const decodedText = (bytes: Uint8Array): string => writeDecoded(type.toObject(type.decode(bytes)), new Writing(''))
  try {
    return placesIn(type).every(place => probesOf(place.type).every(probe => {
      const bytes = type.encode(messageAt(place, probe)).finish()
      const text = decodedText(bytes)
      const seen = deserialize(bytes as Buffer)
      return isDeepStrictEqual(read(JSON.parse(text), new Reading()), seen) &&
        write(seen, new Writing('')) === decodedText((serialize as (message: unknown) => Uint8Array)(seen))
    }))
  } catch {
    return false
  }
}
