/**
 * Descriptor sets (`buf build -o x.binpb`, `protoc --include_imports --include_source_info
 * --descriptor_set_out=x.binpb`) as protobufjs reflection, with the comments and the extension options
 * that protobufjs leaves out.
 *
 * @see https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto
 */
import { gunzipSync } from 'node:zlib'
import protobuf from 'protobufjs'
import descriptor, { type IDescriptorProto, type IFieldDescriptorProto, type IFileDescriptorSet } from 'protobufjs/ext/descriptor.js'
import { configurationErrors } from '../errors.ts'
import { rememberSource } from './descriptors/sources.ts'
import { bundledProto } from './proto-files.ts'

/** The parts of descriptor.proto that are read here, by their proto names. */
interface Described { name: string, options?: Record<string, unknown> }
interface FieldDescriptor extends Described { number: number, json_name?: string }
interface EnumDescriptor extends Described { value?: Described[] }
interface ServiceDescriptor extends Described { method?: Described[] }
interface MessageDescriptor extends Described {
  field?: FieldDescriptor[]
  nested_type?: MessageDescriptor[]
  enum_type?: EnumDescriptor[]
  oneof_decl?: Described[]
}
interface FileDescriptor extends Described {
  package?: string
  message_type?: MessageDescriptor[]
  enum_type?: EnumDescriptor[]
  service?: ServiceDescriptor[]
  source_code_info?: { location?: Array<{ path?: number[], leading_comments?: string, trailing_comments?: string }> }
}

/** The field `file` of `FileDescriptorSet` */
const FILES_OF_SET = 1

/** Field numbers of descriptor.proto, of which the paths of `SourceCodeInfo.Location` are made. */
const FILE = { messages: 4, enums: 5, services: 6 } as const
const MESSAGE = { fields: 2, messages: 3, enums: 4, oneofs: 8 } as const
const ENUM_VALUES = 2
const METHODS = 2

/** `FieldDescriptorProto.TYPE_GROUP` */
const GROUP = 10

/**
 * @param bytes a serialized `google.protobuf.FileDescriptorSet`, gzipped or not
 * @param source names the set in errors
 * @throws FGG_ERR_PROTO_SYNTAX when the bytes are no descriptor set, or the set lacks an import
 */
export function rootFromDescriptorSet (bytes: Uint8Array, source: string, keepCase: boolean): protobuf.Root {
  try {
    const set = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
    const root = fromDescriptor(set, keepCase)
    if (root.files.length === 0) throw new Error('it holds no files')
    for (const file of decodeFiles(set)) annotateFile(root, file)
    rememberSource(root, { isExact: true, files: () => filesOf(set) })
    return root
  } catch (error) {
    throw new configurationErrors.FGG_ERR_PROTO_SYNTAX(`${source} is not a complete descriptor set: ${(error as Error).message}. Make it with \`buf build -o x.binpb\` or \`protoc --include_imports --include_source_info --descriptor_set_out=x.binpb\``)
  }
}

/** The serialized files of a set, as they are in it. */
function filesOf (set: Uint8Array): Uint8Array[] {
  const files: Uint8Array[] = []
  const reader = protobuf.Reader.create(set)
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag >>> 3 === FILES_OF_SET) files.push(reader.bytes())
    else reader.skipType(tag & 7)
  }
  return files
}

/** Reflection with the same names as that of the .proto files. */
function fromDescriptor (bytes: Uint8Array, keepCase: boolean): protobuf.Root {
  const set = descriptor.FileDescriptorSet.decode(bytes) as unknown as IFileDescriptorSet
  for (const { name, messageType = [], extension = [] } of set.file) {
    const inCase = protobuf.common.get(name ?? '') !== null ? wellKnownCase : keepCase ? asIs : protobuf.util.camelCase
    nameFields({ nestedType: messageType, extension }, inCase)
  }
  return protobuf.Root.fromDescriptor(set)
}

function asIs (name: string): string {
  return name
}

/** protobufjs goes by these names of the fields of Any, Value and the like. */
function wellKnownCase (name: string): string {
  return name === 'type_url' ? name : protobuf.util.camelCase(name)
}

/** Names fields by their JSON names, which protobufjs takes for their names. `annotateFile` mends the JSON names. */
export function nameFields ({ field = [], extension = [], oneofDecl = [], nestedType = [] }: IDescriptorProto, inCase: (name: string) => string): void {
  for (const oneof of oneofDecl) oneof.name = inCase(oneof.name!)
  for (const each of [...field, ...extension]) {
    each.jsonName = groupName(each) ?? inCase(each.name!)
    // An extension is in no oneof.
    if (each.proto3Optional === true && !extension.includes(each)) oneofDecl[each.oneofIndex!]!.name = `_${each.jsonName}`
  }
  for (const nested of nestedType) nameFields(nested, inCase)
}

