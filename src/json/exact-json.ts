/**
 * JSON text read with all that JSON.parse drops: where it is malformed, members given twice, numbers that a double
 * cannot hold. It is slow, and runs only for texts that are wrong or may be.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8259
 */
import { badRequest } from '../errors.ts'
import { HIGHEST_NESTING_LIMIT } from './options.ts'
import { formatPath } from './path.ts'
import { setOwn, shortForm, type JsonObject, type JsonValue } from './value.ts'

export interface ExactJson {
  readonly value: JsonValue
  /** The members that an object has more than once. */
  readonly duplicates: ReadonlyMap<JsonObject, ReadonlySet<string>>
  /** Of objects and arrays, the members and elements that are integers only because digits were lost. */
  readonly rounded: ReadonlyMap<object, ReadonlySet<string | number>>
}

/** Deeper than any message: two levels for each, when they are in lists. Bounds the stack. */
const DEEPEST = 2 * HIGHEST_NESTING_LIMIT + 100

const WHITE_SPACE = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// eslint-disable-next-line no-control-regex
const STRING_START = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[^"\\\u0000-\u001f]*)*/y
const LITERALS: ReadonlyArray<readonly [string, JsonValue]> = [['true', true], ['false', false], ['null', null]]

/** @throws GrpcError INVALID_ARGUMENT, with line and column of what is no JSON */
export function parseExactly (text: string): ExactJson {
  const duplicates = new Map<JsonObject, Set<string>>()
  const rounded = new Map<object, Set<string | number>>()
  const path: Array<string | number> = []
  let at = 0

  function match (pattern: RegExp): string | undefined {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    if (found !== undefined) at += found.length
    return found
  }

  function skip (character: string): boolean {
    match(WHITE_SPACE)
    if (text[at] !== character) return false
    at++
    return true
  }

  function value (parent: object): JsonValue {
    match(WHITE_SPACE)
    switch (text[at]) {
      case '{': return nested(object)
      case '[': return nested(array)
      case '"': return string()
    }
    for (const [literal, meaning] of LITERALS) {
      if (!text.startsWith(literal, at)) continue
      at += literal.length
      return meaning
    }
    const number = match(NUMBER)
    if (number === undefined) throw malformed('a JSON value')
    if (isRounded(number)) rounded.set(parent, (rounded.get(parent) ?? new Set()).add(path.at(-1) ?? ''))
    return Number(number)
  }

  function nested<T> (read: () => T): T {
    if (path.length >= DEEPEST) throw badRequest([{ field: '', description: `the JSON nests deeper than ${DEEPEST} levels` }])
    at++
    return read()
  }

  function object (): JsonObject {
    const members: JsonObject = {}
    if (skip('}')) return members
    do {
      match(WHITE_SPACE)
      if (text[at] !== '"') throw malformed('a member name in double quotes')
      const name = string()
      if (!skip(':')) throw malformed("':'")
      path.push(name)
      if (Object.hasOwn(members, name)) duplicates.set(members, (duplicates.get(members) ?? new Set()).add(name))
      setOwn(members, name, value(members))
      path.pop()
    } while (skip(','))
    if (!skip('}')) throw malformed("',' or '}'")
    return members
  }

  function array (): JsonValue[] {
    const elements: JsonValue[] = []
    if (skip(']')) return elements
    do {
      path.push(elements.length)
      elements.push(value(elements))
      path.pop()
    } while (skip(','))
    if (!skip(']')) throw malformed("',' or ']'")
    return elements
  }

  function string (): string {
    const start = match(STRING_START)!
    if (text[at] === '"') {
      at++
      return JSON.parse(`${start}"`)
    }
    if (at >= text.length) throw malformed("the '\"' that ends the string")
    if (text[at] === '\\') throw malformed('an escape of JSON')
    throw malformed('a control character to be escaped')
  }

  function malformed (expected: string): Error {
    const before = text.slice(0, at).split('\n')
    const where = `line ${before.length}, column ${before.at(-1)!.length + 1}`
    const found = at >= text.length ? 'the end of the text' : shortForm(String.fromCodePoint(text.codePointAt(at)!))
    const inside = path.length === 0 ? '' : ` (in ${shortForm(formatPath(path))})`
    return badRequest([{ field: '', description: `The request body is not valid JSON: expected ${expected} at ${where}${inside}, got ${found}` }])
  }

  const json = value(duplicates)
  match(WHITE_SPACE)
  if (at < text.length) throw malformed('the end of the text')
  return { value: json, duplicates, rounded }
}

/** Whether the text stands for another number than the integer that JSON.parse makes of it. */
function isRounded (text: string): boolean {
  const number = Number(text)
  return Number.isInteger(number) && (text.length >= SURE_DIGITS || /[eE]/.test(text)) && integerOf(text) !== BigInt(number)
}

/** A double holds all integers of fewer digits. */
const SURE_DIGITS = 16

const DECIMAL = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d{1,9}))?$/
/** More than any integer of 64 bits needs, however it is written. */
const MOST_CHARACTERS = 64
/** More digits than any integer of 64 bits has. */
const MOST_DIGITS = 40

/** The integer that a JSON number stands for; undefined when it is none, is past 40 digits or takes more than 64 characters. */
export function integerOf (text: string): bigint | undefined {
  const parts = text.length > MOST_CHARACTERS ? null : DECIMAL.exec(text)
  if (parts === null) return undefined
  const [, sign, whole, fraction = '', exponent = '0'] = parts
  const digits = (whole! + fraction).replace(/^0+/, '')
  if (digits === '') return 0n
  const scale = Number(exponent) - fraction.length
  const significant = digits.replace(/0+$/, '')
  const zeros = digits.length - significant.length + scale
  if (zeros < 0 || significant.length + zeros > MOST_DIGITS) return undefined
  return BigInt(sign! + significant + '0'.repeat(zeros))
}

/**
 * Whether an object may have a member twice, of which JSON.parse has kept only the last.
 *
 * @param json what JSON.parse made of the text
 * @param members how many members the objects in it have
 */
export function mayHaveDuplicates (text: string, json: JsonValue, members: number): boolean {
  const colons = colonsIn(text)
  if (colons === members) return false
  return text.includes('\\u003') || colons - colonsInStrings(json, 0) !== members
}

function colonsIn (text: string): number {
  let count = 0
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) count++
  return count
}

/** Not a number when the value nests too deep for anything but the slow way. */
function colonsInStrings (json: JsonValue, depth: number): number {
  if (typeof json === 'string') return json.includes(':') ? colonsIn(json) : 0
  if (typeof json !== 'object' || json === null) return 0
  if (depth > DEEPEST) return NaN
  let count = 0
  if (Array.isArray(json)) {
    for (const element of json) count += colonsInStrings(element, depth + 1)
  } else {
    for (const name in json) count += colonsInStrings(json[name]!, depth + 1) + colonsIn(name)
  }
  return count
}

/** How many members the objects in a value have; not a number when it nests too deep. */
export function membersIn (json: JsonValue, depth = 0): number {
  if (typeof json !== 'object' || json === null) return 0
  if (depth > DEEPEST) return NaN
  let count = 0
  for (const name in json) count += membersIn((json as JsonObject)[name]!, depth + 1) + (Array.isArray(json) ? 0 : 1)
  return count
}
