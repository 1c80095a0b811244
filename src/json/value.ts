/** Values as JSON.parse gives them. */

/** Any value that JSON.parse gives. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject

export interface JsonObject { [key: string]: JsonValue }

export function isObject (json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

/** Sets a property to be the object's own, `__proto__` too. */
export function setOwn (object: Record<string, unknown>, property: string, value: unknown): void {
  if (property === '__proto__') Object.defineProperty(object, property, { value, enumerable: true, configurable: true, writable: true })
  else object[property] = value
}

/** A text of at most so many characters, and a mark when it was longer. */
export function cut (text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text
}

const LONGEST = 40

/** A value as an error message shows it: short, and on one line. */
export function shortForm (value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  switch (typeof value) {
    case 'string': return JSON.stringify(value.length > LONGEST ? cut(value, LONGEST) : value.toWellFormed())
    case 'object': return value === null ? 'null' : nameOfObject(value)
    case 'function': case 'symbol': case 'undefined': return typeof value === 'undefined' ? 'nothing' : `a ${typeof value}`
    default: return String(value)
  }
}

function nameOfObject (value: object): string {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name} object` : 'an object'
}
