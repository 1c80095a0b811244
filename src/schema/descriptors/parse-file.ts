/**
 * Reads .proto files to descriptors: all that can be known of a file by itself. `link` does the rest. (protobufjs
 * leaves out much of what is in a file, such as which imports are public, or the digits of long numbers.)
 *
 * @see https://protobuf.com/docs/language-spec
 */
import { PATH, type FileDescriptorProto, type MethodDescriptorProto, type ServiceDescriptorProto } from './descriptor.ts'
import { parseEnum } from './parse-enum.ts'
import { parseExtend, parseMessage, parseVisibility } from './parse-message.ts'
import { parseOptionStatement, type OptionStatement } from './parse-options.ts'
import { addOptions, inScope, type ParsedFile, type Parsing } from './parsing.ts'
import { TokenReader } from './token-reader.ts'

/** `EDITION_2023` is 1000, and the next ones follow it. */
const EDITIONS: Readonly<Record<string, number>> = { 2023: 1000, 2024: 1001, 2026: 1002 }

/** @throws what is wrong and in which line */
export function parseFile (name: string, source: string): ParsedFile {
  const tokens = new TokenReader(source)
  const file: FileDescriptorProto = { name, dependency: [], public_dependency: [], weak_dependency: [], option_dependency: [], message_type: [], enum_type: [], service: [], extension: [] }
  const parsing: Parsing = { tokens, file, references: [], options: [] }
  const options: OptionStatement[] = []
  while (tokens.current.kind !== 'end') {
    if (!tokens.take(';')) parseStatement(parsing, options)
  }
  addOptions(parsing, 'File', inScope(file.package ?? '', '*'), file, options)
  if (tokens.locations.length > 0) file.source_code_info = { location: tokens.locations }
  return { file, references: parsing.references, options: parsing.options }
}

function parseStatement (parsing: Parsing, options: OptionStatement[]): void {
  const { tokens, file } = parsing
  const { package: scope = '' } = file
  const visibility = parseVisibility(parsing)
  const pathOf = (list: 'message_type' | 'enum_type' | 'service'): number[] => [PATH.file[list], file[list].length]
  if (tokens.at('message')) {
    file.message_type.push(Object.assign(parseMessage(parsing, scope, pathOf('message_type')), visibility))
  } else if (tokens.at('enum')) {
    file.enum_type.push(Object.assign(parseEnum(parsing, scope, pathOf('enum_type')), visibility))
  } else if (tokens.at('service')) {
    file.service.push(parseService(parsing, scope, pathOf('service')))
  } else if (tokens.at('extend')) {
    parseExtend(parsing, { fields: file.extension, fieldsPath: [PATH.file.extension], types: file.message_type, typesPath: [PATH.file.message_type], scope })
  } else if (tokens.at('option')) {
    options.push(parseOptionStatement(tokens))
  } else if (tokens.take('import')) {
    parseImport(parsing)
  } else if (tokens.at('syntax', 'edition')) {
    parseSyntax(parsing)
  } else if (tokens.at('package')) {
    const first = tokens.next()
    file.package = tokens.fullName('the name of a package')
    tokens.expect(';')
    tokens.located([PATH.file.package], first)
  } else {
    tokens.fail('a declaration')
  }
}

function parseSyntax ({ tokens, file }: Parsing): void {
  const first = tokens.next()
  tokens.expect('=')
  const value = tokens.text('a string')
  tokens.expect(';')
  tokens.located([PATH.file.syntax], first)
  if (first.text === 'syntax') {
    file.syntax = value
  } else {
    file.syntax = 'editions'
    file.edition = EDITIONS[value] ?? tokens.fail(`one of the editions ${Object.keys(EDITIONS).join(', ')}, before this`)
  }
}

function parseImport ({ tokens, file }: Parsing): void {
  const kind = (['public', 'weak', 'option'] as const).find(kind => tokens.take(kind))
  const name = tokens.text('the name of a file')
  tokens.expect(';')
  if (kind === 'option') {
    file.option_dependency.push(name)
    return
  }
  const index = file.dependency.push(name) - 1
  if (kind !== undefined) file[`${kind}_dependency`].push(index)
}

function parseService (parsing: Parsing, scope: string, path: readonly number[]): ServiceDescriptorProto {
  const { tokens } = parsing
  const first = tokens.next()
  const service: ServiceDescriptorProto = { name: tokens.name('the name of a service'), method: [] }
  const name = inScope(scope, service.name)
  const options: OptionStatement[] = []
  tokens.expect('{')
  tokens.located(path, first)
  tokens.block(() => {
    if (tokens.at('option')) options.push(parseOptionStatement(tokens))
    else service.method.push(parseMethod(parsing, name, [...path, PATH.service.method, service.method.length]))
  })
  addOptions(parsing, 'Service', name, service, options)
  return service
}

function parseMethod (parsing: Parsing, scope: string, path: readonly number[]): MethodDescriptorProto {
  const { tokens } = parsing
  const first = tokens.current
  tokens.expect('rpc')
  const method: MethodDescriptorProto = { name: tokens.name('the name of a method'), input_type: '', output_type: '' }
  if (parseMethodType(parsing, scope, name => { method.input_type = name })) method.client_streaming = true
  tokens.expect('returns')
  if (parseMethodType(parsing, scope, name => { method.output_type = name })) method.server_streaming = true
  const options: OptionStatement[] = []
  const hasBody = tokens.take('{')
  if (!hasBody) tokens.expect(';')
  tokens.located(path, first)
  if (hasBody) tokens.block(() => options.push(parseOptionStatement(tokens)))
  addOptions(parsing, 'Method', inScope(scope, method.name), method, options)
  return method
}

/** @returns whether it streams */
function parseMethodType ({ tokens, references }: Parsing, scope: string, resolve: (fullName: string) => void): boolean {
  tokens.expect('(')
  const streams = tokens.at('stream') && tokens.following!.text !== ')' && tokens.take('stream')
  references.push({ name: tokens.fullName('a message'), scope, resolve })
  tokens.expect(')')
  return streams
}
