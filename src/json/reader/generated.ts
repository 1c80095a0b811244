/**
 * Readers of messages as generated functions, for what is usual: they give up (`undefined`) at the first thing that
 * is not, be it wrong or rare, and say nothing of it. The compiled closures do that, and all that is left to them here.
 */
import protobuf from 'protobufjs'
import { membersIn } from '../exact-json.ts'
import { fieldsByName, isImplicit, isNullValue, scalarKind, type ScalarKind } from '../fields.ts'
import { GeneratedCode, literal } from '../generated-code.ts'
import { isInteger, isNatural } from '../integers.ts'
import { defaultOf, oneofPropertyOf, propertyOf, shaperOf, unsetOf } from '../shape.ts'
import { hasOwnJson } from '../well-known-types.ts'
import type { FieldReader, MessageReaders, ShapedMessage } from './messages.ts'
import type { Reading, ValueReader } from './reading.ts'

export function generateReader (type: protobuf.Type, readers: MessageReaders): ValueReader {
  const generator = new ReaderGenerator(readers)
  const name = generator.message(type)
  const read = generator.code.run<(json: unknown, depth: number, reading: Reading) => unknown>(name)
  return (json, reading) => read(json, 0, reading)
}

/** The bits of a number that can be or-ed without a sign. */
const BITS = 31
/** JSON.parse cannot have rounded a fraction of smaller numbers away. */
const SAFE_NUMBER = 2 ** 45
const MAX_FLOAT = 3.4028234663852886e38

/** How a JSON value `v` is taken as it is: under which condition, and as what. */
interface Direct {
  readonly when: string
  readonly value: string
  /** The condition under which the value is the default; of a field without presence. */
  readonly isUnset: string
}

const SCALARS: Readonly<Partial<Record<ScalarKind, Direct>>> = {
  string: { when: "typeof v === 'string' && v.isWellFormed()", value: 'v', isUnset: "v === ''" },
  bool: { when: "typeof v === 'boolean'", value: 'v', isUnset: 'v === false' },
  int32: { when: '(v | 0) === v', value: 'v | 0', isUnset: 'v === 0' },
  uint32: { when: '(v >>> 0) === v', value: 'v >>> 0', isUnset: 'v === 0' },
  double: { when: 'Number.isFinite(v)', value: 'v', isUnset: 'Object.is(v, 0)' },
  float: { when: `typeof v === 'number' && v >= -${MAX_FLOAT} && v <= ${MAX_FLOAT}`, value: 'Math.fround(v)', isUnset: 'Object.is(v, 0)' }
}

/** Kinds whose lists and maps, as JSON.parse makes them, are those of the message. */
const AS_PARSED: ReadonlySet<ScalarKind> = new Set(['string', 'bool', 'double'])

class ReaderGenerator {
  readonly code = new GeneratedCode()
  readonly #readers: MessageReaders
  readonly #names = new Map<protobuf.Type, string>()

  constructor (readers: MessageReaders) {
    this.#readers = readers
  }

