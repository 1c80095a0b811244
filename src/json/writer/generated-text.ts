/**
 * Writers of messages as generated functions that put the text together themselves. They throw at the first value of an
 * unusual form, be it wrong or rare; the compiled closures then say what is wrong, or write it.
 */
import protobuf from 'protobufjs'
import { atDepth, inner, literal } from '../generated-code.ts'
import { hasOwnJson } from '../well-known-types.ts'
import { ownProperty, type Direct } from './direct.ts'
import { memberGroups, type FieldWriter } from './messages.ts'
import { quote } from './text.ts'
import { WriterGenerator } from './writer-generator.ts'
import type { ValueWriter, Writing } from './writing.ts'

type MessageWriter = (message: unknown, depth: number, writing: Writing) => string

export class TextGenerator extends WriterGenerator<MessageWriter> {
  of (type: protobuf.Type): ValueWriter {
    const write = this.functionOf(type)
    return (message, writing) => write(message, 0, writing)
  }

  protected override given (type: protobuf.Type): MessageWriter | undefined {
    return hasOwnJson(type) ? atDepth(this.writers.of(type)) : undefined
  }

  protected override declare (name: string, type: protobuf.Type): string {
    const members = memberGroups(type).map(fields => this.#group(fields.map(field => this.writers.field(field))))
    return `function ${name} (message, depth, writing) {
      ${this.guard()}
      let text = ''
      let v, x
      ${members.join('\n')}
      return text === '' ? ${this.use(atDepth(this.writers.of(type)))}(message, depth, writing) : text + '}'
    }`
  }

  /** Statements that write the one of some fields that is set. */
  #group ([field, ...others]: readonly FieldWriter[]): string {
    if (field === undefined) return ''
    const write = field.field.map ? this.#map(field) : field.field.repeated ? this.#list(field) : this.#single(field)
    const absent = field.absent === undefined ? this.#group(others) : append(field, literal(field.absent))
    return `v = ${ownProperty(field.property)}
      if (v !== undefined && v !== null) { ${write} }${absent === '' ? '' : ` else { ${absent} }`}`
  }

  #single (writer: FieldWriter): string {
    const { field } = writer
    const { resolvedType } = field
    if (resolvedType instanceof protobuf.Type) return append(writer, `${this.call(resolvedType)}(v, depth + 1, writing)`)
    const direct = this.direct(field)
    if (direct === undefined) return this.#rest(writer)
    const add = append(writer, direct.text)
    return `if (${direct.when}) { ${writer.unset === undefined ? add : `if (!(${direct.isUnset})) { ${add} }`} } else { ${this.#rest(writer)} }`
  }

  #list (writer: FieldWriter): string {
    const direct = this.#element(writer.field)
    if (direct === undefined) return this.#rest(writer)
    const element = (index: string): string => `const e = v[${index}]; if (!(${direct.when})) throw undefined`
    return `if (!Array.isArray(v)) throw undefined
      if (v.length === 0) { ${writer.unset === undefined ? append(writer, "'[]'") : ''} } else {
        { ${element('0')}; ${append(writer, `'[' + ${direct.text}`)} }
        for (let i = 1; i < v.length; i++) { ${element('i')}; text += ',' + ${direct.text} }
        text += ']'
      }`
  }

  #map (writer: FieldWriter): string {
    const field = writer.field as protobuf.FieldBase as protobuf.MapField
    const direct = this.#element(writer.field)
    if (direct === undefined || field.keyType !== 'string') return this.#rest(writer)
    return `if (typeof v !== 'object') throw undefined
      const keys = Object.keys(v)
      if (keys.length === 0) { ${this.#rest(writer)} } else {
        for (let i = 0; i < keys.length; i++) {
          const e = v[keys[i]]
          if (!(${direct.when})) throw undefined
          const member = ${this.use(quote)}(keys[i]) + ':' + ${direct.text}
          if (i > 0) text += ',' + member
          else { ${append(writer, "'{' + member")} }
        }
        text += '}'
      }`
  }

  /** Expressions of an element `e`. */
  #element (field: protobuf.Field): Pick<Direct, 'when' | 'text'> | undefined {
    if (field.resolvedType instanceof protobuf.Type) return { when: 'true', text: `${this.call(field.resolvedType)}(e, depth + 1, writing)` }
    const direct = this.direct(field)
    return direct && { when: inner(direct.when), text: inner(direct.text) }
  }

  /** Statements that leave `v` to the closures. */
  #rest (writer: FieldWriter): string {
    const { unset } = writer
    const write = this.use(atDepth(writer.write))
    if (unset === undefined) return append(writer, `${write}(v, depth + 1, writing)`)
    return `x = ${write}(v, depth + 1, writing); if (x !== ${literal(unset)}) { ${append(writer, 'x')} }`
  }
}

function append ({ start }: FieldWriter, text: string): string {
  return `text += (text === '' ? ${literal(`{${start}`)} : ${literal(`,${start}`)}) + ${text}`
}
