/** Scalar and enum values of the usual forms, as generated writers take them. */
import protobuf from 'protobufjs'
import { isImplicit, isLong, isNullValue, scalarKind, type ScalarKind } from '../fields.ts'
import { literal, sourceOf } from '../generated-code.ts'
import { isInteger, isNatural } from '../integers.ts'
import type { JsonWriteOptions } from '../options.ts'
import { defaultOf } from '../shape.ts'
import { enumTexts } from './scalars.ts'
import { doubleText, floatNumber, floatText, quote } from './text.ts'

/** The expression of a property of `message` that is not just what every object has. */
export function ownProperty (property: string): string {
  const value = `message[${literal(property)}]`
  return property in Object.prototype ? `${value} === Object.prototype[${literal(property)}] ? undefined : ${value}` : value
}

/** What gives values a name in generated text. */
interface Uses {
  use: (value: unknown) => string
}

/** Expressions of `v`, a value that is neither null nor undefined. The first of them sets `x` for the others. */
export interface Direct {
  /** Whether the value has the usual form. */
  readonly when: string
  /** Its JSON text. */
  readonly text: string
  /** What JSON.stringify makes that text of. */
  readonly value: string
  /** Whether that is the value itself. */
  readonly isSame: string
  /** Whether it is the default; of a field without presence. */
  readonly isUnset: string
}

const BYTES: Direct = {
  when: 'Buffer.isBuffer(v)',
  text: "'\"' + v.toString('base64') + '\"'",
  value: "v.toString('base64')",
  isSame: 'false',
  isUnset: 'v.length === 0'
}

/** @returns undefined for messages and `NullValue` */
export function directOf (field: protobuf.Field, options: JsonWriteOptions, code: Uses): Direct | undefined {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return undefined
  if (resolvedType instanceof protobuf.Enum) return isNullValue(resolvedType) ? undefined : ofEnum(resolvedType, field, options, code)
  const kind = scalarKind(field.type)
  if (kind === 'bytes') return BYTES
  return isLong(kind) ? ofLong(kind, options, code) : scalars(code)[kind]
}

function scalars (code: Uses): Readonly<Partial<Record<ScalarKind, Direct>>> {
  const finite = '(Number.isFinite(v) ? v : String(v))'
  return {
    string: { when: "typeof v === 'string'", text: `${code.use(quote)}(v)`, value: 'v', isSame: 'true', isUnset: "v === ''" },
    bool: { when: "typeof v === 'boolean'", text: "(v ? 'true' : 'false')", value: 'v', isSame: 'true', isUnset: '!v' },
    int32: { when: "typeof v === 'number' && (v | 0) === v", text: 'String(v)', value: 'v', isSame: 'true', isUnset: 'v === 0' },
    uint32: { when: "typeof v === 'number' && (v >>> 0) === v", text: 'String(v)', value: 'v', isSame: 'true', isUnset: 'v === 0' },
    double: { when: "typeof v === 'number' && !Object.is(v, -0)", text: `${code.use(doubleText)}(v)`, value: finite, isSame: 'Number.isFinite(v)', isUnset: 'v === 0' },
    float: {
      when: "typeof v === 'number' && Number.isFinite(Math.fround(v)) && !Object.is(Math.fround(v), -0)",
      text: `${code.use(floatText)}(v)`,
      value: `${code.use(floatNumber)}(v)`,
      isSame: `${code.use(floatNumber)}(v) === v`,
      isUnset: 'Math.fround(v) === 0'
    }
  }
}

function ofLong (kind: ScalarKind, { int64 }: JsonWriteOptions, code: Uses): Direct {
  const isText = code.use(kind === 'int64' ? isInteger : isNatural)
  const asNumber = `Number.isSafeInteger(v)${kind === 'uint64' ? ' && v >= 0' : ''}`
  const isUnset = "v === '0' || v === 0"
  if (int64 === 'number') {
    return { when: `typeof v === 'string' ? ${isText}(v) && Number.isSafeInteger(Number(v)) : ${asNumber}`, text: 'String(v)', value: 'Number(v)', isSame: "typeof v === 'number'", isUnset }
  }
  return { when: `typeof v === 'string' ? ${isText}(v) : ${asNumber}`, text: "'\"' + v + '\"'", value: 'String(v)', isSame: "typeof v === 'string'", isUnset }
}

function ofEnum (type: protobuf.Enum, field: protobuf.Field, options: JsonWriteOptions, code: Uses): Direct {
  const texts = enumTexts(type, options)
  const values = new Map([...texts].map(([given, text]) => [given, JSON.parse(text)]))
  const unset = isImplicit(field) ? sourceOf(values.get(defaultOf(field))) : undefined
  return {
    when: `(x = ${code.use(values)}.get(v)) !== undefined`,
    text: `${code.use(texts)}.get(v)`,
    value: 'x',
    isSame: 'x === v',
    isUnset: unset === undefined ? 'false' : `x === ${unset}`
  }
}
