/**
 * Readers of messages as generated functions, for what is usual: they give up (`undefined`) at the first thing that
 * is not, be it wrong or rare, and say nothing of it. The compiled closures do that, and all that is left to them here.
 *
 * A generated function looks for the fields that it knows, and counts them. That a message has no other members, and
 * none of them twice, is seen when all is read: the text has as many colons as members were counted. Where unknown
 * members are ignored, all are counted by themselves. Of messages of text and booleans it is seen sooner: nothing is
 * in the text twice when it is as short as it can be.
 */
import protobuf from 'protobufjs'
import { fieldsByName, isImplicit, isLong, isNullValue, namesOf, scalarKind, type ScalarKind } from '../fields.ts'
import { atDepth, FunctionGenerator, inner, literal, sourceOf } from '../generated-code.ts'
import { isInteger, isNatural } from '../integers.ts'
import { FREE_OF_FRACTIONS } from '../limits.ts'
import { defaultOf, oneofPropertyOf, propertyOf, shaperOf, unsetOf } from '../shape.ts'
import { hasOwnJson } from '../well-known-types.ts'
import type { FieldReader, MessageReaders } from './messages.ts'
import type { Reading, ValueReader } from './reading.ts'

/** How a JSON value `v` is taken as it is. */
interface Direct {
  /** The condition under which it is. */
  readonly when: string
  /** What the message has for it. */
  readonly value: string
  /** The condition under which that is the very value of the JSON. */
  readonly isSame: string
  /** The condition under which the value is the default; of a field without presence. */
  readonly isUnset: string
}

const SCALARS: Readonly<Partial<Record<ScalarKind, Direct>>> = {
  string: { when: "typeof v === 'string' && v.isWellFormed()", value: 'v', isSame: 'true', isUnset: "v === ''" },
  bool: { when: "typeof v === 'boolean'", value: 'v', isSame: 'true', isUnset: 'v === false' },
  int32: { when: "typeof v === 'number' && (v | 0) === v", value: 'v | 0', isSame: '!Object.is(v, -0)', isUnset: 'v === 0' },
  uint32: { when: "typeof v === 'number' && (v >>> 0) === v", value: 'v >>> 0', isSame: '!Object.is(v, -0)', isUnset: 'v === 0' },
  double: { when: 'Number.isFinite(v)', value: 'v', isSame: 'true', isUnset: 'Object.is(v, 0)' },
  float: { when: "typeof v === 'number' && Number.isFinite(Math.fround(v))", value: 'Math.fround(v)', isSame: 'Math.fround(v) === v', isUnset: 'Object.is(Math.fround(v), 0)' }
}

/** Where the value of a field is kept until the message is made. */
interface Slot {
  readonly field: protobuf.Field
  readonly reader: FieldReader
  readonly property: string
  /** The variable of the value. */
  readonly variable: string
  /** The variable of the name of the oneof's field that is set. */
  readonly oneof: string | undefined
  /** Whether the length of the text is to be told. */
  readonly isTextual: boolean
}

type MessageReader = (json: unknown, depth: number, reading: Reading) => unknown

export class GeneratedReaders extends FunctionGenerator<MessageReader> {
  readonly #readers: MessageReaders

  constructor (readers: MessageReaders) {
    super()
    this.#readers = readers
  }

  of (type: protobuf.Type): ValueReader {
    const read = this.functionOf(type)
    return (json, reading) => read(json, 0, reading)
  }