  /** The name of the function that reads a type: `(json, depth, reading) => message`. */
  message (type: protobuf.Type): string {
    const known = this.#names.get(type)
    if (known !== undefined) return known
    const name = isUsual(type, this.#readers) ? `read${this.#names.size}` : this.code.use(atDepth(this.#readers.of(type)))
    this.#names.set(type, name)
    if (name.startsWith('read')) this.code.add(this.#declaration(name, type))
    return name
  }

  #declaration (name: string, type: protobuf.Type): string {
    const { ignoreUnknown, nestingLimit } = this.#readers.options
    const bits = new Bits()
    const names = new Map<protobuf.Field, string[]>()
    for (const [name, field] of fieldsByName(type)) names.set(field, [...names.get(field) ?? [], name])
    const cases = [...names].map(([field, names]) => {
      const labels = names.map(name => `case ${literal(name)}:`).join(' ')
      const once = names.length > 1 ? bits.take(field) : ''
      return `${labels} {
${once}${this.#field(field, bits)}
break }`
    })
    return `function ${name} (json, depth, reading) {
      if (typeof json !== 'object' || json === null || Array.isArray(json) || depth > ${nestingLimit}) return undefined
      const message = ${this.#template(type)}
      ${bits.declaration}
      let members = 0
      for (const name in json) {
        const v = json[name]
        members++
        switch (name) {
          ${cases.join('\n')}
          default: ${ignoreUnknown ? `reading.members += ${this.code.use(membersIn)}(v)` : 'return undefined'}
        }
      }
      reading.members += members
      return message
    }`
  }

  /** An object literal with all that the shape has where nothing is set. */
  #template (type: protobuf.Type): string {
    const properties = type.fieldsArray.flatMap(field => {
      const make = unsetOf(this.#readers.shape, field)
      if (make === undefined) return []
      const value = make()
      const source = typeof value !== 'object' || value === null ? sourceOf(value) : field.map ? '{}' : field.repeated ? '[]' : `${this.code.use(make)}()`
      return [`${literal(propertyOf(this.#readers.shape, field))}: ${source}`]
    })
    return `{ ${properties.join(', ')} }`
  }

  /** Statements that read `v`, the value of a field. */
  #field (field: protobuf.Field, bits: Bits): string {
    const reader = this.#readers.field(field)
    const { partOf } = field
    const once = partOf != null && partOf.fieldsArray.length > 1 ? bits.take(partOf) : ''
    const statements = once + (field.map ? this.#map(field as never, reader) : field.repeated ? this.#list(field, reader) : this.#single(field, reader))
    return reader.takesNull ? statements : `if (v !== null) { ${statements} }`
  }

  #single (field: protobuf.Field, reader: FieldReader): string {
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Type) {
      return `const x = ${this.message(resolvedType)}(v, depth + 1, reading); if (x === undefined) return undefined; ${this.#set(field, 'x')}`
    }
    const direct = this.#direct(field)
    if (direct === undefined) return this.#rest(reader)
    const set = this.#set(field, direct.value)
    const unlessUnset = isImplicit(field) && !this.#readers.shape.defaults ? `if (!(${direct.isUnset})) { ${set} }` : set
    return `if (${direct.when}) { ${unlessUnset} } else ${this.#rest(reader)}`
  }

  #list (field: protobuf.Field, reader: FieldReader): string {
    const { resolvedType } = field
    const property = literal(propertyOf(this.#readers.shape, field))
    if (resolvedType instanceof protobuf.Type) {
      return `if (!Array.isArray(v)) return undefined
        if (v.length > 0) {
          const list = []
          for (let i = 0; i < v.length; i++) {
            const x = ${this.message(resolvedType)}(v[i], depth + 1, reading)
            if (x === undefined) return undefined
            list.push(x)
          }
          message[${property}] = list
        }`
    }
    const direct = this.#direct(field)
    if (direct === undefined) return this.#rest(reader)
    const asParsed = resolvedType === null && AS_PARSED.has(scalarKind(field.type))
    return `if (!Array.isArray(v)) return undefined
      if (v.length > 0) {
        ${asParsed ? '' : 'const list = []'}
        let i = 0
        for (; i < v.length; i++) {
          ${element('v[i]', direct.when)}
          ${asParsed ? '' : `list.push(${inner(direct.value)})`}
        }
        if (i === v.length) message[${property}] = ${asParsed ? 'v' : 'list'}
        else ${this.#rest(reader)}
      }`
  }

  /** Keys are text, in JSON as in messages; those of other types are checked elsewhere. */
  #map (field: protobuf.MapField, reader: FieldReader): string {
    const { resolvedType } = field
    const property = literal(propertyOf(this.#readers.shape, field as never))
    const direct = resolvedType === null ? this.#direct(field as never) : undefined
    if (scalarKind(field.keyType) !== 'string' || direct === undefined || !AS_PARSED.has(scalarKind(field.type))) return this.#rest(reader)
    return `if (typeof v !== 'object' || Array.isArray(v)) return undefined
      let count = 0
      let usual = true
      for (const key in v) {
        count++
        ${element('v[key]', `key.isWellFormed() && ${direct.when}`, 'usual = false; break')}
      }
      if (!usual) { ${this.#rest(reader)} }
      else if (count > 0) { reading.members += count; message[${property}] = v }`
  }

  #set (field: protobuf.Field, value: string): string {
    const property = literal(propertyOf(this.#readers.shape, field))
    const oneof = oneofPropertyOf(this.#readers.shape, field)
    return `message[${property}] = ${value}${oneof === undefined ? '' : `; message[${literal(oneof)}] = ${property}`}`
  }

  /** A statement that leaves `v` to the closures. */
  #rest ({ read, set }: FieldReader): string {
    const readAndSet = (json: unknown, message: ShapedMessage, depth: number, reading: Reading): boolean => {
      reading.depth = depth
      const value = read(json, reading)
      if (value !== undefined) set(message, value)
      return value !== undefined
    }
    return `if (!${this.code.use(readAndSet)}(v, message, depth + 1, reading)) return undefined`
  }

  #direct (field: protobuf.Field): Direct | undefined {
    const { shape } = this.#readers
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Enum) return isNullValue(resolvedType) ? undefined : this.#enum(resolvedType, field)
    const kind = scalarKind(field.type)
    if ((kind === 'int64' || kind === 'uint64') && shape.longs === 'string') {
      const text = this.code.use(kind === 'int64' ? isInteger : isNatural)
      const range = `v > -${kind === 'int64' ? SAFE_NUMBER : 1} && v < ${SAFE_NUMBER}`
      return { when: `typeof v === 'string' ? ${text}(v) : Number.isInteger(v) && ${range}`, value: 'String(v)', isUnset: 'v == 0' }
    }
    return SCALARS[kind]
  }

  #enum (type: protobuf.Enum, field: protobuf.Field): Direct {
    const shaper = shaperOf(this.#readers.shape, field) ?? ((number: number) => number)
    const shaped = new Map(Object.entries(type.values).map(([name, number]) => [name, shaper(number as never)]))
    const name = this.code.use(shaped)
    return { when: `${name}.has(v)`, value: `${name}.get(v)`, isUnset: `${name}.get(v) === ${sourceOf(shaper(defaultOf(field) as never))}` }
  }
}

