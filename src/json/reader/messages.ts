/** Messages from JSON objects, field by field, compiled to closures: exact, and able to say all that is wrong. */
import protobuf from 'protobufjs'
import { defaultOf, oneofPropertyOf, propertyOf, shaperOf, unsetOf, wireShape, type Shape } from '../shape.ts'
import { fieldsByName, isImplicit, namesOf, takesNull } from '../fields.ts'
import { MapKey } from '../path.ts'
import type { TypeRegistry } from '../type-registry.ts'
import { isObject, setOwn, shortForm, type JsonObject } from '../value.ts'
import { membersIn } from '../exact-json.ts'
import type { Reading, ValueReader } from './reading.ts'
import { enumReader, keyReader, scalarReader } from './scalars.ts'
import { wellKnownReader } from './well-known.ts'

interface ReaderOptions {
  readonly ignoreUnknown: boolean
  readonly nestingLimit: number
}

/** A message in the form that handlers see. */
export type ShapedMessage = Record<string, unknown>

/** Sets a field to a canonical value; what equals the default of a field without presence is left alone. */
export type FieldSetter = (message: ShapedMessage, value: unknown) => void

/** How a field is read from the value of its member, and set. */
export interface FieldReader {
  readonly field: protobuf.Field
  /** Gives the canonical value. */
  readonly read: ValueReader
  /** Whether a canonical value is the same as none. */
  readonly isUnset: (value: unknown) => boolean
  /** Gives a canonical value the form that handlers see. */
  readonly shaped: (value: unknown) => unknown
  readonly set: FieldSetter
  /** Whether null is a value, and not the absence of one. */
  readonly takesNull: boolean
}

/** The readers of message types, for one shape. */
export class MessageReaders {
  readonly shape: Shape
  readonly options: ReaderOptions
  readonly types: TypeRegistry
  readonly #byType = new Map<protobuf.Type, ValueReader>()
  #wire: MessageReaders | undefined

  constructor (shape: Shape, options: ReaderOptions, types: TypeRegistry) {
    this.shape = shape
    this.options = options
    this.types = types
  }

  /** The readers whose messages protobufjs encodes. */
  get wire (): MessageReaders {
    this.#wire ??= this.shape === wireShape ? this : new MessageReaders(wireShape, this.options, this.types)
    return this.#wire
  }

  of (type: protobuf.Type): ValueReader {
    const known = this.#byType.get(type)
    if (known !== undefined) return known
    // Types contain each other: the reader is there before it is compiled.
    const late: { read?: ValueReader } = {}
    this.#byType.set(type, (json, reading) => late.read!(json, reading))
    late.read = this.#nesting(wellKnownReader(type, this) ?? this.fieldsOf(type))
    this.#byType.set(type, late.read)
    return late.read
  }

  /** Makes messages with all that the shape has where nothing is set. */
  maker (type: protobuf.Type): () => ShapedMessage {
    const unset = type.fieldsArray.flatMap(field => {
      const make = unsetOf(this.shape, field.resolve())
      return make === undefined ? [] : [[propertyOf(this.shape, field), make] as const]
    })
    return () => {
      const message: ShapedMessage = {}
      for (const [property, make] of unset) setOwn(message, property, make())
      return message
    }
  }

  setter (field: protobuf.Field): FieldSetter {
    const property = propertyOf(this.shape, field)
    const oneofProperty = oneofPropertyOf(this.shape, field)
    const shaped = this.#shaped(field)
    const isUnset = unsetTest(field)
    return (message, value) => {
      if (isUnset(value)) return
      setOwn(message, property, shaped(value))
      if (oneofProperty !== undefined) setOwn(message, oneofProperty, property)
    }
  }

  /** The reader of a message as an object of its fields. */
  fieldsOf (type: protobuf.Type, ignored?: string): ValueReader {
    const typeName = type.fullName.slice(1)
    const make = this.maker(type)
    const readers = new Map<string, FieldReader>()
    const byField = new Map(type.fieldsArray.map(field => [field, this.field(field.resolve())]))
    for (const [name, field] of fieldsByName(type)) readers.set(name, byField.get(field)!)
    const required = type.fieldsArray.filter(field => field.required)
    const { ignoreUnknown } = this.options

    return (json, reading) => {
      if (!isObject(json)) return reading.refuse(`an object, as ${typeName} is`, json)
      const message = make()
      const seen = new Set<protobuf.Field | protobuf.OneOf>()
      reading.refuseDuplicates(json, name => name)
      for (const name of Object.keys(json)) {
        if (reading.isFull) return undefined
        reading.members++
        if (name === ignored) continue
        const value = json[name]!
        const reader = readers.get(name)
        reading.enter(json, name)
        if (reader !== undefined) readField(reader, value, message, seen, reading)
        else if (ignoreUnknown) reading.members += membersIn(value)
        else reading.refuseBecause(`${typeName} has no field ${shortForm(name)}`)
        reading.leave()
      }
      for (const field of required) {
        if (seen.has(field)) continue
        reading.path.push(namesOf(field).json)
        reading.refuseBecause('the field is required')
        reading.path.pop()
      }
      return message
    }
  }

