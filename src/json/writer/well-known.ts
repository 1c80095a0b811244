/**
 * The types of google.protobuf that have a JSON of their own.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import type protobuf from 'protobufjs'
import { fieldsByName } from '../fields.ts'
import { defaultOf, propertyOf } from '../shape.ts'
import { formatDuration, formatFieldMask, formatTimestamp, type Time } from '../text-forms.ts'
import { typeNameOf } from '../type-registry.ts'
import { shortForm } from '../value.ts'
import { hasOwnJson } from '../well-known-types.ts'
import type { MessageWriters } from './messages.ts'
import { bytesOf, integerOf, scalarWriter } from './scalars.ts'
import { quote } from './text.ts'
import type { ValueWriter, Writing } from './writing.ts'

/** @returns undefined when the JSON of the type is an object of its fields */
export function wellKnownWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter | undefined {
  if (!hasOwnJson(type)) return undefined
  switch (type.name) {
    case 'Any': return anyWriter(type, writers)
    case 'Timestamp': return timeWriter(type, writers, formatTimestamp, 'a time between the years 1 and 9999, with 0 to 999999999 nanos')
    case 'Duration': return timeWriter(type, writers, formatDuration, 'a duration of at most 10000 years, with seconds and nanos of the same sign')
    case 'FieldMask': return fieldMaskWriter(type, writers)
    case 'Struct': return structWriter(type, writers)
    case 'Value': return valueWriter(type, writers)
    case 'ListValue': return listValueWriter(type, writers)
    default: return wrapperWriter(type, writers)
  }
}

type Getter = (message: unknown) => unknown

/** Gets a field of a shaped message; null when it is not set. */
function getter (type: protobuf.Type, writers: MessageWriters, name: string): Getter {
  const property = propertyOf(writers.shape, fieldsByName(type).get(name)!)
  return message => (message as Record<string, unknown>)[property] ?? null
}

function timeWriter (type: protobuf.Type, writers: MessageWriters, format: (time: Time) => string | undefined, expected: string): ValueWriter {
  const secondsOf = getter(type, writers, 'seconds')
  const nanosOf = getter(type, writers, 'nanos')
  return (message, writing) => {
    const seconds = Number(integerOf('int64', secondsOf(message) ?? 0, writing))
    const nanos = Number(integerOf('int32', nanosOf(message) ?? 0, writing))
    const text = format({ seconds, nanos })
    if (text === undefined) throw writing.failure(`expected ${expected}, got ${seconds} seconds and ${nanos} nanos`)
    return `"${text}"`
  }
}

function fieldMaskWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const pathsOf = getter(type, writers, 'paths')
  return (message, writing) => {
    const paths = pathsOf(message) ?? []
    if (!Array.isArray(paths) || paths.some(path => typeof path !== 'string')) return writing.fail('a list of paths', paths)
    const text = formatFieldMask(paths)
    if (text === undefined) throw writing.failure('a path of the field mask would not be the same when read again from JSON')
    return quote(text)
  }
}

function wrapperWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const field = fieldsByName(type).get('value')!
  const valueOf = getter(type, writers, 'value')
  const write = scalarWriter(field.type, writers.options)
  const unset = defaultOf(field)
  return (message, writing) => write(valueOf(message) ?? unset, writing)
}

function structWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const fieldsOf = getter(type, writers, 'fields')
  const { write } = writers.field(fieldsByName(type).get('fields')!)
  return (message, writing) => write(fieldsOf(message) ?? {}, writing)
}

function listValueWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const valuesOf = getter(type, writers, 'values')
  const { write } = writers.field(fieldsByName(type).get('values')!)
  return (message, writing) => write(valuesOf(message) ?? [], writing)
}

/** A value of no kind is null. */
function valueWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const kinds = ['structValue', 'listValue', 'stringValue', 'numberValue', 'boolValue'].map(name => {
    const field = fieldsByName(type).get(name)!
    return { name, valueOf: getter(type, writers, name), write: writers.field(field).write }
  })
  return (message, writing) => {
    for (const { name, valueOf, write } of kinds) {
      const value = valueOf(message)
      if (value === null) continue
      const text = write(value, writing)
      if (name === 'numberValue' && text.startsWith('"')) return writing.fail('a finite number', value)
      return text
    }
    return 'null'
  }
}

function anyWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const urlOf = getter(type, writers, 'typeUrl')
  const valueOf = getter(type, writers, 'value')
  const { types, wire } = writers

  /** The bytes of what protobufjs packs by itself: `{ '@type': url, …fields }`. */
  function packed (message: Record<string, unknown>, inner: protobuf.Type | undefined, writing: Writing): Uint8Array {
    if (inner === undefined) throw writing.failure(`the type ${shortForm(message['@type'])} is not known; name its .proto file in the option \`types\``)
    return inner.encode(inner.fromObject(message)).finish()
  }

  return (message, writing) => {
    const given = (message as Record<string, unknown>)['@type']
    const url = given ?? urlOf(message) ?? ''
    if (typeof url !== 'string') return writing.fail('the URL of a type', url)
    const inner = types.find(typeNameOf(url))
    const bytes = given === undefined ? bytesOf(valueOf(message) ?? '', writing) : packed(message as Record<string, unknown>, inner, writing)
    if (url === '') return bytes.length === 0 ? '{}' : writing.fail('the URL of a type', url)
    const start = `{"@type":${quote(url)}`
    if (inner === undefined) return `${start},"value":"${bytesOf(bytes, writing).toString('base64')}"}`
    const text = wire.of(inner)(inner.toObject(decode(inner, bytes, writing)), writing)
    if (hasOwnJson(inner)) return `${start},"value":${text}}`
    return text === '{}' ? `${start}}` : `${start},${text.slice(1)}`
  }
}

function decode (type: protobuf.Type, bytes: Uint8Array, writing: Writing): protobuf.Message {
  try {
    return type.decode(bytes)
  } catch (error) {
    throw writing.failure(`the bytes are no ${type.fullName.slice(1)}: ${(error as Error).message}`)
  }
}
