/** 64-bit integers written as JSON numbers past 2^53: JSON.parse may have rounded them, so they are refused. */
import protobuf from 'protobufjs'
import type { FieldViolation } from '../errors.ts'
import type { JsonValue } from './codec.ts'
import { elementPath, entryPath, fieldOf, isObject, isWellKnown, memberPath, NESTING_LIMIT } from './paths.ts'
import { ViolationList } from './violation-list.ts'

const INT64_TYPES: ReadonlySet<string> = new Set(['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64'])
const INT64_WRAPPERS: ReadonlySet<string> = new Set(['.google.protobuf.Int64Value', '.google.protobuf.UInt64Value'])

/** Whether the text has an integer so long that JSON.parse may round it. */
export function mayLosePrecision (text: string): boolean {
  return /\d{16}/.test(text)
}

export function findLostPrecision (type: protobuf.Type, json: JsonValue): FieldViolation[] {
  const list = new ViolationList()

  function visitMessage (type: protobuf.Type, json: JsonValue, path: string, depth: number): void {
    if (!isObject(json) || isWellKnown(type) || depth > NESTING_LIMIT) return
    for (const [key, value] of Object.entries(json)) {
      if (list.isFull) return
      const field = fieldOf(type, key)
      if (field === undefined) continue
      const at = memberPath(path, key)
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length && !list.isFull; i++) visitValue(field, value[i]!, elementPath(at, i), depth)
      } else if (field instanceof protobuf.MapField && isObject(value)) {
        for (const [mapKey, element] of Object.entries(value)) visitValue(field, element, entryPath(at, mapKey), depth)
      } else {
        visitValue(field, value, at, depth)
      }
    }
  }

  function visitValue (field: protobuf.Field, value: JsonValue, path: string, depth: number): void {
    if (typeof value === 'number') {
      if (isInt64(field) && !Number.isSafeInteger(value)) {
        list.add(path, 'this integer is too large for a JSON number; send it as a string')
      }
    } else if (field.resolvedType instanceof protobuf.Type) {
      visitMessage(field.resolvedType, value, path, depth + 1)
    }
  }

  visitMessage(type, json, '', 0)
  return list.violations
}

function isInt64 (field: protobuf.Field): boolean {
  return INT64_TYPES.has(field.type) || (field.resolvedType !== null && INT64_WRAPPERS.has(field.resolvedType.fullName))
}
