/** Messages to JSON text, field by field, compiled to closures: exact, and able to say where a message is wrong. */
import protobuf from 'protobufjs'
import { isImplicit, isNullValue, namesOf } from '../fields.ts'
import { DEFAULT_NESTING_LIMIT, type JsonWriteOptions } from '../options.ts'
import { MapKey } from '../path.ts'
import { defaultOf, propertyOf, wireShape, type Shape } from '../shape.ts'
import type { TypeRegistry } from '../type-registry.ts'
import { enumWriter, keyWriter, scalarWriter } from './scalars.ts'
import { wellKnownWriter } from './well-known.ts'
import { Writing, type ValueWriter } from './writing.ts'

/** The member of a field, or of the field of a oneof that is set; undefined when none has to be written. */
type MemberWriter = (message: Record<string, unknown>, writing: Writing) => string | undefined

/** A field of a shaped message. */
export interface FieldWriter {
  readonly field: protobuf.Field
  readonly property: string
  /** Its name in JSON, quoted, with the colon. */
  readonly start: string
  /** Writes all of the field: a single value, its list or its map. */
  readonly write: ValueWriter
  /** The text of a value that need not be written. */
  readonly unset: string | undefined
  /** What is written when nothing is set. */
  readonly absent: string | undefined
}

interface WriterOptions extends JsonWriteOptions {
  readonly nestingLimit: number
}

/** The writers of message types, for one shape. */
export class MessageWriters {
  readonly shape: Shape
  readonly options: WriterOptions
  readonly types: TypeRegistry
  readonly #byType = new Map<protobuf.Type, ValueWriter>()
  #wire: MessageWriters | undefined

  constructor (shape: Shape, options: JsonWriteOptions & { nestingLimit?: number }, types: TypeRegistry) {
    this.shape = shape
    this.options = { nestingLimit: DEFAULT_NESTING_LIMIT, ...options }
    this.types = types
  }

  /** The writers of what protobufjs decodes. */
  get wire (): MessageWriters {
    this.#wire ??= this.shape === wireShape ? this : new MessageWriters(wireShape, this.options, this.types)
    return this.#wire
  }

  of (type: protobuf.Type): ValueWriter {
    const known = this.#byType.get(type)
    if (known !== undefined) return known
    // Types contain each other: the writer is there before it is compiled.
    const late: { write?: ValueWriter } = {}
    this.#byType.set(type, (message, writing) => late.write!(message, writing))
    late.write = nesting(type, this.options.nestingLimit, wellKnownWriter(type, this) ?? this.#fieldsOf(type))
    this.#byType.set(type, late.write)
    return late.write
  }

  field (field: protobuf.Field): FieldWriter {
    const { fieldNames, emitDefaults } = this.options
    const names = namesOf(field.resolve())
    const implicit = isImplicit(field)
    const element = this.#element(field)
    const unset = implicit ? element(defaultOf(field), new Writing(field.fullName)) : undefined
    const absent = field.map ? '{}' : field.repeated ? '[]' : unset
    return {
      field,
      property: propertyOf(this.shape, field),
      start: `${JSON.stringify(fieldNames === 'proto' ? names.proto : names.json)}:`,
      write: field instanceof protobuf.MapField ? mapWriter(field, element) : field.repeated ? listWriter(element) : element,
      unset: emitDefaults === true ? undefined : absent,
      absent: emitDefaults === true ? absent : field.required ? requiredText(field, element) : undefined
    }
  }

  #fieldsOf (type: protobuf.Type): ValueWriter {
    const members = memberGroups(type).map(fields => memberWriter(fields.map(field => this.field(field))))
    return (message, writing) => {
      const texts: string[] = []
      for (const write of members) {
        const text = write(message as Record<string, unknown>, writing)
        if (text !== undefined) texts.push(text)
      }
      return `{${texts.join(',')}}`
    }
  }

  /** The writer of one value of a field: itself, or an element of its list or map. */
  #element (field: protobuf.Field): ValueWriter {
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Type) return this.of(resolvedType)
    if (resolvedType instanceof protobuf.Enum) return enumWriter(resolvedType, this.options)
    return scalarWriter(field.type, this.options)
  }
}

/** The fields of a type in order; those of a oneof together, the last of the file first, because that one is sent last. */
export function memberGroups (type: protobuf.Type): protobuf.Field[][] {
  const groups = new Map<protobuf.ReflectionObject, protobuf.Field[]>()
  for (const field of type.fieldsArray) {
    const key = field.partOf ?? field
    groups.set(key, [field, ...groups.get(key) ?? []])
  }
  return [...groups.values()].map(group => group.sort((a, b) => b.id - a.id))
}

function memberWriter (fields: readonly FieldWriter[]): MemberWriter {
  return (message, writing) => {
    for (const { field, property, start, write, unset, absent } of fields) {
      const value = ownValue(message, property)
      if (value === undefined || value === null) {
        if (absent !== undefined) return start + absent
        continue
      }
      writing.path.push(field.name)
      const text = write(value, writing)
      writing.path.pop()
      return text === unset ? undefined : start + text
    }
    return undefined
  }
}

/** The value of a property that an object does not have just because every object has it. */
function ownValue (message: Record<string, unknown>, property: string): unknown {
  const value = message[property]
  return value !== undefined && value === (Object.prototype as unknown as Record<string, unknown>)[property] ? undefined : value
}

function requiredText (field: protobuf.Field, element: ValueWriter): string | undefined {
  const value = defaultOf(field)
  return value === null ? '{}' : element(value, new Writing(field.fullName))
}

function listWriter (element: ValueWriter): ValueWriter {
  return (list, writing) => {
    if (!Array.isArray(list)) return writing.fail('a list', list)
    const texts: string[] = []
    for (let i = 0; i < list.length; i++) {
      writing.path.push(i)
      texts.push(element(list[i], writing))
      writing.path.pop()
    }
    return `[${texts.join(',')}]`
  }
}

function mapWriter (field: protobuf.MapField, element: ValueWriter): ValueWriter {
  const writeKey = keyWriter(field.keyType)
  const nullable = isNullValue(field.resolvedType)
  return (map, writing) => {
    if (typeof map !== 'object' || map === null || Array.isArray(map) || map instanceof Map) return writing.fail('a map: an object by keys', map)
    // Of `1` and `01` the later one is what a client gets.
    const members = new Map<string, string>()
    for (const [key, value] of Object.entries(map)) {
      writing.path.push(new MapKey(key))
      if (value === undefined && !nullable) writing.fail('a value', value)
      members.set(writeKey(key, writing), element(value, writing))
      writing.path.pop()
    }
    return `{${Array.from(members, ([key, text]) => `${key}:${text}`).join(',')}}`
  }
}

const NO_MESSAGES = [Array, Date, Map, Set, Promise, ArrayBuffer, Uint8Array]

/** Whether it is of the objects that people give where a message is meant, and that have none of its fields. */
export function isNoMessage (value: object): boolean {
  return NO_MESSAGES.some(type => value instanceof type)
}

function nesting (type: protobuf.Type, limit: number, write: ValueWriter): ValueWriter {
  return (message, writing) => {
    if (typeof message !== 'object' || message === null || isNoMessage(message)) {
      return writing.fail(`an object, as ${type.fullName.slice(1)} is`, message)
    }
    if (writing.depth > limit) throw writing.failure(`messages nest deeper than ${limit} levels; does one contain itself?`)
    writing.depth++
    const text = write(message, writing)
    writing.depth--
    return text
  }
}
