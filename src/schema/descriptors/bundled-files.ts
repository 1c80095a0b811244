/** The google/… files that come with this package. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { BUNDLED_DIRS } from '../proto-files.ts'
import type { FileDescriptorProto } from './descriptor.ts'
import { link } from './link.ts'
import { parseFile } from './parse-file.ts'
import { SymbolTable } from './symbols.ts'

const dir = BUNDLED_DIRS[0]!

const WELL_KNOWN = 'google/protobuf/'

let files: readonly FileDescriptorProto[] | undefined

/** All of them, linked with each other. They are read but once. */
export function bundledFiles (): readonly FileDescriptorProto[] {
  if (files === undefined) {
    const names = readdirSync(join(dir, 'google'), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.proto'))
    const parsed = names.map(name => parseFile(`google/${name.replaceAll(sep, '/')}`, readFileSync(join(dir, 'google', name), 'utf8')))
    link(parsed, new SymbolTable())
    files = parsed.map(({ file }) => file)
  }
  return files
}

/** Those of google/protobuf, which every file may import, whatever other copies of them are around. */
export function wellKnownFiles (): readonly FileDescriptorProto[] {
  return bundledFiles().filter(({ name }) => name.startsWith(WELL_KNOWN))
}

/** The name of the well-known file that an import means: `google/protobuf/any.proto`, also in another folder. */
export function wellKnownName (imported: string): string | undefined {
  const name = imported.slice(Math.max(0, imported.lastIndexOf(WELL_KNOWN)))
  return wellKnownFiles().some(file => file.name === name) ? name : undefined
}
