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
  /**
   * The messages of lines of JSON, all at once, which takes much less time than one by one. Undefined when anything
   * is unusual, wrong or empty: then the lines have to be read one by one.
   */
  fromLines (lines: string): unknown[] | undefined
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
      fromLines (lines) {
        const elements = parseLines(lines)
        if (elements === undefined) return undefined
        reading.restart()
        try {
          const messages = elements.map(element => fast(element, reading))
          if (!reading.isUnharmed || messages.includes(undefined) || (reading.mayBeRounded && MAY_LOSE_DIGITS.test(lines))) return undefined
          const isShortest = lines.length === reading.shortest + elements.length - 1
          if (!isShortest && mayHaveDuplicates(lines, elements, ignoreUnknown ? membersIn(elements) : reading.members)) return undefined
          return messages.map(finish)
        } catch {
          return undefined
        }
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

/** A comma between two objects of one line, which would make two elements of them. */
const BETWEEN_OBJECTS = /\}\s*,\s*\{/

/**
 * The objects of lines, one each. A line break is white space or nothing in JSON, never inside a string; so where it
 * becomes a comma, the parser finds as many elements as there are lines only if each line is one value.
 */
function parseLines (lines: string): JsonValue[] | undefined {
  if (BETWEEN_OBJECTS.test(lines)) return undefined
  const elements = tryParse(`[${lines.replaceAll('\n', ',')}]`) as JsonValue[] | undefined
  return elements?.length === countLines(lines) && elements.every(isObject) ? elements : undefined
}

function isObject (value: JsonValue): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function countLines (text: string): number {
  let count = 1
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count++
  return count
}

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