  protected override given (type: protobuf.Type): MessageReader | undefined {
    return isUsual(type, this.#readers) ? undefined : atDepth(this.#readers.of(type))
  }

  protected override declare (name: string, type: protobuf.Type): string {
    const { nestingLimit } = this.#readers.options
    const textual = isTextual(type)
    const slots = type.fieldsArray.map((field, i): Slot => ({
      field,
      reader: this.#readers.field(field),
      property: literal(propertyOf(this.#readers.shape, field)),
      variable: `f${i}`,
      isTextual: textual,
      oneof: field.partOf == null ? undefined : `o${type.oneofsArray.indexOf(field.partOf)}`
    }))
    return `function ${name} (json, depth, reading) {
      if (typeof json !== 'object' || json === null || Array.isArray(json) || depth > ${nestingLimit}) return undefined
      let members = 0, length = 0, same = true, v, x
      ${slots.map(({ variable }) => `let ${variable}`).join('\n')}
      ${type.oneofsArray.map((_, i) => `let o${i}`).join('\n')}
      ${slots.map(slot => this.#member(slot)).join('\n')}
      reading.members += members
      ${textual ? 'reading.shortest += length + (members === 0 ? 2 : members + 1)' : ''}
      ${this.#mayBeSame(slots) ? `if (same${slots.some(({ field }) => this.#isSetWhenEmpty(field)) ? ` && members === ${slots.length}` : ''}) return json` : ''}
      const message = { ${slots.flatMap(slot => this.#property(slot)).join(', ')} }
      ${slots.map(slot => this.#optionalProperty(slot)).join('\n')}
      ${this.#oneofProperties(type)}
      return message
    }`
  }

  /** Whether the object of JSON may be the message. */
  #mayBeSame (slots: readonly Slot[]): boolean {
    const { shape, options } = this.#readers
    return !options.ignoreUnknown && slots.every(({ field }) => propertyOf(shape, field) === namesOf(field).json && oneofPropertyOf(shape, field) === undefined)
  }

  /** Statements that look for the member of a field, under all its names. */
  #member (slot: Slot): string {
    const { field, reader, oneof } = slot
    const { json } = namesOf(field)
    const aliases = [...fieldsByName(field.parent as protobuf.Type)].filter(([name, other]) => other === field && name !== json).map(([name]) => `json[${literal(name)}]`)
    const once = oneof === undefined ? '' : `if (${oneof} !== undefined) return undefined; ${oneof} = ${slot.property};`
    const read = field.map ? this.#map(slot) : field.repeated ? this.#list(slot) : this.#single(slot)
    const statements = `${once} ${read}`
    const length = slot.isTextual ? `; length += ${JSON.stringify(json).length + 1}` : ''
    return `v = json[${literal(json)}]
      ${aliases.map(alias => `if (${alias} !== undefined) { if (v !== undefined) return undefined; v = ${alias}; same = false; length = NaN }`).join('\n')}
      if (v !== undefined) { members++${length}
        ${reader.takesNull ? statements : `if (v === null) same = false; else { ${statements} }`}
      }`
  }

  #single (slot: Slot): string {
    const { field, variable } = slot
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Type) {
      return `x = ${this.call(resolvedType)}(v, depth + 1, reading); if (x === undefined) return undefined; if (x !== v) same = false; ${variable} = x`
    }
    const direct = this.#direct(field)
    if (direct === undefined) return this.#rest(slot)
    const same = direct.isSame === 'true' ? '' : `if (!(${direct.isSame})) same = false;`
    const length = !slot.isTextual ? '' : field.type === 'string' ? 'length += v.length + 2; ' : 'length += v ? 4 : 5; '
    const set = `${same} ${variable} = ${direct.value}`
    const unlessUnset = isImplicit(field) && !this.#readers.shape.defaults ? `if (${direct.isUnset}) same = false; else { ${set} }` : set
    return `if (${direct.when}) { ${length}${unlessUnset} } else { ${this.#rest(slot)} }`
  }

  #list (slot: Slot): string {
    const { field, variable } = slot
    const { resolvedType } = field
    const unlessEmpty = (statements: string): string => `if (!Array.isArray(v)) return undefined
      if (v.length === 0) { ${this.#isSetWhenEmpty(field) ? '' : 'same = false'} } else { ${statements} }`
    if (resolvedType instanceof protobuf.Type) {
      return unlessEmpty(`let list = v
        for (let i = 0; i < v.length; i++) {
          x = ${this.call(resolvedType)}(v[i], depth + 1, reading)
          if (x === undefined) return undefined
          if (list !== v) list.push(x)
          else if (x !== v[i]) { same = false; list = v.slice(0, i); list.push(x) }
        }
        ${variable} = list`)
    }
    const direct = this.#direct(field)
    if (direct === undefined) return this.#rest(slot)
    return unlessEmpty(`let list = v, i = 0
      for (; i < v.length; i++) {
        const e = v[i]
        if (!(${inner(direct.when)})) break
        ${direct.isSame === 'true' ? '' : `if (list !== v) list.push(${inner(direct.value)}); else if (!(${inner(direct.isSame)})) { same = false; list = v.slice(0, i); list.push(${inner(direct.value)}) }`}
      }
      if (i === v.length) ${variable} = list
      else { ${this.#rest(slot)} }`)
  }

  /** Keys are text, in JSON as in messages; those of other types are checked elsewhere. */
  #map (slot: Slot): string {
    const field = slot.field as protobuf.FieldBase as protobuf.MapField
    const direct = field.resolvedType instanceof protobuf.Type ? undefined : this.#direct(slot.field)
    if (field.keyType !== 'string' || direct === undefined) return this.#rest(slot)
    return `if (typeof v !== 'object' || Array.isArray(v)) return undefined
      let count = 0, usual = true
      for (const key in v) {
        const e = v[key]
        if (!(key.isWellFormed() && (${inner(direct.when)}) && ${inner(direct.isSame)})) { usual = false; break }
        count++
      }
      if (!usual) { ${this.#rest(slot)} }
      else if (count > 0) { reading.members += count; ${slot.variable} = v }
      ${this.#isSetWhenEmpty(slot.field) ? '' : 'else same = false'}`
  }

  #isSetWhenEmpty (field: protobuf.Field): boolean {
    return unsetOf(this.#readers.shape, field) !== undefined
  }

  /** Statements that leave `v` to the closures. */
  #rest ({ reader: { read, shaped, isUnset }, variable }: Slot): string {
    const readShaped = (json: unknown, depth: number, reading: Reading): unknown => {
      reading.depth = depth
      const value = read(json, reading)
      return value === undefined ? undefined : isUnset(value) ? UNSET : shaped(value)
    }
    return `x = ${this.use(readShaped)}(v, depth + 1, reading); if (x === undefined) return undefined; same = false; if (x !== ${this.use(UNSET)}) ${variable} = x`
  }

  /** The property of a field that is there even when it is not set. */
  #property ({ field, property, variable }: Slot): string[] {
    const unset = unsetOf(this.#readers.shape, field)
    if (unset === undefined) return []
    const value = unset()
    const source = typeof value !== 'object' || value === null ? sourceOf(value) : field.map ? '{}' : field.repeated ? '[]' : `${this.use(unset)}()`
    return [`${property}: ${variable} === undefined ? ${source} : ${variable}`]
  }

  #optionalProperty ({ field, property, variable }: Slot): string {
    return unsetOf(this.#readers.shape, field) === undefined ? `if (${variable} !== undefined) message[${property}] = ${variable}` : ''
  }

  #oneofProperties (type: protobuf.Type): string {
    return type.oneofsArray.map((oneof, i) => {
      const name = oneof.fieldsArray[0] === undefined ? undefined : oneofPropertyOf(this.#readers.shape, oneof.fieldsArray[0])
      return name === undefined ? '' : `if (o${i} !== undefined) message[${literal(name)}] = o${i}`
    }).join('\n')
  }

  #direct (field: protobuf.Field): Direct | undefined {
    const { shape } = this.#readers
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Enum) return isNullValue(resolvedType) ? undefined : this.#enum(resolvedType, field)
    const kind = scalarKind(field.type)
    if (isLong(kind) && shape.longs === 'string') {
      const isText = this.use(kind === 'int64' ? isInteger : isNatural)
      const range = `v > -${kind === 'int64' ? FREE_OF_FRACTIONS : 1} && v < ${FREE_OF_FRACTIONS}`
      return { when: `typeof v === 'string' ? ${isText}(v) : Number.isInteger(v) && ${range}`, value: 'String(v)', isSame: "typeof v === 'string'", isUnset: 'v == 0' }
    }
    return SCALARS[kind]
  }

  #enum (type: protobuf.Enum, field: protobuf.Field): Direct {
    const shaper = shaperOf(this.#readers.shape, field) ?? ((number: number) => number)
    const shaped = new Map(Object.entries(type.values).map(([name, number]) => [name, shaper(number as never)]))
    const get = `${this.use(shaped)}.get(v)`
    return { when: `${get} !== undefined`, value: get, isSame: `${get} === v`, isUnset: `${get} === ${sourceOf(shaper(defaultOf(field) as never))}` }
  }
}

/** What the closures say of a value that is the same as none. */
const UNSET = Symbol('unset')

/** Whether nothing about the type is beyond generated code. */
function isUsual (type: protobuf.Type, { shape }: MessageReaders): boolean {
  return !hasOwnJson(type) && type.fieldsArray.every(field => {
    const names = [...fieldsByName(type)].filter(([, other]) => other === field).map(([name]) => name)
    // What every object inherits would be taken for a member.
    return !field.resolve().required && ![...names, propertyOf(shape, field), oneofPropertyOf(shape, field)].some(name => name !== undefined && name in Object.prototype)
  })
}

/** Whether the shortest text of a message is easily told: it has text, booleans and messages of these, but no lists. */
function isTextual (type: protobuf.Type, outer: readonly protobuf.Type[] = []): boolean {
  return !outer.includes(type) && !hasOwnJson(type) && type.fieldsArray.every(({ type: name, resolvedType, repeated, map }) =>
    !repeated && !map && (resolvedType instanceof protobuf.Type ? isTextual(resolvedType, [...outer, type]) : name === 'string' || name === 'bool'))
}
