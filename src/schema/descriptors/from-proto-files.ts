/** The descriptors of .proto files and of all that they import. */
import { readFileSync } from 'node:fs'
import { basename, dirname, relative, resolve, sep } from 'node:path'
import { configurationErrors } from '../../errors.ts'
import { BUNDLED_DIRS, protoFinder } from '../proto-files.ts'
import { wellKnownFiles, wellKnownName } from './bundled-files.ts'
import { parseFile } from './parse-file.ts'
import type { ParsedFile } from './parsing.ts'
import { serializedFiles } from './serialized-files.ts'

/** A file on its way: found, read, and not yet named, because only the files that import it know its name. */
interface Found {
  readonly path: string
  readonly parsed: ParsedFile
  /** Where its imports are. */
  readonly imports: ReadonlyMap<string, string>
}

/** @throws FGG_ERR_PROTO_SYNTAX, naming the file and what is wrong in it; FGG_ERR_PROTO_NOT_FOUND */
export function filesFromProtos (entries: readonly string[], includeDirs: readonly string[]): Uint8Array[] {
  const find = protoFinder(includeDirs)
  const found = new Map<string, Found>()
  const importNames = new Map<string, string>()
  const importDirs = new Set(includeDirs.map(dir => resolve(dir)))
  const paths = new Set(entries.map(entry => find('', entry)))
  for (const path of paths) {
    const parsed = read(path)
    const imports = new Map<string, string>()
    for (const name of [...parsed.file.dependency, ...parsed.file.option_dependency]) {
      if (wellKnownName(name) !== undefined) continue
      const imported = find(path, name)
      imports.set(name, imported)
      paths.add(imported)
      if (!importNames.has(imported)) importNames.set(imported, name)
      if (imported.endsWith(`${sep}${name}`)) importDirs.add(imported.slice(0, -name.length - 1))
    }
    found.set(path, { path, parsed, imports })
  }
  const names = namesOf([...found.keys()], importNames, [...importDirs, ...BUNDLED_DIRS])
  for (const { path, parsed: { file }, imports } of found.values()) {
    const nameOf = (imported: string): string => names.get(imports.get(imported) ?? '') ?? wellKnownName(imported) ?? imported
    file.name = names.get(path)!
    file.dependency = file.dependency.map(nameOf)
    file.option_dependency = file.option_dependency.map(nameOf)
  }
  try {
    return serializedFiles([...found.values()].map(({ parsed }) => parsed), wellKnownFiles())
  } catch (error) {
    throw new configurationErrors.FGG_ERR_PROTO_SYNTAX(`Cannot describe ${(error as Error).message}`)
  }
}

function read (path: string): ParsedFile {
  try {
    return parseFile(path, readFileSync(path, 'utf8'))
  } catch (error) {
    throw new configurationErrors.FGG_ERR_PROTO_SYNTAX(`Cannot describe ${path}: ${(error as Error).message}`)
  }
}

/**
 * The names of files: those by which they are imported, else those relative to a folder of imports, else without
 * folders. No two are the same.
 */
function namesOf (paths: readonly string[], importNames: ReadonlyMap<string, string>, dirs: readonly string[]): Map<string, string> {
  const names = new Map<string, string>()
  const taken = new Set<string>()
  for (const path of [...paths].sort((a, b) => Number(importNames.has(b)) - Number(importNames.has(a)))) {
    const dir = dirs.find(dir => path.startsWith(`${dir}${sep}`))
    let name = importNames.get(path) ?? (dir === undefined ? basename(path) : relative(dir, path).replaceAll(sep, '/'))
    for (let above = dirname(path); taken.has(name); above = dirname(above)) name = `${basename(above)}/${name}`
    taken.add(name)
    names.set(path, name)
  }
  return names
}
