/** What is known of a .proto file while it is read: its descriptor, and what can be settled only with its imports. */
import type { FileDescriptorProto, MessageValue } from './descriptor.ts'
import type { OptionStatement } from './parse-options.ts'
import type { TokenReader } from './token-reader.ts'

/** The name of a type in the scope in which it is written. */
export interface Reference {
  readonly name: string
  readonly scope: string
  /** Takes the full name, with a leading dot. */
  resolve (fullName: string, kind: 'message' | 'enum'): void
}

/** The options of one thing, as they are written. */
export interface Options {
  /** `google.protobuf.FieldOptions` */
  readonly type: string
  readonly scope: string
  readonly target: { options?: MessageValue }
  readonly statements: readonly OptionStatement[]
}

export interface ParsedFile {
  readonly file: FileDescriptorProto
  readonly references: Reference[]
  readonly options: Options[]
}

export interface Parsing extends ParsedFile {
  readonly tokens: TokenReader
}

/** @param kind the first word of the name of their message: `Field`, `Message` */
export function addOptions ({ options }: ParsedFile, kind: string, scope: string, target: Options['target'], statements: readonly OptionStatement[]): void {
  if (statements.length > 0) options.push({ type: `google.protobuf.${kind}Options`, scope, target, statements })
}

export function inScope (scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`
}
