/**
 * Writers of messages as generated functions: they check the message, make of it what JSON.stringify takes, and leave
 * the text to that. They throw at the first value of an unusual form, be it wrong or rare; the compiled closures then
 * say what is wrong, or write it.
 */
import protobuf from 'protobufjs'
import { atDepth, inner } from '../generated-code.ts'
import { hasOwnJson } from '../well-known-types.ts'
import { ownProperty, type Direct } from './direct.ts'
import { memberGroups, type FieldWriter } from './messages.ts'
import { WriterGenerator } from './writer-generator.ts'
import type { ValueWriter, Writing } from './writing.ts'

type MessageValue = (message: unknown, depth: number, writing: Writing) => unknown

export class ValueGenerator extends WriterGenerator<MessageValue> {
  of (type: protobuf.Type): ValueWriter {
    const valueOf = this.functionOf(type)
    return (message, writing) => {
      const text = JSON.stringify(valueOf(message, 0, writing))
      // So JSON.stringify writes unpaired surrogates, which have no place in protobuf's text.
      if (text.includes('\\ud')) throw new RangeError('Not well-formed')
      return text
    }
  }

  protected override given (type: protobuf.Type): MessageValue | undefined {
    return hasOwnJson(type) ? parsed(this.writers.of(type)) : undefined
  }

  protected override declare (name: string, type: protobuf.Type): string {
    const groups = memberGroups(type).map(fields => fields.map(field => this.writers.field(field)))
    const fields = groups.flat()
    const variable = (field: FieldWriter): string => `f${fields.indexOf(field)}`
    return `function ${name} (message, depth, writing) {
      ${this.guard()}
      let v, x
      ${fields.map(field => `let ${variable(field)}`).join('\n')}
      ${groups.map(group => this.#group(group, variable)).join('\n')}
      return { ${fields.map(field => `[${field.start.slice(0, -1)}]: ${variable(field)}`).join(', ')} }
    }`
  }

  /** Statements that give the one of some fields that is set its variable. */
  #group ([field, ...others]: readonly FieldWriter[], variable: (field: FieldWriter) => string): string {
    if (field === undefined) return ''
    const name = variable(field)
    const make = field.field.map ? this.#map(field, name) : field.field.repeated ? this.#list(field, name) : this.#single(field, name)
    const absent = field.absent === undefined ? this.#group(others, variable) : `${name} = ${field.absent}`
    return `v = ${ownProperty(field.property)}
      if (v !== undefined && v !== null) { ${make} }${absent === '' ? '' : ` else { ${absent} }`}`
  }

  #single (writer: FieldWriter, name: string): string {
    const { field, unset } = writer
    if (field.resolvedType instanceof protobuf.Type) return `${name} = ${this.call(field.resolvedType)}(v, depth + 1, writing)`
    const direct = this.direct(field)
    if (direct === undefined) return this.#rest(writer, name)
    const set = `${name} = ${direct.value}`
    return `if (${direct.when}) { ${unset === undefined ? set : `if (!(${direct.isUnset})) ${set}`} } else { ${this.#rest(writer, name)} }`
  }

  /** A list is left as it is where its values are those of JSON. */
  #list (writer: FieldWriter, name: string): string {
    const { field, unset } = writer
    const element = this.#element(field)
    if (element === undefined) return this.#rest(writer, name)
    return `if (!Array.isArray(v)) throw undefined
      ${unset === undefined ? '' : 'if (v.length > 0) {'}
        let list = ${element.isSame === 'false' ? '[]' : 'v.toJSON === undefined ? v : []'}
        for (let i = 0; i < v.length; i++) {
          const e = v[i]
          if (!(${element.when})) throw undefined
          if (list !== v) list.push(${element.value})
          else if (!(${element.isSame})) { list = v.slice(0, i); list.push(${element.value}) }
        }
        ${name} = list
      ${unset === undefined ? '' : '}'}`
  }

  /** A map, too, or else left to the closures. */
  #map (writer: FieldWriter, name: string): string {
    const field = writer.field as protobuf.FieldBase as protobuf.MapField
    const element = this.#element(writer.field)
    if (element === undefined || field.keyType !== 'string') return this.#rest(writer, name)
    if (element.isSame !== 'false') {
      return `let count = 0, same = Object.getPrototypeOf(v) === Object.prototype && typeof v.toJSON !== 'function'
        if (same) for (const key in v) {
          const e = v[key]
          if (!(${element.when}) || !(${element.isSame})) { same = false; break }
          count++
        }
        if (same && count > 0) ${name} = v
        else { ${this.#rest(writer, name)} }`
    }
    return `if (typeof v !== 'object') throw undefined
      const keys = Object.keys(v)
      if (keys.length === 0) { ${this.#rest(writer, name)} } else {
        ${name} = {}
        for (let i = 0; i < keys.length; i++) {
          const key = keys[i], e = v[key]
          if (key === '__proto__' || !(${element.when})) throw undefined
          ${name}[key] = ${element.value}
        }
      }`
  }

  /** Expressions of an element `e`. */
  #element (field: protobuf.Field): Pick<Direct, 'when' | 'value' | 'isSame'> | undefined {
    if (field.resolvedType instanceof protobuf.Type) return { when: 'true', value: `${this.call(field.resolvedType)}(e, depth + 1, writing)`, isSame: 'false' }
    const direct = this.direct(field)
    return direct && { when: inner(direct.when), value: inner(direct.value), isSame: inner(direct.isSame) }
  }

  /** Statements that leave `v` to the closures. */
  #rest (writer: FieldWriter, name: string): string {
    const write = atDepth(writer.write)
    const { unset } = writer
    const value = (v: unknown, depth: number, writing: Writing): unknown => {
      const text = write(v, depth, writing)
      return text === unset ? undefined : valueOfText(text)
    }
    return `${name} = ${this.use(value)}(v, depth + 1, writing)`
  }
}

function parsed (write: ValueWriter): (value: unknown, depth: number, writing: Writing) => unknown {
  const writeAtDepth = atDepth(write)
  return (value, depth, writing) => valueOfText(writeAtDepth(value, depth, writing))
}

/** What JSON.stringify makes the text of. It makes no -0, and no integers past 2^53. */
function valueOfText (text: string): unknown {
  const isPlainText = text.startsWith('"') && !text.includes('\\')
  const value: unknown = isPlainText ? text.slice(1, -1) : JSON.parse(text)
  if (!isPlainText && JSON.stringify(value) !== text) throw new RangeError('Not the same text')
  return value
}
