/**
 * Writers of messages as generated functions, for values of the usual forms. They throw at the first that is of
 * another, be it wrong or rare; the compiled closures then say what is wrong, or write it.
 */
import protobuf from 'protobufjs'
import { isImplicit, isLong, isNullValue, scalarKind, type ScalarKind } from '../fields.ts'
import { GeneratedCode, literal } from '../generated-code.ts'
import { isInteger, isNatural } from '../integers.ts'
import { DEFAULT_NESTING_LIMIT } from '../options.ts'
import { defaultOf } from '../shape.ts'
import { hasOwnJson } from '../well-known-types.ts'
import { memberGroups, type FieldWriter, type MessageWriters } from './messages.ts'
import { enumTexts } from './scalars.ts'
import { doubleText, floatText, quote } from './text.ts'
import type { ValueWriter, Writing } from './writing.ts'

/** The JSON text of a message; throws, whatever it may be, where the closures have to be asked. */
export function generateWriter (type: protobuf.Type, writers: MessageWriters): ValueWriter {
  const generator = new WriterGenerator(writers)
  const name = generator.message(type)
  const write = generator.code.run<(message: unknown, depth: number, writing: Writing) => string>(name)
  return (message, writing) => write(message, 0, writing)
}

const MAX_FLOAT = 3.4028234663852886e38

/** How a value `v` becomes text: under which condition, by which expression. */
interface Direct {
  readonly when: string
  readonly text: string
  /** The condition under which the value is the default; of a field without presence. */
  readonly isUnset: string
}

class WriterGenerator {
  readonly code = new GeneratedCode()
  readonly #writers: MessageWriters
  readonly #names = new Map<protobuf.Type, string>()

  constructor (writers: MessageWriters) {
    this.#writers = writers
  }

  /** The name of the function that writes a type: `(message, depth, writing) => text`. */
  message (type: protobuf.Type): string {
    const known = this.#names.get(type)
    if (known !== undefined) return known
    const name = hasOwnJson(type) ? this.code.use(atDepth(this.#writers.of(type))) : `write${this.#names.size}`
    this.#names.set(type, name)
    if (!hasOwnJson(type)) this.code.add(this.#declaration(name, type))
    return name
  }

  #declaration (name: string, type: protobuf.Type): string {
    const members = memberGroups(type).map(fields => this.#group(fields.map(field => this.#writers.field(field))))
    return `function ${name} (message, depth, writing) {
      if (typeof message !== 'object' || message === null || depth > ${DEFAULT_NESTING_LIMIT}) throw undefined
      let text = ''
      let v
      ${members.join('\n')}
      return text === '' ? ${this.code.use(atDepth(this.#writers.of(type)))}(message, depth, writing) : text + '}'
    }`
  }

  /** Statements that write the one of some fields that is set. */
  #group ([field, ...others]: readonly FieldWriter[]): string {
    if (field === undefined) return ''
    const write = field.field.map ? this.#map(field) : field.field.repeated ? this.#list(field) : this.#single(field)
    const absent = field.absent === undefined ? this.#group(others) : append(field, literal(field.absent))
    return `v = message[${literal(field.property)}]
      if (v !== undefined && v !== null) { ${write} }${absent === '' ? '' : ` else { ${absent} }`}`
  }

  #single (writer: FieldWriter): string {
    const { field } = writer
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Type) return append(writer, `${this.message(resolvedType)}(v, depth + 1, writing)`)
    const direct = this.#direct(field)
    if (direct === undefined) return this.#rest(writer)
    const add = append(writer, direct.text)
    return `if (${direct.when}) { ${writer.unset === undefined ? add : `if (!(${direct.isUnset})) { ${add} }`} } else { ${this.#rest(writer)} }`
  }

