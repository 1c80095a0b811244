/**
 * A short way for messages of plain scalars: strings, booleans, doubles and 32-bit integers, each present or not by
 * its value alone. What such a message looks to handlers is found by trying its codec out, once, at start; whatever
 * is not as simple as it seems, in a type or in a value, goes the way by bytes.
 */
import type protobuf from 'protobufjs'

type Scalar = string | number | boolean

interface PlainField {
  readonly field: protobuf.Field
  /** Whether the JSON value is the field's value, neither to be converted nor refused. */
  readonly takes: (value: unknown) => value is Scalar
  readonly unset: Scalar
  /** Is not `unset`, and survives a round trip. */
  readonly probe: Scalar
}

const isText = (value: unknown): value is Scalar => typeof value === 'string' && value.isWellFormed()
const isBoolean = (value: unknown): value is Scalar => typeof value === 'boolean'
const isDouble = (value: unknown): value is Scalar => Number.isFinite(value) && !Object.is(value, -0)
const isInt32 = (value: unknown): value is Scalar => ((value as number) | 0) === value && !Object.is(value, -0)
const isUint32 = (value: unknown): value is Scalar => ((value as number) >>> 0) === value && !Object.is(value, -0)

const KINDS: Readonly<Record<string, Omit<PlainField, 'field'>>> = {
  string: { takes: isText, unset: '', probe: 'x' },
  bool: { takes: isBoolean, unset: false, probe: true },
  double: { takes: isDouble, unset: 0, probe: 0.5 },
  int32: { takes: isInt32, unset: 0, probe: -7 },
  sint32: { takes: isInt32, unset: 0, probe: -7 },
  sfixed32: { takes: isInt32, unset: 0, probe: -7 },
  uint32: { takes: isUint32, unset: 0, probe: 7 },
  fixed32: { takes: isUint32, unset: 0, probe: 7 }
}

/** The fields that have been seen are the bits of one number. */
const MOST_FIELDS = 31

function plainFields (type: protobuf.Type): PlainField[] | undefined {
  const { length } = type.fieldsArray
  if (type.fullName.startsWith('.google.protobuf.') || length === 0 || length > MOST_FIELDS) return undefined
  const fields = type.fieldsArray.map(field => ({ field, ...KINDS[field.type] }))
  const plain = fields.every(({ field, takes }) => takes !== undefined && !field.repeated && !field.map && !field.hasPresence && field.partOf === null)
  return plain ? fields as PlainField[] : undefined
}

/** The request object for JSON text; undefined when the text has to go by bytes. */
export type PlainReader = (text: string) => object | undefined

/** @returns undefined when the type is not plain, or its codec makes anything but plain objects */
export function plainReader (type: protobuf.Type, deserialize: (bytes: Buffer) => unknown): PlainReader | undefined {
  const fields = plainFields(type)
  if (fields === undefined) return undefined
  const template = deserialize(Buffer.alloc(0))
  if (!isPlainObject(template)) return undefined
  const entries = new Map<string, PlainField & { property: string, bit: number }>()
  for (const [i, plain] of fields.entries()) {
    const { field, probe, unset } = plain
    const made = deserialize(type.encode({ [field.name]: probe }).finish() as Buffer)
    if (!isPlainObject(made)) return undefined
    const changed = Object.keys(made).filter(property => made[property] !== template[property])
    const [property] = changed
    if (property === undefined || changed.length > 1 || made[property] !== probe || (template[property] ?? unset) !== unset) return undefined
    for (const name of [field.name, field.jsonName!, field.protoName!]) entries.set(name, { ...plain, property, bit: 1 << i })
  }

  return text => {
    let json: Record<string, unknown>
    try {
      json = JSON.parse(text)
    } catch {
      return undefined
    }
    if (typeof json !== 'object' || json === null) return undefined
    const message = { ...template }
    let seen = 0
    let members = 0
    for (const name in json) {
      const entry = entries.get(name)
      const value = json[name]
      if (entry === undefined || !entry.takes(value) || (seen & entry.bit) !== 0) return undefined
      if (value !== entry.unset) message[entry.property] = value
      seen |= entry.bit
      members++
    }
    // JSON.parse drops all but the last of equal names, which ProtoJSON forbids.
    return colonsIn(text) === members ? message : undefined
  }
}

function isPlainObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

function colonsIn (text: string): number {
  let count = 0
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) count++
  return count
}

/** JSON text for a response object; undefined when the object has to go by bytes. */
export type PlainWriter = (message: Record<string, unknown>) => string | undefined

/** @returns undefined when the type is not plain, or its codec takes anything but plain objects */
export function plainWriter (type: protobuf.Type, serialize: (message: never) => Uint8Array): PlainWriter | undefined {
  const fields = plainFields(type)
  if (fields === undefined) return undefined
  const encode = serialize as (message: object) => Uint8Array
  const entries = fields.map(plain => {
    const { field, probe } = plain
    const property = [field.name, field.jsonName!, field.protoName!].find(name => {
      try {
        return type.toObject(type.decode(encode({ [name]: probe })))[field.name] === probe
      } catch {
        return false
      }
    })
    return { ...plain, property, start: `${JSON.stringify(field.jsonName)}:` }
  })
  if (entries.some(({ property }) => property === undefined)) return undefined

  return message => {
    let text = ''
    for (const { property, takes, unset, start } of entries) {
      const value = message[property!]
      if (!takes(value)) return undefined
      if (value === unset) continue
      text += (text === '' ? '{' : ',') + start + (typeof value === 'string' ? JSON.stringify(value) : String(value))
    }
    return text === '' ? '{}' : `${text}}`
  }
}
