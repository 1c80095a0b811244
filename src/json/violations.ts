/** Says what is wrong with a JSON value: every field, by its JSON path. Runs only when reading has failed. */
import protobuf from 'protobufjs'
import protojson, { type IProtoJsonOptions } from 'protobufjs/ext/protojson.js'
import type { FieldViolation } from '../errors.ts'
import type { JsonValue } from './codec.ts'
import { elementPath, entryPath, fieldOf, isObject, isWellKnown, memberPath, NESTING_LIMIT } from './paths.ts'

/** A body can hold millions of wrong values; nobody reads more than these. */
const MOST_VIOLATIONS = 100
const LONGEST_REASON = 200

/**
 * Reads each part of the value on its own, down to those that fail.
 *
 * @param cause why the value as a whole was refused; it is the violation when every part is good
 */
export function findViolations (type: protobuf.Type, json: JsonValue, options: IProtoJsonOptions, cause: Error): FieldViolation[] {
  const violations: FieldViolation[] = []

  function report (field: string, error: Error): void {
    if (violations.length < MOST_VIOLATIONS) violations.push({ field, description: reason(error) })
  }

  function visitMessage (type: protobuf.Type, json: JsonValue, path: string, depth: number): void {
    if (isWellKnown(type) || !isObject(json) || depth > NESTING_LIMIT) {
      const error = errorOf(type, json, options)
      if (error !== undefined) report(path, error)
      return
    }
    for (const [key, value] of Object.entries(json)) {
      if (violations.length >= MOST_VIOLATIONS) return
      const error = errorOf(type, { [key]: value }, options)
      if (error === undefined) continue
      const at = memberPath(path, key)
      const found = violations.length
      const field = fieldOf(type, key)
      if (field !== undefined) visitField(field, value, at, depth)
      if (violations.length === found) report(at, error)
    }
  }

  function visitField (field: protobuf.Field, json: JsonValue, path: string, depth: number): void {
    const messageType = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined
    if (field instanceof protobuf.MapField) {
      if (messageType === undefined || !isObject(json)) return
      for (const [key, value] of Object.entries(json)) visitMessage(messageType, value, entryPath(path, key), depth + 1)
    } else if (field.repeated) {
      if (!Array.isArray(json)) return
      json.forEach((element, i) => {
        const at = elementPath(path, i)
        if (messageType !== undefined && element !== null) return visitMessage(messageType, element, at, depth + 1)
        const error = errorOf(field.parent as protobuf.Type, { [field.jsonName!]: [element] }, options)
        if (error !== undefined) report(at, error)
      })
    } else if (messageType !== undefined && isObject(json)) {
      visitMessage(messageType, json, path, depth + 1)
    }
  }

  visitMessage(type, json, '', 0)
  if (violations.length === 0) report('', cause)
  return violations
}

function errorOf (type: protobuf.Type, json: JsonValue, options: IProtoJsonOptions): Error | undefined {
  try {
    protojson.fromJson(type, json, options)
    return undefined
  } catch (error) {
    return error as Error
  }
}

/** protobufjs puts the name of the field or message first, which the path says better. */
function reason (error: Error): string {
  const text = error.message.replace(/^\.?[\w.]+: /, '')
  return text.length > LONGEST_REASON ? `${text.slice(0, LONGEST_REASON)}…` : text
}
