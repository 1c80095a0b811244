/**
 * The types of google.protobuf that have a JSON of their own.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import type protobuf from 'protobufjs'
import { fieldsByName } from '../fields.ts'
import { parseDuration, parseFieldMask, parseTimestamp, type Time } from '../text-forms.ts'
import { typeNameOf } from '../type-registry.ts'
import { isObject, setOwn } from '../value.ts'
import { hasOwnJson } from '../well-known-types.ts'
import type { FieldSetter, MessageReaders, ShapedMessage } from './messages.ts'
import type { Reading, ValueReader } from './reading.ts'
import { scalarReader } from './scalars.ts'

/** @returns undefined when the JSON of the type is an object of its fields */
export function wellKnownReader (type: protobuf.Type, readers: MessageReaders): ValueReader | undefined {
  if (!hasOwnJson(type)) return undefined
  switch (type.name) {
    case 'Any': return anyReader(type, readers)
    case 'Timestamp': return timeReader(type, readers, parseTimestamp, 'a time such as "2006-01-02T15:04:05.999Z"')
    case 'Duration': return timeReader(type, readers, parseDuration, 'a duration such as "3.5s"')
    case 'FieldMask': return fieldMaskReader(type, readers)
    case 'Struct': return structReader(type, readers)
    case 'Value': return valueReader(type, readers)
    case 'ListValue': return listValueReader(type, readers)
    default: return wrapperReader(type, readers)
  }
}

/** Makes messages of a well-known type, from the canonical values of its fields. */
function builder (type: protobuf.Type, readers: MessageReaders): (values: Readonly<Record<string, unknown>>) => ShapedMessage {
  const make = readers.maker(type)
  const setters = new Map<string, FieldSetter>()
  for (const [name, field] of fieldsByName(type)) setters.set(name, readers.setter(field))
  return values => {
    const message = make()
    for (const name in values) setters.get(name)!(message, values[name])
    return message
  }
}

function timeReader (type: protobuf.Type, readers: MessageReaders, parse: (text: string) => Time | undefined, expected: string): ValueReader {
  const build = builder(type, readers)
  return (json, reading) => {
    const time = typeof json === 'string' ? parse(json) : undefined
    return time === undefined ? reading.refuse(expected, json) : build({ ...time })
  }
}

function fieldMaskReader (type: protobuf.Type, readers: MessageReaders): ValueReader {
  const build = builder(type, readers)
  return (json, reading) => {
    const paths = typeof json === 'string' ? parseFieldMask(json) : undefined
    return paths === undefined ? reading.refuse('a field mask of lowerCamelCase paths such as "name,author.birthYear"', json) : build({ paths })
  }
}

function wrapperReader (type: protobuf.Type, readers: MessageReaders): ValueReader {
  const field = fieldsByName(type).get('value')!
  const read = scalarReader(field.type)
  const make = readers.maker(type)
  const set = readers.setter(field)
  return (json, reading) => {
    const value = read(json, reading)
    if (value === undefined) return undefined
    const message = make()
    set(message, value)
    return message
  }
}

function structReader (type: protobuf.Type, readers: MessageReaders): ValueReader {
  const build = builder(type, readers)
  const readValue = readers.of(fieldsByName(type).get('fields')!.resolvedType as protobuf.Type)
  return (json, reading) => {
    if (!isObject(json)) return reading.refuse('an object', json)
    const fields: ShapedMessage = {}
    reading.refuseDuplicates(json, name => name)
    for (const name of Object.keys(json)) {
      if (reading.isFull) return undefined
      reading.members++
      reading.enter(json, name)
      if (!name.isWellFormed()) reading.refuseBecause('the name has an unpaired surrogate')
      setOwn(fields, name, readValue(json[name], reading))
      reading.leave()
    }
    return build({ fields })
  }
}