  #list (writer: FieldWriter): string {
    const { resolvedType } = writer.field
    const direct = resolvedType instanceof protobuf.Type
      ? { when: 'true', text: `${this.message(resolvedType)}(v, depth + 1, writing)` }
      : this.#direct(writer.field)
    if (direct === undefined) return this.#rest(writer)
    const element = (index: string): string => `const e = v[${index}]; if (!(${inner(direct.when)})) throw undefined`
    return `if (!Array.isArray(v)) throw undefined
      if (v.length === 0) { ${writer.unset === undefined ? append(writer, "'[]'") : ''} } else {
        { ${element('0')}; ${append(writer, `'[' + ${inner(direct.text)}`)} }
        for (let i = 1; i < v.length; i++) { ${element('i')}; text += ',' + ${inner(direct.text)} }
        text += ']'
      }`
  }

  #map (writer: FieldWriter): string {
    const field = writer.field as protobuf.FieldBase as protobuf.MapField
    const { resolvedType } = field
    const direct = resolvedType instanceof protobuf.Type
      ? { when: 'true', text: `${this.message(resolvedType)}(v, depth + 1, writing)` }
      : this.#direct(writer.field)
    if (direct === undefined || field.keyType !== 'string') return this.#rest(writer)
    return `if (typeof v !== 'object') throw undefined
      const keys = Object.keys(v)
      if (keys.length === 0) { ${this.#rest(writer)} } else {
        for (let i = 0; i < keys.length; i++) {
          const e = v[keys[i]]
          if (!(${inner(direct.when)})) throw undefined
          const member = ${this.code.use(quote)}(keys[i]) + ':' + ${inner(direct.text)}
          if (i > 0) text += ',' + member
          else { ${append(writer, "'{' + member")} }
        }
        text += '}'
      }`
  }

  /** Statements that leave `v` to the closures. */
  #rest (writer: FieldWriter): string {
    const { unset } = writer
    const write = this.code.use(atDepth(writer.write))
    if (unset === undefined) return append(writer, `${write}(v, depth + 1, writing)`)
    return `const x = ${write}(v, depth + 1, writing); if (x !== ${literal(unset)}) { ${append(writer, 'x')} }`
  }

  #direct (field: protobuf.Field): Direct | undefined {
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Enum) return isNullValue(resolvedType) ? undefined : this.#enum(resolvedType, field)
    const kind = scalarKind(field.type)
    if (!isLong(kind)) return this.#scalars()[kind]
    const isText = this.code.use(kind === 'int64' ? isInteger : isNatural)
    const isNumber = `Number.isSafeInteger(v)${kind === 'uint64' ? ' && v >= 0' : ''}`
    const quotes = this.#writers.options.int64 === 'number' ? ['', ''] : ["'\"' + ", " + '\"'"]
    return { when: `typeof v === 'string' ? ${isText}(v) : ${isNumber}`, text: `${quotes[0]}String(v)${quotes[1]}`, isUnset: 'v == 0' }
  }

  #scalars (): Readonly<Partial<Record<ScalarKind, Direct>>> {
    return {
      string: { when: "typeof v === 'string'", text: `${this.code.use(quote)}(v)`, isUnset: "v === ''" },
      bool: { when: "typeof v === 'boolean'", text: "(v ? 'true' : 'false')", isUnset: '!v' },
      int32: { when: '(v | 0) === v', text: 'String(v)', isUnset: 'v === 0' },
      uint32: { when: '(v >>> 0) === v', text: 'String(v)', isUnset: 'v === 0' },
      double: { when: "typeof v === 'number'", text: `${this.code.use(doubleText)}(v)`, isUnset: 'Object.is(v, 0)' },
      float: { when: `typeof v === 'number' && v >= -${MAX_FLOAT} && v <= ${MAX_FLOAT}`, text: `${this.code.use(floatText)}(v)`, isUnset: 'Object.is(v, 0)' }
    }
  }

  #enum (type: protobuf.Enum, field: protobuf.Field): Direct {
    const texts = enumTexts(type, this.#writers.options)
    const name = this.code.use(texts)
    const unset = isImplicit(field) ? texts.get(defaultOf(field)) : undefined
    return { when: `${name}.has(v)`, text: `${name}.get(v)`, isUnset: unset === undefined ? 'false' : `${name}.get(v) === ${literal(unset)}` }
  }
}

function append ({ start }: FieldWriter, text: string): string {
  return `text += (text === '' ? ${literal(`{${start}`)} : ${literal(`,${start}`)}) + ${text}`
}

function atDepth (write: ValueWriter): (value: unknown, depth: number, writing: Writing) => string {
  return (value, depth, writing) => {
    writing.depth = depth
    return write(value, writing)
  }
}

/** The same of an element `e`. */
function inner (source: string): string {
  return source.replace(/\bv\b/g, 'e')
}
