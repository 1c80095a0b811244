/**
 * Descriptors from what @grpc/proto-loader leaves in its definitions: a file for each package, without imports, syntax
 * and much else. What is missing is made up for as far as it can be told.
 */
import protobuf from 'protobufjs'
import descriptor, { type IDescriptorProto, type IEnumDescriptorProto, type IFieldDescriptorProto, type IFileDescriptorProto, type IServiceDescriptorProto } from 'protobufjs/ext/descriptor.js'
import type { Options } from '../service.ts'
import { bundledFiles } from './bundled-files.ts'
import { LABEL, newMessage, TYPE, type DescriptorProto, type EnumDescriptorProto, type FieldDescriptorProto, type FileDescriptorProto, type MethodDescriptorProto, type ServiceDescriptorProto } from './descriptor.ts'
import { bytesText, entryName } from './names.ts'
import type { OptionStatement, OptionValue } from './parse-options.ts'
import { addOptions, inScope, type ParsedFile } from './parsing.ts'
import { serializedFiles } from './serialized-files.ts'

const EDITION_2023 = 1000

/**
 * @param files decoded, and with maps whose entry types have names that no other types have
 * @param methodOptions by the paths of methods, `/helloworld.Greeter/SayHello`
 * @returns serialized `google.protobuf.FileDescriptorProto`s
 */
export function filesFromProtoLoader (files: readonly IFileDescriptorProto[], methodOptions: ReadonlyMap<string, Options>): Uint8Array[] {
  const bundled = bundledFiles()
  const known = new Set(bundled.flatMap(file => [...file.message_type, ...file.enum_type, ...file.extension].flatMap(({ name }) => [name, protobuf.util.camelCase(name)].map(each => inScope(file.package!, each)))))
  const restorer = (file: IFileDescriptorProto): ParsedFile => new Restorer(file, methodOptions).restored(({ name }) => !known.has(inScope(file.package ?? '', name!)))
  // Decoded messages have the default values of what is not set.
  const plain = files.map(file => descriptor.FileDescriptorProto.toObject(file as never) as IFileDescriptorProto)
  return serializedFiles(plain.map(restorer).filter(({ file }) => [file.message_type, file.enum_type, file.service, file.extension].some(list => list.length > 0)), bundled)
}

class Restorer {
  readonly #source: IFileDescriptorProto
  readonly #methodOptions: ReadonlyMap<string, Options>
  readonly #parsed: ParsedFile

  constructor (source: IFileDescriptorProto, methodOptions: ReadonlyMap<string, Options>) {
    const { name = '', package: scope = '' } = source
    const file: FileDescriptorProto = { name, dependency: [], public_dependency: [], weak_dependency: [], option_dependency: [], message_type: [], enum_type: [], service: [], extension: [] }
    if (scope !== '') file.package = scope
    this.#source = source
    this.#methodOptions = methodOptions
    this.#parsed = { file, references: [], options: [] }
  }