function listValueReader (type: protobuf.Type, readers: MessageReaders): ValueReader {
  const build = builder(type, readers)
  const { read } = readers.field(fieldsByName(type).get('values')!)
  return (json, reading) => {
    const values = read(json, reading)
    return values === undefined ? undefined : build({ values })
  }
}

function valueReader (type: protobuf.Type, readers: MessageReaders): ValueReader {
  const build = builder(type, readers)
  const fields = fieldsByName(type)
  const readStruct = readers.of(fields.get('structValue')!.resolvedType as protobuf.Type)
  const readList = readers.of(fields.get('listValue')!.resolvedType as protobuf.Type)
  const readNumber = scalarReader('double')
  const readString = scalarReader('string')

  function kindOf (json: unknown, reading: Reading): Record<string, unknown> | undefined {
    if (json === null) return { nullValue: 0 }
    if (typeof json === 'boolean') return { boolValue: json }
    if (typeof json === 'number') return { numberValue: readNumber(json, reading) }
    if (typeof json === 'string') return { stringValue: readString(json, reading) }
    if (Array.isArray(json)) return { listValue: readList(json, reading) }
    if (isObject(json)) return { structValue: readStruct(json, reading) }
    return undefined
  }

  return (json, reading) => {
    const kind = kindOf(json, reading)
    return kind === undefined ? reading.refuse('a JSON value', json) : build(kind)
  }
}

function anyReader (type: protobuf.Type, readers: MessageReaders): ValueReader {
  const build = builder(type, readers)
  const { types, wire } = readers
  const packed = new Map<protobuf.Type, ValueReader>()

  function readPacked (inner: protobuf.Type, json: Record<string, unknown>, reading: Reading): unknown {
    if (!packed.has(inner)) packed.set(inner, hasOwnJson(inner) ? wire.of(inner) : wire.fieldsOf(inner, '@type'))
    const read = packed.get(inner)!
    if (!hasOwnJson(inner)) return read(json, reading)
    reading.refuseDuplicates(json as never, name => name)
    return readMember(json, reading, read)
  }

  return (json, reading) => {
    if (!isObject(json)) return reading.refuse('an object with "@type"', json)
    const url = json['@type']
    if (url === undefined && Object.keys(json).length === 0) return build({})
    if (typeof url !== 'string' || !/^.*\/[^/]+$/.test(url) || !url.isWellFormed()) {
      reading.path.push('@type')
      reading.refuse('the URL of a type such as "type.googleapis.com/google.protobuf.Duration"', url)
      reading.path.pop()
      return undefined
    }
    const inner = types.find(typeNameOf(url))
    if (inner === undefined) {
      reading.refuseDuplicates(json, name => name)
      const names = Object.keys(json).filter(name => name !== '@type')
      if (names.some(name => name !== 'value') || (json.value !== undefined && typeof json.value !== 'string')) {
        return reading.refuseBecause(`the type ${typeNameOf(url)} is not known here; a server learns it by the option \`types\`. Without it, "value" has to be the message in base64`)
      }
      if (json.value === undefined) reading.members++
      const value = json.value === undefined ? Buffer.alloc(0) : readMember(json, reading, scalarReader('bytes'))
      return value === undefined ? undefined : build({ typeUrl: url, value })
    }
    const message = readPacked(inner, json, reading)
    if (message === undefined || reading.violations.length > 0) return undefined
    return build({ typeUrl: url, value: inner.encode(message as ShapedMessage).finish() })
  }
}

/** Reads `value`, the one member beside `@type`. */
function readMember (json: Record<string, unknown>, reading: Reading, read: ValueReader): unknown {
  let value: unknown
  reading.members++
  for (const name of Object.keys(json)) {
    if (name === '@type') continue
    reading.members++
    reading.enter(json, name)
    if (name === 'value') value = read(json.value, reading)
    else reading.refuseBecause('"@type" of this type allows no member but "value"')
    reading.leave()
  }
  if (value === undefined && json.value === undefined) reading.refuseBecause('"value" is missing beside "@type"')
  return value
}
