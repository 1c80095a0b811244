/** Reads fields: plain ones, groups, maps, and those that extend another message. */
import protobuf from 'protobufjs'
import { LABEL, newMessage, TYPE, type DescriptorProto, type FieldDescriptorProto } from './descriptor.ts'
import { bytesText, entryName, floatText } from './names.ts'
import { parseOptionList, type OptionStatement, type OptionValue } from './parse-options.ts'
import { addOptions, inScope, type Parsing } from './parsing.ts'

/** Where fields, and the types that are declared with them, belong. */
export interface FieldOwner {
  readonly fields: FieldDescriptorProto[]
  readonly types: DescriptorProto[]
  /** The message, or the package, in which the field is declared. */
  readonly scope: string
  /** Paths of the two lists, for comments. */
  readonly fieldsPath: readonly number[]
  readonly typesPath: readonly number[]
}

/** Beyond what stands before the type, what a field is by where it stands. */
export type FieldPlace = Partial<Pick<FieldDescriptorProto, 'oneof_index' | 'extendee'>>

/** A group is one declaration of a message and of a field. */
interface Group {
  readonly message: DescriptorProto
  readonly name: string
  readonly path: readonly number[]
}

/** @returns the message of a group, whose body follows */
export function parseField (parsing: Parsing, owner: FieldOwner, place: FieldPlace = {}): Group | undefined {
  const { tokens, file } = parsing
  const first = tokens.current
  if (tokens.at('map') && tokens.following?.text === '<') {
    parseMap(parsing, owner)
    return undefined
  }
  const label = (['optional', 'required', 'repeated'] as const).find(label => tokens.take(label))
  const field = newField(label === undefined ? LABEL.optional : LABEL[label], place)
  if (label === 'optional' && file.syntax === 'proto3') field.proto3_optional = true
  const path = [...owner.fieldsPath, owner.fields.length]
  owner.fields.push(field)
  if (field.extendee !== undefined) {
    parsing.references.push({ name: field.extendee, scope: owner.scope, resolve: name => { field.extendee = name } })
  }
  if (tokens.at('group') && tokens.following?.kind === 'name' && file.syntax !== 'proto3') {
    tokens.next()
    const group = parseGroup(parsing, owner, field)
    tokens.located(path, first)
    return group
  }
  typeOf(parsing, owner.scope, field)
  parseRest(parsing, owner.scope, field)
  tokens.expect(';')
  tokens.located(path, first)
  return undefined
}

function newField (label: number, place: FieldPlace): FieldDescriptorProto {
  return { name: '', number: 0, label, json_name: '', ...place }
}

function typeOf ({ tokens, references }: Parsing, scope: string, field: FieldDescriptorProto): void {
  const name = tokens.fullName('a type')
  if (Object.hasOwn(TYPE, name) && !['group', 'message', 'enum'].includes(name)) {
    field.type = TYPE[name as keyof typeof TYPE]
    return
  }
  references.push({
    name,
    scope,
    resolve (fullName, kind) {
      field.type_name = fullName
      field.type = TYPE[kind]
    }
  })
}

/** `name = 1 [options]` */
function parseRest (parsing: Parsing, scope: string, field: FieldDescriptorProto): OptionStatement[] {
  const { tokens } = parsing
  field.name = tokens.name('the name of a field')
  field.json_name = protobuf.util.jsonName(field.name)
  tokens.expect('=')
  field.number = tokens.integer()
  const options = parseOptionList(tokens)
  addOptions(parsing, 'Field', inScope(scope, field.name), field, liftedOptions(field, options))
  return options
}

/** Takes those out that are fields of the descriptor itself. */
function liftedOptions (field: FieldDescriptorProto, options: readonly OptionStatement[]): OptionStatement[] {
  return options.filter(({ path: [name], value }) => {
    if (name === 'json_name') field.json_name = String(value)
    else if (name === 'default') field.default_value = defaultText(field, value)
    else return true
    return false
  })
}

function defaultText ({ type }: FieldDescriptorProto, value: OptionValue): string {
  if (Buffer.isBuffer(value)) return type === TYPE.bytes ? bytesText(value) : value.toString()
  if (typeof value === 'bigint' && (type === TYPE.double || type === TYPE.float)) return floatText(Number(value))
  if (typeof value === 'number') return floatText(value)
  return typeof value === 'object' && 'identifier' in value ? value.identifier : String(value)
}

/** `Name = 1 [options] {` */
function parseGroup (parsing: Parsing, { scope, types, typesPath }: FieldOwner, field: FieldDescriptorProto): Group {
  parseRest(parsing, scope, field)
  parsing.tokens.expect('{')
  const message = newMessage(field.name)
  const name = inScope(scope, message.name)
  const lower = message.name.toLowerCase()
  Object.assign(field, { name: lower, json_name: lower, type: TYPE.group, type_name: `.${name}` })
  return { message, name, path: [...typesPath, types.push(message) - 1] }
}

function parseMap (parsing: Parsing, { fields, types, scope, fieldsPath }: FieldOwner): void {
  const { tokens } = parsing
  const first = tokens.next()
  const path = [...fieldsPath, fields.length]
  const field = newField(LABEL.repeated, {})
  const [key, value] = ['key', 'value'].map((name, i) => ({ ...newField(LABEL.optional, {}), name, json_name: name, number: i + 1 })) as [FieldDescriptorProto, FieldDescriptorProto]
  fields.push(field)
  tokens.expect('<')
  typeOf(parsing, scope, key)
  tokens.expect(',')
  typeOf(parsing, scope, value)
  tokens.expect('>')
  const features = parseRest(parsing, scope, field).filter(({ path }) => path[0] === 'features')
  tokens.expect(';')
  tokens.located(path, first)
  const entry = { ...newMessage(entryName(field.name)), field: [key, value], options: { map_entry: true } }
  const name = inScope(scope, entry.name)
  Object.assign(field, { type: TYPE.message, type_name: `.${name}` })
  for (const each of [key, value]) addOptions(parsing, 'Field', name, each, features)
  types.push(entry)
}
