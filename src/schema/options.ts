/**
 * Gives the options of .proto files the form of their types. protobufjs parses them without a look at the types: it
 * keeps their names as they are written, and cannot tell a list of one from a single value.
 */
import protobuf from 'protobufjs'
import type { Options } from './service.ts'

/** Gives the options of an object, and of all in it, the form of their types. Types must be resolved. */
export function typeOptions (object: protobuf.ReflectionObject): void {
  const { parsedOptions } = object
  if (parsedOptions !== undefined && parsedOptions !== null) object.parsedOptions = [typedOptions(object, parsedOptions)]
  if (object instanceof protobuf.Namespace) object.nestedArray.forEach(typeOptions)
  if (object instanceof protobuf.Type) [...object.fieldsArray, ...object.oneofsArray].forEach(typeOptions)
  if (object instanceof protobuf.Service) object.methodsArray.forEach(typeOptions)
}

/**
 * Options as descriptor sets have them: extensions by their full names, those that are repeated as lists.
 *
 * @param object in whose scope the names are
 * @param statements options as they are written; a repeated one can be in several of them
 */
export function typedOptions (object: protobuf.ReflectionObject, statements: readonly Options[]): Options {
  const options: Record<string, unknown> = {}
  for (const [written, value] of statements.flatMap(statement => Object.entries(statement))) {
    const extension = findExtension(object, written)
    if (extension === undefined) {
      options[written] = value
    } else {
      const { name, field } = extension
      const earlier = field.repeated ? options[name] ?? [] : []
      options[name] = typedValue(field, field.repeated ? [earlier, value].flat() : value)
    }
  }
  return options
}

function findExtension (object: protobuf.ReflectionObject, written: string): { name: string, field: protobuf.Field } | undefined {
  const path = /^\((.+)\)$/.exec(written)?.[1]?.split('.')
  if (path === undefined) return undefined
  const scope = object instanceof protobuf.Namespace ? object : object.parent!
  const last = path.pop()!
  for (const name of [last, protobuf.util.camelCase(last)]) {
    const field = scope.lookup([...path, name], protobuf.Field)
    if (field !== null) return { name: `(${field.parent!.fullName.slice(1)}.${last})`, field: field as protobuf.Field }
  }
  return undefined
}

function typedValue (field: protobuf.Field, value: unknown): unknown {
  if (field instanceof protobuf.MapField) {
    const entries = [value].flat() as Array<{ key: string, value: unknown }>
    return Object.fromEntries(entries.map(({ key, value }) => [key, typedSingle(field, value)]))
  }
  return field.repeated ? [value].flat().map(single => typedSingle(field, single)) : typedSingle(field, value)
}

function typedSingle ({ resolvedType, long }: protobuf.Field, value: unknown): unknown {
  if (resolvedType instanceof protobuf.Type) return typedMessage(resolvedType, value as object)
  return long ? String(value) : value
}

function typedMessage ({ fields }: protobuf.Type, message: object): object {
  return Object.fromEntries(Object.entries(message).map(([name, value]) => {
    const field = fields[name] ?? fields[protobuf.util.camelCase(name)]
    return [name, field === undefined ? value : typedValue(field, value)]
  }))
}