/** Bits for what may come once only. */
class Bits {
  readonly #byThing = new Map<unknown, number>()

  /** A statement that gives up at the second time. */
  take (thing: unknown): string {
    const bit = this.#byThing.get(thing) ?? this.#byThing.size
    this.#byThing.set(thing, bit)
    const word = `seen${Math.floor(bit / BITS)}`
    const mask = 2 ** (bit % BITS)
    return `if ((${word} & ${mask}) !== 0) return undefined; ${word} |= ${mask}; `
  }

  get declaration (): string {
    return Array.from({ length: Math.ceil(this.#byThing.size / BITS) }, (_, i) => `let seen${i} = 0;`).join(' ')
  }
}

/** Whether nothing about the type is beyond generated code. */
function isUsual (type: protobuf.Type, { shape }: MessageReaders): boolean {
  return !hasOwnJson(type) && type.fieldsArray.every(field => !field.resolve().required && propertyOf(shape, field) !== '__proto__' && oneofPropertyOf(shape, field) !== '__proto__')
}

function atDepth (read: ValueReader): (json: unknown, depth: number, reading: Reading) => unknown {
  return (json, depth, reading) => {
    reading.depth = depth
    return read(json, reading)
  }
}

/** Statements that check an element, `e` in place of `v`. */
function element (source: string, when: string, otherwise = 'break'): string {
  return `const e = ${source}; if (!(${inner(when)})) { ${otherwise} }`
}

function inner (source: string): string {
  return source.replace(/\bv\b/g, 'e')
}

function sourceOf (value: unknown): string {
  return typeof value === 'string' ? literal(value) : Object.is(value, -0) ? '-0' : String(value)
}