  /** @param isOwn whether something is to be restored, because no other file has it */
  restored (isOwn: (each: { name?: string }) => boolean): ParsedFile {
    const { package: scope = '', service = [] } = this.#source
    const [messages, enums, extensions] = [this.#source.messageType?.filter(isOwn) ?? [], this.#source.enumType?.filter(isOwn) ?? [], this.#source.extension?.filter(isOwn) ?? []]
    const { file } = this.#parsed
    file.syntax = syntaxOf(messages, enums)
    if (file.syntax === 'editions') file.edition = EDITION_2023
    file.message_type = messages.map(message => this.#message(scope, message))
    file.enum_type = enums.map(each => this.#enum(scope, each))
    file.extension = extensions.map(field => this.#field(scope, field))
    file.service = service.map(each => this.#service(scope, each))
    return this.#parsed
  }

  #message (scope: string, source: IDescriptorProto): DescriptorProto {
    const { name = '', field = [], nestedType = [], enumType = [], extension = [], oneofDecl = [], extensionRange = [], options } = source
    const fullName = inScope(scope, name)
    // Extensions are among the fields too, by names with a leading dot.
    const [fields, extended] = [field.filter(({ name }) => !name!.startsWith('.')), field.filter(({ name }) => name!.startsWith('.'))]
    const entries = nestedType.filter(nested => {
      const map = fields.find(({ typeName }) => typeName === nested.name)
      if (nested.options?.mapEntry !== true || map === undefined) return false
      nested.name = map.typeName = entryName(map.name!)
      return true
    })
    const message: DescriptorProto = {
      ...newMessage(name),
      field: fields.map(each => this.#field(fullName, each)),
      extension: extension.map(each => this.#field(fullName, each)),
      nested_type: nestedType.map(nested => Object.assign(this.#message(fullName, nested), entries.includes(nested) ? { options: { map_entry: true } } : {})),
      enum_type: enumType.map(each => this.#enum(fullName, each)),
      extension_range: extensionRange.map(({ start = 1, end = 1 }) => ({ start, end: Math.max(end, start + 1, ...extended.filter(({ number }) => number === end).map(() => end + 1)) }))
    }
    restoreOneofs(message, oneofDecl.map(({ name }) => name!), this.#parsed.file.syntax === 'proto3')
    addOptions(this.#parsed, 'Message', fullName, message, statementsOf(options).filter(({ path }) => path[0] !== 'map_entry'))
    return message
  }

  #field (scope: string, source: IFieldDescriptorProto): FieldDescriptorProto {
    const { name = '', number = 0, label, type, typeName, extendee, defaultValue, oneofIndex, options } = source
    const { syntax } = this.#parsed.file
    const isGroup = type === TYPE.group && typeName?.split('.').at(-1)!.toLowerCase() === name.toLowerCase() && syntax === 'proto2'
    const protoName = isGroup ? name.toLowerCase() : name
    const field: FieldDescriptorProto = { name: protoName, number, label: label as number, json_name: source.jsonName ?? protobuf.util.jsonName(protoName) }
    const { references } = this.#parsed
    if (extendee !== undefined) references.push({ name: extendee, scope, resolve: fullName => { field.extendee = fullName } })
    if (typeName === undefined) {
      field.type = type as number
    } else {
      references.push({
        name: typeName,
        scope,
        resolve (fullName, kind) {
          field.type_name = fullName
          field.type = type === TYPE.group && syntax !== 'editions' ? TYPE.group : TYPE[kind]
        }
      })
    }
    if (defaultValue !== undefined && syntax !== 'proto3') field.default_value = defaultText(field, defaultValue)
    if (oneofIndex !== undefined && source.extendee === undefined) field.oneof_index = oneofIndex
    const statements = statementsOf(options).filter(({ path, value }) => path[0] !== 'packed' || (isPackable(source) && syntax !== 'editions' && !(syntax === 'proto2' && isFalse(value))))
    addOptions(this.#parsed, 'Field', inScope(scope, protoName), field, statements)
    return field
  }

  #enum (scope: string, { name = '', value = [], options }: IEnumDescriptorProto): EnumDescriptorProto {
    const values = value.map(({ name, number }) => ({ name: name!, number: number! }))
    const restored: EnumDescriptorProto = { name, value: values, reserved_range: [], reserved_name: [] }
    const statements = statementsOf(options)
    const hasAlias = new Set(values.map(({ number }) => number)).size < values.length
    if (hasAlias && !statements.some(({ path }) => path[0] === 'allow_alias')) statements.push({ path: ['allow_alias'], value: { identifier: 'true' } })
    addOptions(this.#parsed, 'Enum', inScope(scope, name), restored, statements)
    return restored
  }

  #service (scope: string, { name = '', method = [], options }: IServiceDescriptorProto): ServiceDescriptorProto {
    const fullName = inScope(scope, name)
    const service: ServiceDescriptorProto = {
      name,
      method: method.map(({ name = '', inputType = '', outputType = '', clientStreaming, serverStreaming, options }) => {
        const restored: MethodDescriptorProto = { name, input_type: inputType, output_type: outputType }
        if (clientStreaming === true) restored.client_streaming = true
        if (serverStreaming === true) restored.server_streaming = true
        this.#parsed.references.push(
          { name: inputType, scope: fullName, resolve: name => { restored.input_type = name } },
          { name: outputType, scope: fullName, resolve: name => { restored.output_type = name } }
        )
        const custom = Object.entries(this.#methodOptions.get(`/${fullName}/${name}`) ?? {}).filter(([name]) => name.startsWith('('))
        const statements = [...statementsOf(options), ...custom.map(([name, value]) => ({ path: [name], value: optionValue(value) }))]
        addOptions(this.#parsed, 'Method', inScope(fullName, name), restored, statements)
        return restored
      })
    }
    addOptions(this.#parsed, 'Service', fullName, service, statementsOf(options))
    return service
  }
}

/** Told by what only one syntax has. Without features, what protobufjs knows of proto2 is that nothing is packed. */
function syntaxOf (messages: readonly IDescriptorProto[], enums: readonly IEnumDescriptorProto[]): string {
  const allMessages = new Set(messages)
  for (const { nestedType } of allMessages) for (const nested of nestedType ?? []) allMessages.add(nested)
  const fields = [...allMessages].flatMap(({ field }) => field ?? [])
  const allEnums = [...enums, ...[...allMessages].flatMap(({ enumType }) => enumType ?? [])]
  if ([...fields, ...allMessages, ...allEnums].some(({ options }) => options !== undefined && 'features' in options)) return 'editions'
  const isProto2 = fields.some(field => field.type === TYPE.group || field.label === LABEL.required || field.defaultValue !== undefined || (field.options?.packed === false && !isPackable(field))) ||
    [...allMessages].some(({ extensionRange }) => (extensionRange ?? []).length > 0) ||
    allEnums.some(({ value }) => (value?.[0]?.number ?? 0) !== 0)
  return isProto2 ? 'proto2' : 'proto3'
}

function isPackable ({ label, type }: IFieldDescriptorProto): boolean {
  return label === LABEL.repeated && ![TYPE.string, TYPE.bytes, TYPE.message, TYPE.group].includes(type as never)
}

function isFalse (value: OptionValue): boolean {
  return typeof value === 'object' && 'identifier' in value && value.identifier === 'false'
}

/** Oneofs `_x` around a single field `x` are those of `optional` fields, and come last. */
function restoreOneofs ({ field: fields, oneof_decl: oneofs }: DescriptorProto, names: readonly string[], isProto3: boolean): void {
  const members = names.map((_, i) => fields.filter(field => field.oneof_index === i))
  const isSynthetic = names.map((name, i) => isProto3 && members[i]!.length === 1 && name === `_${members[i]![0]!.name}`)
  for (const synthetic of [false, true]) {
    for (const [i, name] of names.entries()) {
      if (isSynthetic[i] !== synthetic || members[i]!.length === 0) continue
      const index = oneofs.push({ name }) - 1
      for (const field of members[i]!) {
        field.oneof_index = index
        if (synthetic) field.proto3_optional = true
      }
    }
  }
}

function defaultText ({ type }: FieldDescriptorProto, value: string): string {
  if (type === TYPE.bytes) return bytesText(Buffer.from(value))
  return type === TYPE.float || type === TYPE.double ? value.replace('Infinity', 'inf').replace('NaN', 'nan') : value
}

/** Options as statements. */
function statementsOf (options: object | undefined): OptionStatement[] {
  return Object.entries(options ?? {}).map(([name, value]) => ({ path: [snakeCase(name)], value: optionValue(value) }))
}

function optionValue (value: unknown): OptionValue {
  if (Array.isArray(value)) return value.map(optionValue)
  switch (typeof value) {
    case 'boolean': return { identifier: String(value) }
    case 'number': return Number.isInteger(value) ? BigInt(value) : value
    case 'object': return { members: Object.entries(value ?? {}).map(([name, member]) => [snakeCase(name), optionValue(member)]) }
    default: return Buffer.from(String(value))
  }
}

function snakeCase (name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}
