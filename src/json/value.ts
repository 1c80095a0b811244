/** Values as JSON.parse gives them. */

/** Any value that JSON.parse gives. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject

export interface JsonObject { [key: string]: JsonValue }

export function isObject (json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

const LONGEST = 40

/** A value as an error message shows it: short, and on one line. */
export function shortForm (value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  switch (typeof value) {
    case 'string': return JSON.stringify(value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value.toWellFormed())
    case 'object': return value === null ? 'null' : nameOfObject(value)
    case 'function': case 'symbol': case 'undefined': return typeof value === 'undefined' ? 'nothing' : `a ${typeof value}`
    default: return String(value)
  }
}

function nameOfObject (value: object): string {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name} object` : 'an object'
}
