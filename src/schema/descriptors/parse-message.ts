/** Reads messages with all that is in them. */
import { newMessage, PATH, type DescriptorProto, type ExtensionRange, type OneofDescriptorProto } from './descriptor.ts'
import { parseEnum } from './parse-enum.ts'
import { parseField, type FieldOwner, type FieldPlace } from './parse-field.ts'
import { parseOptionList, parseOptionStatement, type OptionStatement } from './parse-options.ts'
import { parseRange, parseReserved } from './parse-reserved.ts'
import { addOptions, inScope, type Parsing } from './parsing.ts'

/** One more than the highest number of a field. */
const END_OF_FIELDS = 2 ** 29

/** @param scope the message, or the package, in which it is declared */
export function parseMessage (parsing: Parsing, scope: string, path: readonly number[]): DescriptorProto {
  const { tokens } = parsing
  const first = tokens.current
  tokens.expect('message')
  const message = newMessage(tokens.name('the name of a message'))
  tokens.expect('{')
  tokens.located(path, first)
  parseMessageBody(parsing, message, inScope(scope, message.name), path)
  return message
}

/** What follows the opening brace of a message or group. */
export function parseMessageBody (parsing: Parsing, message: DescriptorProto, name: string, path: readonly number[]): void {
  const { tokens, file } = parsing
  const options: OptionStatement[] = []
  const pathOf = (list: keyof typeof PATH.message): number[] => [...path, PATH.message[list]]
  const fields: FieldOwner = { fields: message.field, fieldsPath: pathOf('field'), types: message.nested_type, typesPath: pathOf('nested_type'), scope: name }
  tokens.block(() => {
    const visibility = parseVisibility(parsing)
    if (tokens.atKeyword('message')) {
      message.nested_type.push(Object.assign(parseMessage(parsing, name, [...fields.typesPath, message.nested_type.length]), visibility))
    } else if (tokens.atKeyword('enum')) {
      message.enum_type.push(Object.assign(parseEnum(parsing, name, [...pathOf('enum_type'), message.enum_type.length]), visibility))
    } else if (tokens.atKeyword('option')) {
      options.push(parseOptionStatement(tokens))
    } else if (tokens.atKeyword('extend')) {
      parseExtend(parsing, { ...fields, fields: message.extension, fieldsPath: pathOf('extension') })
    } else if (tokens.atKeyword('oneof')) {
      parseOneof(parsing, message, fields, [...pathOf('oneof_decl'), message.oneof_decl.length])
    } else if (tokens.atKeyword('extensions')) {
      parseExtensionRanges(parsing, message, name)
    } else if (tokens.atKeyword('reserved')) {
      parseReserved(parsing, message, END_OF_FIELDS - 1, 1)
    } else {
      parseFieldOrGroup(parsing, fields)
    }
  })
  addOptions(parsing, 'Message', name, message, options)
  if (file.syntax === 'proto3') addSyntheticOneofs(message)
}

function parseFieldOrGroup (parsing: Parsing, owner: FieldOwner, place?: FieldPlace): void {
  const group = parseField(parsing, owner, place)
  if (group !== undefined) parseMessageBody(parsing, group.message, group.name, group.path)
}

/** `export` and `local` of edition 2024. */
export function parseVisibility ({ tokens }: Parsing): { visibility?: number } {
  if (!tokens.at('export', 'local') || !['message', 'enum'].includes(tokens.following!.text)) return {}
  return { visibility: tokens.next().text === 'local' ? 1 : 2 }
}

function parseOneof (parsing: Parsing, message: DescriptorProto, fields: FieldOwner, path: readonly number[]): void {
  const { tokens } = parsing
  const first = tokens.next()
  const oneof: OneofDescriptorProto = { name: tokens.name('the name of a oneof') }
  const oneofIndex = message.oneof_decl.push(oneof) - 1
  const options: OptionStatement[] = []
  tokens.expect('{')
  tokens.located(path, first)
  tokens.block(() => {
    if (tokens.atKeyword('option')) options.push(parseOptionStatement(tokens))
    else parseFieldOrGroup(parsing, fields, { oneof_index: oneofIndex })
  })
  addOptions(parsing, 'Oneof', inScope(fields.scope, oneof.name), oneof, options)
}

/** Each `optional` field of proto3 is in a oneof of its own. These come last. */
function addSyntheticOneofs ({ field: fields, oneof_decl: oneofs }: DescriptorProto): void {
  const names = new Set([...fields, ...oneofs].map(({ name }) => name))
  for (const field of fields) {
    if (field.proto3_optional !== true) continue
    let name = field.name.startsWith('_') ? field.name : `_${field.name}`
    while (names.has(name)) name = `X${name}`
    names.add(name)
    field.oneof_index = oneofs.push({ name }) - 1
  }
}

/** `extend Message { … }` */
export function parseExtend (parsing: Parsing, owner: FieldOwner): void {
  const { tokens } = parsing
  tokens.expect('extend')
  const extendee = tokens.fullName('a message')
  tokens.expect('{')
  tokens.block(() => parseFieldOrGroup(parsing, owner, { extendee }))
}

function parseExtensionRanges (parsing: Parsing, message: DescriptorProto, name: string): void {
  const { tokens } = parsing
  const ranges: ExtensionRange[] = []
  tokens.expect('extensions')
  tokens.list(() => ranges.push(parseRange(parsing, END_OF_FIELDS - 1, 1)))
  const options = parseOptionList(tokens)
  tokens.expect(';')
  for (const range of ranges) addOptions(parsing, 'ExtensionRange', name, range, options)
  message.extension_range.push(...ranges)
}
