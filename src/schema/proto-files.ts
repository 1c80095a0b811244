/** Where .proto files and their imports are found. */
import { existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { configurationErrors } from '../errors.ts'

/** Of what both have, that of this package is complete. */
export const BUNDLED_DIRS: readonly string[] = [
  bundledProtos(dirname(fileURLToPath(import.meta.url))),
  dirname(createRequire(import.meta.url).resolve('protobufjs/package.json'))
]

/** The absolute path of a google/… or grpc/… file that comes with this package. */
export function bundledProto (file: string): string {
  return existing('', file, BUNDLED_DIRS)
}

/** src/schema and dist/schema both lie two folders below the package. */
function bundledProtos (here: string): string {
  return join(here, '..', '..', 'protos')
}

/**
 * Makes a function that finds an entry file or an import, and returns its absolute path.
 * An entry file is looked for in the working directory, then in `includeDirs`. An import is looked for
 * in `includeDirs`, beside the file that imports it, in the folders above that one, and among the
 * google/api, google/rpc, google/type and grpc/health files that come with this package.
 *
 * @throws FGG_ERR_PROTO_NOT_FOUND, which names the file, its importer and the folders searched
 */
export function protoFinder (includeDirs: readonly string[]): (importer: string, file: string) => string {
  const included = includeDirs.map(dir => resolve(dir))
  return (importer, file) => {
    if (isAbsolute(file)) return existing(importer, file, [''])
    if (importer === '') return existing('', file, [process.cwd(), ...included])
    return existing(importer, file, [...included, ...foldersAbove(importer), ...BUNDLED_DIRS])
  }
}

function existing (importer: string, file: string, dirs: readonly string[]): string {
  for (const dir of dirs) {
    const path = resolve(dir, file)
    if (existsSync(path) && statSync(path).isFile()) return path
  }
  const missing = importer === ''
    ? `Cannot find the proto file ${file}`
    : `Cannot find ${file}, which ${importer} imports. Name the folder that holds it in \`includeDirs\``
  const searched = isAbsolute(file) ? '' : `. Searched: ${dirs.filter(dir => !BUNDLED_DIRS.includes(dir)).join(', ')}`
  throw new configurationErrors.FGG_ERR_PROTO_NOT_FOUND(missing + searched)
}

function foldersAbove (file: string): string[] {
  const folders = []
  for (let dir = dirname(file); ; dir = dirname(dir)) {
    folders.push(dir)
    if (dir === dirname(dir)) return folders
  }
}
