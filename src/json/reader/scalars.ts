/**
 * Scalar values, enum values and map keys from JSON. What comes out is canonical: numbers, text, booleans, Buffers,
 * and a bigint for a 64-bit integer past what a number holds.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import type protobuf from 'protobufjs'
import { integerOf } from '../exact-json.ts'
import { isClosed, isNullValue, scalarKind, type ScalarKind } from '../fields.ts'
import { anInteger, FREE_OF_FRACTIONS, INTEGER_RANGES, type IntegerKind } from '../limits.ts'
import type { Integer } from '../shape.ts'
import { shortForm } from '../value.ts'
import type { Reading, ValueReader } from './reading.ts'

export function scalarReader (type: string): ValueReader {
  return READERS[scalarKind(type)]
}

const READERS: Readonly<Record<ScalarKind, ValueReader>> = {
  int32: (json, reading) => readInteger('int32', json, reading),
  uint32: (json, reading) => readInteger('uint32', json, reading),
  int64: (json, reading) => readInteger('int64', json, reading),
  uint64: (json, reading) => readInteger('uint64', json, reading),
  float: (json, reading) => readFloatingPoint('a float', Math.fround, json, reading),
  double: (json, reading) => readFloatingPoint('a double', Number, json, reading),
  bool: (json, reading) => typeof json === 'boolean' ? json : reading.refuse('true or false', json),
  string: readString,
  bytes: readBytes
}

function readInteger (kind: IntegerKind, json: unknown, reading: Reading): Integer | undefined {
  if (typeof json === 'number' && Math.abs(json) >= FREE_OF_FRACTIONS) {
    reading.mayBeRounded = true
    if (reading.isRounded()) return reading.refuseBecause(`the number has more digits than a JSON number holds; send this ${kind} as a string`)
  }
  const integer = typeof json === 'number' ? integerOfNumber(json) : typeof json === 'string' ? integerOf(json) : undefined
  if (integer === undefined) return reading.refuse(anInteger(kind), json)
  const { min, max } = INTEGER_RANGES[kind]
  if (integer < min || integer > max) return reading.refuse(`${anInteger(kind)}, ${min} to ${max}`, json)
  return integer >= Number.MIN_SAFE_INTEGER && integer <= Number.MAX_SAFE_INTEGER ? Number(integer) : integer
}

function integerOfNumber (json: number): Integer | undefined {
  if (!Number.isInteger(json)) return undefined
  return Number.isSafeInteger(json) ? json + 0 : BigInt(json)
}

const MAX_FLOAT = 3.4028234663852886e38
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const NON_FINITE: ReadonlyMap<unknown, number> = new Map([['NaN', NaN], ['Infinity', Infinity], ['-Infinity', -Infinity]])

function readFloatingPoint (name: string, round: (value: number) => number, json: unknown, reading: Reading): number | undefined {
  const number = typeof json === 'string' ? NON_FINITE.get(json) ?? (NUMBER.test(json) ? Number(json) : undefined) : json
  if (typeof number !== 'number') return reading.refuse(`${name}: a number, "NaN", "Infinity" or "-Infinity"`, json)
  const rounded = round(number)
  if (!Number.isFinite(rounded) && !NON_FINITE.has(json)) return reading.refuse(`${name}, at most ${name === 'a float' ? MAX_FLOAT : Number.MAX_VALUE} from zero`, json)
  return rounded
}

function readString (json: unknown, reading: Reading): string | undefined {
  if (typeof json !== 'string') return reading.refuse('a string', json)
  if (!json.isWellFormed()) return reading.refuseBecause('the string has an unpaired surrogate')
  return json
}

const BASE64 = /^[\w+/-]*={0,2}$/

/** Base64 or base64url, padded or not. */
function readBytes (json: unknown, reading: Reading): Buffer | undefined {
  if (typeof json !== 'string') return reading.refuse('bytes: a string in base64', json)
  if (!BASE64.test(json)) return reading.refuse('bytes: a string in base64', json)
  const unpadded = json.endsWith('==') ? json.length - 2 : json.endsWith('=') ? json.length - 1 : json.length
  if (unpadded % 4 === 1 || (unpadded < json.length && json.length % 4 !== 0)) return reading.refuse('bytes: a string in base64', json)
  return Buffer.from(json, 'base64')
}

const MOST_NAMES = 8

export function enumReader (type: protobuf.Enum, ignoreUnknown: boolean): ValueReader {
  const { values, valuesById, fullName } = type
  const byName = new Map(Object.entries(values))
  const closed = isClosed(type)
  const names = [...byName.keys()]
  const expected = `a value of ${fullName.slice(1)} (${names.slice(0, MOST_NAMES).join(', ')}${names.length > MOST_NAMES ? ', …' : ''})`
  return (json, reading) => {
    if (typeof json === 'string') {
      const number = byName.get(json)
      return number !== undefined ? number : ignoreUnknown ? undefined : reading.refuse(expected, json)
    }
    if (json === null && isNullValue(type)) return 0
    if (typeof json !== 'number' || (json | 0) !== json || (closed && valuesById[json] === undefined)) return reading.refuse(expected, json)
    return json | 0
  }
}

/** Gives the canonical text of a map key; undefined when it was refused. */
type KeyReader = (key: string, reading: Reading) => string | undefined

const INTEGER = /^(?:0|-?[1-9]\d*)$/

export function keyReader (type: string): KeyReader {
  const kind = scalarKind(type)
  if (kind === 'string') return (key, reading) => key.isWellFormed() ? key : reading.refuseBecause('the key has an unpaired surrogate')
  if (kind === 'bool') return (key, reading) => key === 'true' || key === 'false' ? key : reading.refuseBecause(`expected the key "true" or "false", got ${shortForm(key)}`)
  const { min, max } = INTEGER_RANGES[kind as IntegerKind]
  return (key, reading) => {
    const integer = INTEGER.test(key) && key.length <= 20 ? BigInt(key) : undefined
    if (integer === undefined || integer < min || integer > max) return reading.refuseBecause(`expected a key that is ${anInteger(kind as IntegerKind)}, ${min} to ${max}, got ${shortForm(key)}`)
    return key
  }
}