  /** The reader of one value of a field: itself, or an element of its list or map. */
  #element (field: protobuf.Field): ValueReader {
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Type) return this.of(resolvedType)
    if (resolvedType instanceof protobuf.Enum) return enumReader(resolvedType, this.options.ignoreUnknown)
    return scalarReader(field.type)
  }

  field (field: protobuf.Field): FieldReader {
    const element = this.#element(field)
    const read = field instanceof protobuf.MapField ? this.#map(field, element) : field.repeated ? this.#list(field, element) : element
    return { field, read, isUnset: unsetTest(field), shaped: this.#shaped(field), set: this.setter(field), takesNull: takesNull(field) && !field.repeated && !field.map }
  }

  /** Elements of lists and maps have their form already. */
  #shaped (field: protobuf.Field): (value: unknown) => unknown {
    const shaper = field.repeated || field.map ? undefined : shaperOf(this.shape, field)
    return shaper as ((value: unknown) => unknown) | undefined ?? (value => value)
  }

  #list (field: protobuf.Field, element: ValueReader): ValueReader {
    const shaper = shaperOf(this.shape, field)
    return (json, reading) => {
      if (!Array.isArray(json)) return reading.refuse('an array', json)
      const list: unknown[] = []
      for (let i = 0; i < json.length && !reading.isFull; i++) {
        reading.enter(json, i)
        const value = element(json[i], reading)
        if (value !== undefined) list.push(shaper === undefined ? value : shaper(value as never))
        reading.leave()
      }
      return list
    }
  }

  #map (field: protobuf.MapField, element: ValueReader): ValueReader {
    const shaper = shaperOf(this.shape, field as protobuf.FieldBase as protobuf.Field)
    const readKey = keyReader(field.keyType)
    return (json, reading) => {
      if (!isObject(json)) return reading.refuse('an object, as a map is', json)
      const map: ShapedMessage = {}
      reading.refuseDuplicates(json, name => new MapKey(name))
      for (const name of Object.keys(json)) {
        if (reading.isFull) return undefined
        reading.members++
        reading.enter(json, name, new MapKey(name))
        const key = readKey(name, reading)
        const value = element(json[name], reading)
        if (key !== undefined && value !== undefined) setOwn(map, key, shaper === undefined ? value : shaper(value as never))
        reading.leave()
      }
      return map
    }
  }

  #nesting (read: ValueReader): ValueReader {
    const { nestingLimit } = this.options
    return (json, reading) => {
      if (reading.depth > nestingLimit) return reading.refuseBecause(`messages nest deeper than ${nestingLimit} levels`)
      reading.depth++
      const message = read(json, reading)
      reading.depth--
      return message
    }
  }
}

function readField ({ field, read, set, takesNull }: FieldReader, json: JsonObject[string], message: ShapedMessage, seen: Set<protobuf.Field | protobuf.OneOf>, reading: Reading): void {
  if (seen.has(field)) return reading.refuseBecause('the field is given twice, under two names')
  seen.add(field)
  if (json === null && !takesNull) {
    if (field.required) reading.refuseBecause('the field is required')
    return
  }
  const { partOf } = field
  if (partOf != null) {
    if (seen.has(partOf)) return reading.refuseBecause(`another field of the oneof ${partOf.name} is set`)
    seen.add(partOf)
  }
  const value = read(json, reading)
  if (value !== undefined) set(message, value)
}

/** Whether a canonical value is the same as none. */
function unsetTest (field: protobuf.Field): (value: unknown) => boolean {
  if (field.map) return value => Object.keys(value as object).length === 0
  if (field.repeated || (isImplicit(field) && field.type === 'bytes')) return value => (value as unknown[] | Buffer).length === 0
  const unset = isImplicit(field) ? defaultOf(field) : undefined
  return value => value === unset && !Object.is(value, -0)
}
