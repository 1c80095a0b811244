/** Says what is wrong with a JSON value: every field, by its JSON path. Runs only when reading has failed. */
import protobuf from 'protobufjs'
import protojson, { type IProtoJsonOptions } from 'protobufjs/ext/protojson.js'
import type { FieldViolation } from '../errors.ts'
import type { JsonValue } from './codec.ts'
import { elementPath, entryPath, fieldOf, isObject, isWellKnown, memberPath, NESTING_LIMIT } from './paths.ts'
import { ViolationList } from './violation-list.ts'

/** A body can hold millions of values; what is wrong past this many is not looked for one by one. */
const MOST_CHECKS = 10_000

/**
 * Reads each leaf of the value on its own.
 *
 * @param cause why the value as a whole was refused; it is the violation when no leaf is found to be wrong
 */
export function findViolations (type: protobuf.Type, json: JsonValue, options: IProtoJsonOptions, cause: Error): FieldViolation[] {
  const list = new ViolationList()
  let checks = 0

  function check (type: protobuf.Type, json: JsonValue, path: string): boolean {
    checks++
    const error = errorOf(type, json, options)
    if (error !== undefined) list.add(path, reason(error))
    return error === undefined
  }

  function isSpent (): boolean {
    return list.isFull || checks > MOST_CHECKS
  }

  function visitMessage (type: protobuf.Type, json: JsonValue, path: string, depth: number): void {
    if (isWellKnown(type) || !isObject(json) || depth > NESTING_LIMIT) {
      check(type, json, path)
      return
    }
    const seen = new Set<string>()
    for (const key in json) {
      if (isSpent()) return
      const value = json[key]!
      const at = memberPath(path, key)
      const field = fieldOf(type, key)
      if (field === undefined || value === null) {
        check(type, { [key]: value === null ? null : 0 }, at)
        continue
      }
      if (field.partOf !== null && seen.has(field.partOf.name)) list.add(at, `another field of the oneof ${field.partOf.name} is set`)
      else if (seen.has(field.fullName)) list.add(at, 'the field is set twice, under two names')
      else visitField(type, field, key, value, at, depth)
      seen.add(field.fullName)
      if (field.partOf !== null) seen.add(field.partOf.name)
    }
  }

  function visitField (owner: protobuf.Type, field: protobuf.Field, key: string, json: JsonValue, path: string, depth: number): void {
    const type = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined
    if (field.repeated && Array.isArray(json)) {
      for (let i = 0; i < json.length && !isSpent(); i++) {
        if (type !== undefined && json[i] !== null) visitMessage(type, json[i]!, elementPath(path, i), depth + 1)
        else check(owner, { [key]: [json[i]!] }, elementPath(path, i))
      }
    } else if (field instanceof protobuf.MapField && isObject(json)) {
      for (const entry in json) {
        if (isSpent()) return
        const at = entryPath(path, entry)
        if (type === undefined || isWellKnown(type)) check(owner, { [key]: { [entry]: json[entry]! } }, at)
        else if (check(owner, { [key]: { [entry]: {} } }, at)) visitMessage(type, json[entry]!, at, depth + 1)
      }
    } else if (type !== undefined && !field.repeated && !(field instanceof protobuf.MapField)) {
      visitMessage(type, json, path, depth + 1)
    } else {
      check(owner, { [key]: json }, path)
    }
  }

  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    visitMessage(type, json, '', 0)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
  if (list.violations.length === 0) list.add('', reason(cause))
  return list.violations
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
  return error.message.replace(/^\.?[\w.]+: /, '')
}
