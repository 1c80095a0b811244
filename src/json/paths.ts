/** JSON paths, and what a JSON value is at one. */
import type protobuf from 'protobufjs'
import type { JsonValue } from './codec.ts'

/** How deep messages may nest, as in protoc and protobufjs. */
export const NESTING_LIMIT = 100

export function memberPath (path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

export function elementPath (path: string, index: number): string {
  return `${path}[${index}]`
}

export function entryPath (path: string, key: string): string {
  return `${path}[${JSON.stringify(key)}]`
}

export function isObject (json: JsonValue): json is { [key: string]: JsonValue } {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

/** The field that a member of a JSON object stands for. */
export function fieldOf (type: protobuf.Type, key: string): protobuf.Field | undefined {
  return type.fieldsArray.find(field => field.jsonName === key || field.protoName === key || field.name === key)
}

/** Whether this is a type of google.protobuf, whose JSON need not be an object of its fields. */
export function isWellKnown (type: protobuf.Type): boolean {
  return type.fullName.startsWith('.google.protobuf.')
}
