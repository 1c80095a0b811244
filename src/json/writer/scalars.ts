/**
 * Scalar values, enum values and map keys of response messages as JSON text. A value may have any form that
 * serializers of protobufjs take without losing something of it: `7` or `'7'` for an int32, but not `'many'`.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import type protobuf from 'protobufjs'
import { isLong, isNullValue, scalarKind, type ScalarKind } from '../fields.ts'
import type { JsonWriteOptions } from '../options.ts'
import { anInteger, INTEGER_RANGES, type IntegerKind } from '../limits.ts'
import type { Integer } from '../shape.ts'
import { doubleText, floatText, quote } from './text.ts'
import type { ValueWriter, Writing } from './writing.ts'

export function scalarWriter (type: string, { int64 }: JsonWriteOptions): ValueWriter {
  const kind = scalarKind(type)
  const write = WRITERS[kind]
  if (!isLong(kind) || int64 === 'number') return write
  return (value, writing) => `"${write(value, writing)}"`
}

const WRITERS: Readonly<Record<ScalarKind, ValueWriter>> = {
  int32: (value, writing) => String(integerOf('int32', value, writing)),
  uint32: (value, writing) => String(integerOf('uint32', value, writing)),
  int64: (value, writing) => String(integerOf('int64', value, writing)),
  uint64: (value, writing) => String(integerOf('uint64', value, writing)),
  double: (value, writing) => doubleText(floatingPoint('double', value, writing)),
  float: writeFloat,
  bool: writeBool,
  string: writeString,
  bytes: (value, writing) => `"${bytesOf(value, writing).toString('base64')}"`
}

/** A number, decimal text, a bigint, or an object of the class Long. */
export function integerOf (kind: IntegerKind, value: unknown, writing: Writing): Integer {
  const { min, max } = INTEGER_RANGES[kind]
  // The largest integers, as numbers, are rounded up.
  if (value === Number(max)) return max
  const integer = toInteger(value, kind)
  if (integer === undefined || integer < min || integer > max) return writing.fail(anInteger(kind), value)
  return integer
}

function toInteger (value: unknown, kind: IntegerKind): Integer | undefined {
  switch (typeof value) {
    case 'number': return Number.isSafeInteger(value) ? value + 0 : Number.isInteger(value) ? BigInt(value) : undefined
    case 'bigint': return value
    case 'string': return /^-?\d+$/.test(value) ? BigInt(value) : undefined
  }
  const { low, high } = (value ?? {}) as { low?: unknown, high?: unknown }
  if (typeof low !== 'number' || typeof high !== 'number') return undefined
  const bits = BigInt(high >>> 0) << 32n | BigInt(low >>> 0)
  return kind.startsWith('u') ? bits : BigInt.asIntN(64, bits)
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$|^(?:NaN|-?Infinity)$/

function floatingPoint (name: string, value: unknown, writing: Writing): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint' || (typeof value === 'string' && NUMBER.test(value))) return Number(value)
  return writing.fail(`a ${name}`, value)
}

function writeFloat (value: unknown, writing: Writing): string {
  const number = floatingPoint('float', value, writing)
  if (Number.isFinite(number) && !Number.isFinite(Math.fround(number))) writing.fail('a float', value)
  return floatText(number)
}

function writeBool (value: unknown, writing: Writing): string {
  if (typeof value === 'boolean') return String(value)
  if (value === 0 || value === 1) return String(value === 1)
  return writing.fail('a bool', value)
}

function writeString (value: unknown, writing: Writing): string {
  switch (typeof value) {
    case 'string': return quote(value)
    case 'number': case 'boolean': case 'bigint': return quote(String(value))
    default: return writing.fail('a string', value)
  }
}

/** A Buffer or another Uint8Array, a list of bytes, or base64. */
export function bytesOf (value: unknown, writing: Writing): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (typeof value === 'string' && /^[\w+/-]*={0,2}$/.test(value) && value.replace(/=+$/, '').length % 4 !== 1) return Buffer.from(value, 'base64')
  if (Array.isArray(value) && value.every(byte => Number.isInteger(byte) && byte >= 0 && byte <= 255)) return Buffer.from(value)
  return writing.fail('bytes: a Buffer, an Uint8Array, a list of bytes or base64', value)
}

/** The text of every value that an enum names, by its name and by its number. */
export function enumTexts ({ values, valuesById }: protobuf.Enum, { enums }: JsonWriteOptions): ReadonlyMap<unknown, string> {
  const texts = new Map<unknown, string>()
  for (const [name, number] of Object.entries(values)) {
    const text = enums === 'number' ? String(number) : JSON.stringify(valuesById[number])
    texts.set(name, text).set(number, text)
  }
  return texts
}

export function enumWriter (type: protobuf.Enum, options: JsonWriteOptions): ValueWriter {
  if (isNullValue(type)) return () => 'null'
  const texts = enumTexts(type, options)
  return (value, writing) => {
    const text = texts.get(value)
    if (text !== undefined) return text
    if (typeof value === 'number' && (value | 0) === value) return String(value)
    return writing.fail(`a value of ${type.fullName.slice(1)}`, value)
  }
}

type KeyWriter = (key: string, writing: Writing) => string

/** Keys of maps are properties of objects, and so text. */
export function keyWriter (type: string): KeyWriter {
  const kind = scalarKind(type)
  if (kind === 'string') return quote
  if (kind === 'bool') {
    return (key, writing) => {
      if (key === 'true' || key === '1') return '"true"'
      return key === 'false' || key === '0' ? '"false"' : writing.fail('a key that is a bool', key)
    }
  }
  return (key, writing) => `"${integerOf(kind as IntegerKind, key, writing)}"`
}
