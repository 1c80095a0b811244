/** Settles what files say of each other: the types of fields and methods, and options. */
import { interpretOptions } from './interpret-options.ts'
import type { ParsedFile } from './parsing.ts'
import type { SymbolTable } from './symbols.ts'

/**
 * Completes the descriptors of files.
 *
 * @param symbols what other files define; takes what these define
 * @throws naming the file in which something is not defined, or an option is wrong
 */
export function link (files: readonly ParsedFile[], symbols: SymbolTable): void {
  for (const { file } of files) symbols.add(file)
  for (const { file, references } of files) {
    for (const { name, scope, resolve } of references) {
      const found = symbols.resolve(file, scope, name, ['message', 'enum'])
      if (found === undefined) throw new Error(`${file.name}: ${scope} refers to ${name}, which is not defined`)
      resolve(`.${found.fullName}`, found.kind)
    }
  }
  for (const { file, options } of files) {
    try {
      for (const each of options) interpretOptions(symbols, file, each)
    } catch (error) {
      throw new Error(`${file.name}: ${(error as Error).message}`)
    }
  }
}