/** A group is one declaration of a type and of a field, whose name protoc makes from that of the type. */
function groupName ({ name, type, typeName }: IFieldDescriptorProto): string | undefined {
  const typeAlone = typeName?.split('.').at(-1)
  return type === GROUP && typeAlone?.toLowerCase() === name ? protobuf.util.lcFirst(typeAlone!) : undefined
}

/** Decodes the files by a descriptor.proto that knows the options which the set itself defines. */
function decodeFiles (set: Uint8Array): FileDescriptor[] {
  let root = protobuf.Root.fromDescriptor(set, { keepCase: true })
  if (root.lookup('google.protobuf.FileDescriptorSet') === null) {
    root = new protobuf.Root()
    root.resolvePath = (_importer, file) => bundledProto(file)
    root.loadSync('google/protobuf/descriptor.proto', { keepCase: true })
  }
  const type = root.lookupType('google.protobuf.FileDescriptorSet')
  return type.toObject(type.decode(set), { longs: String, enums: String }).file
}

/** Gives the reflection of one file its file name, comments and extension options. */
function annotateFile (root: protobuf.Root, file: FileDescriptor): void {
  const comments = new Map<string, string>()
  for (const { path = [], leading_comments: leading, trailing_comments: trailing } of file.source_code_info?.location ?? []) {
    const comment = leading ?? trailing
    if (comment !== undefined) comments.set(path.join('.'), plainText(comment))
  }

  const annotate = (object: protobuf.ReflectionObject, { options }: Described, path: string): void => {
    object.filename = file.name
    object.comment = comments.get(path) ?? null
    const extensions = Object.entries(options ?? {}).filter(([name]) => name.startsWith('.'))
    object.parsedOptions = [object.options ?? {}, ...extensions.map(([name, value]) => ({ [`(${name.slice(1)})`]: value }))]
  }
  const annotateEnum = (scope: protobuf.NamespaceBase, descriptor: EnumDescriptor, path: string): void => {
    const reflection = scope.get(descriptor.name) as protobuf.Enum
    annotate(reflection, descriptor, path)
    descriptor.value?.forEach(({ name }, i) => { reflection.comments[name] = comments.get(`${path}.${ENUM_VALUES}.${i}`) ?? null! })
  }
  const annotateMessage = (scope: protobuf.NamespaceBase, descriptor: MessageDescriptor, path: string): void => {
    if (descriptor.options?.map_entry === true) return
    const reflection = scope.get(descriptor.name) as protobuf.Type
    annotate(reflection, descriptor, path)
    descriptor.field?.forEach((field, i) => {
      const reflected = reflection.fieldsById[field.number]!
      annotate(reflected, field, `${path}.${MESSAGE.fields}.${i}`)
      Object.assign(reflected, { jsonName: field.json_name ?? protobuf.util.jsonName(field.name) })
    })
    descriptor.oneof_decl?.forEach((oneof, i) => annotate(reflection.oneofsArray[i]!, oneof, `${path}.${MESSAGE.oneofs}.${i}`))
    descriptor.enum_type?.forEach((nested, i) => annotateEnum(reflection, nested, `${path}.${MESSAGE.enums}.${i}`))
    descriptor.nested_type?.forEach((nested, i) => annotateMessage(reflection, nested, `${path}.${MESSAGE.messages}.${i}`))
  }

  const scope = (file.package ?? '') === '' ? root : root.lookup(file.package!) as protobuf.Namespace
  file.message_type?.forEach((message, i) => annotateMessage(scope, message, `${FILE.messages}.${i}`))
  file.enum_type?.forEach((descriptor, i) => annotateEnum(scope, descriptor, `${FILE.enums}.${i}`))
  file.service?.forEach((descriptor, i) => {
    const reflection = scope.get(descriptor.name) as protobuf.Service
    annotate(reflection, descriptor, `${FILE.services}.${i}`)
    descriptor.method?.forEach((method, j) => annotate(reflection.methods[method.name]!, method, `${FILE.services}.${i}.${METHODS}.${j}`))
  })
}

/** As protobufjs gives the comments of .proto files: without the space after the slashes. */
function plainText (comment: string): string {
  return comment.split('\n').map(line => line.replace(/^ /, '').trimEnd()).join('\n').trim()
}
