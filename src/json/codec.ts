/**
 * ProtoJSON: one reader and one writer per message type, made at start.
 *
 * Where it is known how messages look to handlers, JSON and message are converted into each other. Elsewhere they go
 * by bytes, through the definition's own codec, whichever tool generated it: a handler gets exactly what it gets
 * over gRPC.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import type protobuf from 'protobufjs'
import { badRequest, GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import { mayHaveDuplicates, membersIn, parseExactly } from './exact-json.ts'
import { mayGenerate } from './generated-code.ts'
import { indent } from './indent.ts'
import { DEFAULT_NESTING_LIMIT, type JsonOptions } from './options.ts'
import { GeneratedReaders } from './reader/generated.ts'
import { MessageReaders } from './reader/messages.ts'
import { Reading, type ValueReader } from './reader/reading.ts'
import { wireShape, type Shape } from './shape.ts'
import { Shapes, type MessageCodec } from './shapes.ts'
import type { TypeRegistry } from './type-registry.ts'
import type { JsonValue } from './value.ts'
import { GeneratedWriters } from './writer/generated.ts'
import { MessageWriters } from './writer/messages.ts'
import { Writing } from './writer/writing.ts'

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

/** What is compiled for one shape of messages, and one choice of options. */
interface Compiled {
  readonly readers: MessageReaders
  readonly fastReaders: Pick<GeneratedReaders, 'of'>
  readonly writers: MessageWriters
  readonly fastWriters: Pick<GeneratedWriters, 'of'>
}

/** Compiles readers and writers. What methods have in common is compiled once. */
export class JsonCodecs {
  readonly #types: TypeRegistry
  readonly #shapes: Shapes
  readonly #compiled = new Map<Shape, Map<string, Compiled>>()

  /** @param types what a `google.protobuf.Any` may hold */
  constructor (types: TypeRegistry) {
    this.#types = types
    this.#shapes = new Shapes(types)
  }

  reader (codec: MessageCodec, options: JsonOptions = {}): JsonReader {
    const { type } = codec
    const shape = this.#shapes.of(codec)
    const { readers, fastReaders } = this.#compile(shape ?? wireShape, options)
    const exact = readers.of(type)
    const fast = fastReaders.of(type)
    const finish = shape === undefined ? byBytes(codec) : (message: unknown) => message
    const ignoreUnknown = options.unknownFields === 'ignore'
    const reading = new Reading()

    return {
      fromText (text) {
        const json = tryParse(text)
        reading.restart()
        const message = json === undefined ? undefined : tryRead(fast, json, reading)
        if (message !== undefined && reading.isUnharmed && !(reading.mayBeRounded && MAY_LOSE_DIGITS.test(text)) &&
          (text.length === reading.shortest || !mayHaveDuplicates(text, json!, ignoreUnknown ? membersIn(json!) : reading.members))) return finish(message)
        reading.restart()
        const parsed = parseExactly(text)
        return finish(readAll(parsed.value, exact, new Reading(parsed)))
      },
      fromValue (value) {
        return finish(readAll(value, exact, new Reading()))
      }
    }
  }

  writer (codec: MessageCodec, options: JsonOptions = {}): JsonWriter {
    const { type } = codec
    const shape = this.#shapes.of(codec)
    const { writers, fastWriters } = this.#compile(shape ?? wireShape, options)
    const exact = writers.of(type)
    const fast = fastWriters.of(type)
    const typeName = type.fullName.slice(1)
    const serialize = codec.serialize as (message: unknown) => Uint8Array

    const writing = new Writing(typeName)

    function write (message: unknown): string {
      try {
        return fast(message, writing)
      } catch {
        writing.restart()
        return exact(message, new Writing(typeName))
      }
    }

    const toText = shape === undefined ? (message: unknown) => write(type.toObject(type.decode(serialize(message)))) : write
    const { space } = options
    return space === undefined || space === 0 || space === '' ? toText : message => indent(toText(message), space)
  }

  #compile (shape: Shape, { unknownFields, nestingLimit = DEFAULT_NESTING_LIMIT, fieldNames, emitDefaults, int64, enums }: JsonOptions): Compiled {
    const byOptions = this.#compiled.get(shape) ?? new Map<string, Compiled>()
    this.#compiled.set(shape, byOptions)
    const key = JSON.stringify([unknownFields, nestingLimit, fieldNames, emitDefaults, int64, enums])
    const known = byOptions.get(key)
    if (known !== undefined) return known
    const readers = new MessageReaders(shape, { ignoreUnknown: unknownFields === 'ignore', nestingLimit }, this.#types)
    const writers = new MessageWriters(shape, { fieldNames, emitDefaults, int64, enums, nestingLimit }, this.#types)
    const compiled: Compiled = {
      readers,
      fastReaders: mayGenerate ? new GeneratedReaders(readers) : readers,
      writers,
      fastWriters: mayGenerate ? new GeneratedWriters(writers) : writers
    }
    byOptions.set(key, compiled)
    return compiled
  }
}

/** What a number must look like for JSON.parse to make another integer of it. */
const MAY_LOSE_DIGITS = /[\d.]{16}|\d[eE]/

function tryParse (text: string): JsonValue | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A message that nests deep may have more fields than the stack holds. */
function tryRead (read: ValueReader, json: JsonValue, reading: Reading): unknown {
  try {
    return read(json, reading)
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
