/**
 * Query parameters as the ProtoJSON of a message: `?user.name=Ada&tags=a&tags=b`.
 *
 * @see https://github.com/googleapis/googleapis/blob/master/google/api/http.proto
 */
import protobuf from 'protobufjs'
import { badRequest } from '../errors.ts'
import { fieldsByName, isWellKnown } from '../json/fields.ts'
import { DEFAULT_NESTING_LIMIT, type JsonOptions } from '../json/options.ts'
import type { JsonValue } from '../json/value.ts'
import { ViolationList } from '../json/violation-list.ts'

export type QueryOptions = Pick<JsonOptions, 'nestingLimit' | 'unknownFields'>

type JsonObject = { [key: string]: JsonValue }

/** The types of google.protobuf that a query parameter gives as JSON text. */
const JSON_TEXT: ReadonlySet<string> = new Set(['.google.protobuf.Struct', '.google.protobuf.Value', '.google.protobuf.ListValue', '.google.protobuf.Any'])

class QueryError extends Error {}

/** What follows the `?` of a URL; empty when nothing does. */
export function queryOf (url: string): string {
  const start = url.indexOf('?')
  return start === -1 ? '' : url.slice(start + 1)
}

/**
 * @param query what follows the `?` of the URL
 * @throws GrpcError INVALID_ARGUMENT, with a violation for each parameter that fits no field
 */
export function queryToJson (type: protobuf.Type, query: string, options: QueryOptions): JsonValue {
  const message: JsonObject = Object.create(null)
  const list = new ViolationList()
  const params = new URLSearchParams(query)
  for (const name of new Set(params.keys())) {
    try {
      bind(message, type, name.split('.'), params.getAll(name), options)
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      list.add(name, error.message)
    }
  }
  if (list.violations.length > 0) throw badRequest(list.violations)
  return message
}

function bind (message: JsonObject, type: protobuf.Type, path: readonly string[], values: readonly string[], options: QueryOptions): void {
  const { nestingLimit = DEFAULT_NESTING_LIMIT } = options
  if (path.length > nestingLimit) throw new QueryError(`messages nest deeper than ${nestingLimit} levels`)
  let target = message
  let owner = type
  for (const [i, name] of path.entries()) {
    const field = fieldsByName(owner).get(name)
    if (field === undefined) {
      if (options.unknownFields === 'ignore') return
      throw new QueryError(`${owner.fullName.slice(1)} has no field ${JSON.stringify(name)}`)
    }
    const key = field.jsonName!
    if (i === path.length - 1) {
      if (key in target) throw new QueryError('the field is given twice, under two names')
      target[key] = fieldValue(field, values)
      return
    }
    if (field.repeated || field instanceof protobuf.MapField || !(field.resolvedType instanceof protobuf.Type) || isWellKnown(field.resolvedType)) {
      throw new QueryError(`${name} is no message with fields of its own`)
    }
    target[key] ??= Object.create(null) as JsonObject
    target = target[key] as JsonObject
    owner = field.resolvedType
  }
}

function fieldValue (field: protobuf.Field, values: readonly string[]): JsonValue {
  if (field instanceof protobuf.MapField) throw new QueryError('a map cannot be given in the query; send a JSON body')
  if (field.repeated) return values.map(value => singleValue(field, value))
  if (values.length > 1) throw new QueryError(`the field takes one value, not ${values.length}`)
  return singleValue(field, values[0]!)
}

/** The ProtoJSON of one value. Numbers may stay text: ProtoJSON takes strings for them, and checks those. */
function singleValue (field: protobuf.Field, text: string): JsonValue {
  const type = field.resolvedType
  if (type instanceof protobuf.Enum) return /^-?\d+$/.test(text) ? Number(text) : text
  if (type instanceof protobuf.Type) {
    if (!isWellKnown(type)) throw new QueryError('the field is a message; give its fields, as in name.field=value')
    if (JSON_TEXT.has(type.fullName)) return parseJsonText(text)
    return type.fullName === '.google.protobuf.BoolValue' ? booleanOrText(text) : text
  }
  return field.type === 'bool' ? booleanOrText(text) : text
}

function booleanOrText (text: string): JsonValue {
  return text === 'true' ? true : text === 'false' ? false : text
}

function parseJsonText (text: string): JsonValue {
  try {
    return JSON.parse(text)
  } catch {
    throw new QueryError('the value must be JSON text')
  }
}
