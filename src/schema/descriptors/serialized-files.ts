/** Files in the form in which reflection serves them. */
import type { FileDescriptorProto } from './descriptor.ts'
import { encode } from './encode.ts'
import { link } from './link.ts'
import type { ParsedFile } from './parsing.ts'
import { SymbolTable } from './symbols.ts'

/**
 * Links files with each other and with others that are linked already.
 *
 * @param linked the well-known ones are among them
 * @returns serialized `google.protobuf.FileDescriptorProto`s: of the files, and of those linked ones that they import
 * @throws naming the file in which something is wrong
 */
export function serializedFiles (parsed: readonly ParsedFile[], linked: readonly FileDescriptorProto[]): Uint8Array[] {
  const symbols = new SymbolTable()
  for (const file of linked) symbols.add(file)
  link(parsed, symbols)
  const files = new Set(parsed.map(({ file }) => file))
  for (const { dependency } of files) {
    for (const file of linked) if (dependency.includes(file.name)) files.add(file)
  }
  return [...files].map(file => encode(symbols, 'google.protobuf.FileDescriptorProto', { ...file }))
}
