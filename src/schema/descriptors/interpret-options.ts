/** Gives options the form of the messages that they are: `google.protobuf.FieldOptions` and the like. */
import { LABEL, TYPE, type DescriptorProto, type FieldDescriptorProto, type FileDescriptorProto, type MessageValue } from './descriptor.ts'
import { encode } from './encode.ts'
import type { MessageLiteral, OptionValue } from './parse-options.ts'
import type { Options } from './parsing.ts'
import type { SymbolTable } from './symbols.ts'

interface Scope {
  readonly symbols: SymbolTable
  readonly file: FileDescriptorProto
  readonly scope: string
}

/**
 * Sets the options of a thing. Those that are defined nowhere are left out.
 *
 * @throws naming the option whose value does not fit its type
 */
export function interpretOptions (symbols: SymbolTable, file: FileDescriptorProto, { type, scope, target, statements }: Options): void {
  const inFile = { symbols, file, scope }
  const options: MessageValue = Object.assign(Object.create(null), target.options)
  for (const { path, value } of statements) {
    try {
      setOption(inFile, symbols.definition(type, 'message').descriptor, options, path, value)
    } catch (error) {
      throw new Error(`option ${path.join('.')} of ${scope}: ${(error as Error).message}`)
    }
  }
  if (Object.keys(options).length > 0) target.options = options
}

function setOption (scope: Scope, type: DescriptorProto, message: MessageValue, [name, ...rest]: readonly string[], value: OptionValue): void {
  const found = fieldOf(scope, type, name!.replace(/^\((.+)\)$/, '[$1]'))
  if (found === undefined) return
  const [key, field] = found
  if (rest.length === 0) {
    setField(scope, message, key, field, value)
  } else {
    message[key] ??= Object.create(null)
    setOption(scope, scope.symbols.definition(field.type_name!, 'message').descriptor, message[key] as MessageValue, rest, value)
  }
}

/** @param name that of an extension is in brackets */
function fieldOf ({ symbols, file, scope }: Scope, type: DescriptorProto, name: string): [key: string, field: FieldDescriptorProto] | undefined {
  if (name.startsWith('[')) {
    const extension = symbols.resolve(file, scope, name.slice(1, -1), ['extension'])
    return extension === undefined ? undefined : [`[${extension.fullName}]`, extension.descriptor]
  }
  const field = type.field.find(field => field.name === name || (field.type === TYPE.group && field.type_name!.endsWith(`.${name}`)))
  return field === undefined ? undefined : [field.name, field]
}

function setField (scope: Scope, message: MessageValue, key: string, field: FieldDescriptorProto, value: OptionValue): void {
  if (field.label === LABEL.repeated) {
    const values = Array.isArray(value) ? value as readonly OptionValue[] : [value]
    message[key] = [...message[key] as unknown[] ?? [], ...values.map(each => typed(scope, field, each))]
  } else {
    const single = typed(scope, field, value)
    message[key] = field.type === TYPE.message || field.type === TYPE.group ? Object.assign(message[key] ?? Object.create(null), single) : single
  }
}

function typed (scope: Scope, field: FieldDescriptorProto, value: OptionValue): unknown {
  switch (field.type) {
    case TYPE.message: case TYPE.group: return message(scope, field, value)
    case TYPE.enum: return enumNumber(scope, field, value)
    case TYPE.bool: return bool(value)
    case TYPE.string: return bytes(value).toString()
    case TYPE.bytes: return bytes(value)
    case TYPE.double: case TYPE.float: return float(value)
    case TYPE.int64: case TYPE.uint64: case TYPE.fixed64: case TYPE.sfixed64: case TYPE.sint64: return integer(value)
    default: return Number(integer(value))
  }
}

function message (scope: Scope, { type_name: typeName }: FieldDescriptorProto, value: OptionValue): MessageValue {
  if (!isObject(value) || !('members' in value)) throw new Error('must be a message')
  const type = scope.symbols.definition(typeName!, 'message').descriptor
  const result: MessageValue = Object.create(null)
  for (const [name, member] of value.members) {
    if (/^\[.*\/.*\]$/.test(name)) return packed(scope, name.slice(1, -1), member)
    const found = fieldOf(scope, type, name)
    if (found === undefined) throw new Error(`${typeName!.slice(1)} has no field ${name}`)
    setField(scope, result, ...found, member)
  }
  return result
}

/** A `google.protobuf.Any`, by the URL of its type. */
function packed (scope: Scope, url: string, value: OptionValue): MessageValue {
  const definition = scope.symbols.resolve(scope.file, '', url.slice(url.lastIndexOf('/') + 1), ['message'])
  if (definition === undefined) throw new Error(`there is no message ${url}`)
  const content = message(scope, { type_name: `.${definition.fullName}` } as FieldDescriptorProto, value)
  return { type_url: url, value: encode(scope.symbols, definition.fullName, content) }
}

function enumNumber ({ symbols }: Scope, { type_name: typeName }: FieldDescriptorProto, value: OptionValue): number {
  if (typeof value === 'bigint') return Number(value)
  const name = isObject(value) && 'identifier' in value ? value.identifier : String(value)
  const found = symbols.definition(typeName!, 'enum').descriptor.value.find(each => each.name === name)
  if (found === undefined) throw new Error(`${typeName!.slice(1)} has no value ${name}`)
  return found.number
}

function bool (value: OptionValue): boolean {
  const word = isObject(value) && 'identifier' in value ? value.identifier : String(value)
  if (/^(true|True|t|1)$/.test(word)) return true
  if (/^(false|False|f|0)$/.test(word)) return false
  throw new Error('must be true or false')
}

function bytes (value: OptionValue): Buffer {
  return Buffer.isBuffer(value) ? value : fail('must be a string')
}

function float (value: OptionValue): number {
  if (isObject(value) && 'identifier' in value) {
    return /^inf(inity)?$/i.test(value.identifier) ? Infinity : /^nan$/i.test(value.identifier) ? NaN : fail('must be a number')
  }
  return typeof value === 'bigint' || typeof value === 'number' ? Number(value) : fail('must be a number')
}

function integer (value: OptionValue): bigint {
  return typeof value === 'bigint' ? value : fail('must be a whole number')
}

function isObject (value: OptionValue): value is MessageLiteral | { identifier: string } {
  return typeof value === 'object' && !Array.isArray(value) && !Buffer.isBuffer(value)
}

function fail (problem: string): never {
  throw new Error(problem)
}
