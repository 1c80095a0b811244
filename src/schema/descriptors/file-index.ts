/** What a serialized file defines and imports. */
import protobuf from 'protobufjs'
import descriptor, { type IDescriptorProto, type IEnumDescriptorProto, type IFieldDescriptorProto, type IFileDescriptorProto } from 'protobufjs/ext/descriptor.js'
import { inScope } from './parsing.ts'

export interface FileIndex {
  readonly name: string
  readonly imports: readonly string[]
  /** The full names of all that is in it: services, methods, messages, fields, oneofs, enums, their values, extensions. */
  readonly symbols: readonly string[]
  readonly extensions: ReadonlyArray<{ readonly extendee: string, readonly number: number }>
  /** The full names of messages alone. */
  readonly messages: readonly string[]
}

interface Scope {
  readonly messageType?: IDescriptorProto[]
  readonly enumType?: IEnumDescriptorProto[]
  readonly extension?: IFieldDescriptorProto[]
}

/** @throws when the bytes are no `google.protobuf.FileDescriptorProto` */
export function indexOf (bytes: Uint8Array): FileIndex {
  const file = descriptor.FileDescriptorProto.decode(bytes) as IFileDescriptorProto
  const symbols: string[] = []
  const messages: string[] = []
  const extensions: Array<{ extendee: string, number: number }> = []
  const define = (scope: string, name: string | undefined): string => {
    const fullName = inScope(scope, name ?? '')
    symbols.push(fullName)
    return fullName
  }
  const visit = (scope: string, { messageType = [], enumType = [], extension = [] }: Scope): void => {
    for (const { name, field, oneofDecl, nestedType, ...nested } of messageType) {
      const fullName = define(scope, name)
      messages.push(fullName)
      for (const each of [...field ?? [], ...oneofDecl ?? []]) define(fullName, each.name)
      visit(fullName, { ...nested, messageType: nestedType ?? [] })
    }
    for (const { name, value } of enumType) {
      define(scope, name)
      // Values are beside their enum, not in it.
      for (const each of value ?? []) define(scope, each.name)
    }
    for (const { name, extendee, number } of extension) {
      define(scope, name)
      extensions.push({ extendee: extendee!.replace(/^\./, ''), number: number! })
    }
  }
  const scope = file.package ?? ''
  visit(scope, file)
  for (const { name, method } of file.service ?? []) {
    const fullName = define(scope, name)
    for (const each of method ?? []) define(fullName, each.name)
  }
  return { name: file.name ?? '', imports: file.dependency ?? [], symbols, extensions, messages }
}

/** Field numbers of `FileDescriptorProto` */
const NAME = 1
const DEPENDENCY = 3
const PUBLIC_DEPENDENCY = 10
const WEAK_DEPENDENCY = 11

/** @param names for an import, the files that are there in its place */
export function newImports (imports: readonly string[], names: ReadonlyMap<string, readonly string[]>): string[] {
  return [...new Set(imports.flatMap(imported => names.get(imported) ?? [imported]))]
}

/**
 * Gives a serialized file and its imports other names. All else stays byte for byte.
 *
 * @param names for an import, the files that are there in its place
 */
export function renamed (bytes: Uint8Array, name: string, names: ReadonlyMap<string, readonly string[]>): Uint8Array {
  const { dependency = [], publicDependency = [], weakDependency = [] } = descriptor.FileDescriptorProto.decode(bytes) as IFileDescriptorProto
  const imports = newImports(dependency, names)
  const indexes = (old: readonly number[]): number[] => newImports(old.map(index => dependency[index]), names).map(imported => imports.indexOf(imported))
  const writer = protobuf.Writer.create()
  writer.uint32(NAME << 3 | 2).string(name)
  for (const imported of imports) writer.uint32(DEPENDENCY << 3 | 2).string(imported)
  for (const index of indexes(publicDependency)) writer.uint32(PUBLIC_DEPENDENCY << 3).int32(index)
  for (const index of indexes(weakDependency)) writer.uint32(WEAK_DEPENDENCY << 3).int32(index)
  const rest: Uint8Array[] = []
  const reader = protobuf.Reader.create(bytes)
  while (reader.pos < reader.len) {
    const start = reader.pos
    const tag = reader.uint32()
    reader.skipType(tag & 7)
    if (![NAME, DEPENDENCY, PUBLIC_DEPENDENCY, WEAK_DEPENDENCY].includes(tag >>> 3)) rest.push(bytes.subarray(start, reader.pos))
  }
  return Buffer.concat([writer.finish(), ...rest])
}
