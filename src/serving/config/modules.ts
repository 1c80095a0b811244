/** Import paths: `models/fruit.js:app`, a module and its export. */
import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { configurationErrors } from '../../errors.ts'

export interface ImportPath {
  /** As it was given, for messages. */
  readonly text: string
  /** The absolute path of the file. */
  readonly file: string
  /** Undefined where none is named. */
  readonly exportName: string | undefined
}

export type ModuleExports = Readonly<Record<string, unknown>>

const EXTENSIONS = ['', '.js', '.mjs', '.cjs', '.ts', '.mts']

/**
 * @param folder from which the module is looked for
 * @throws FGG_ERR_CONFIG when there is no such file
 */
export function importPath (text: string, folder: string): ImportPath {
  const [, module, exportName] = /^(.+?)(?::([\p{ID_Start}$_][\p{ID_Continue}$]*))?$/u.exec(text) ?? []
  const file = EXTENSIONS.map(extension => resolve(folder, `${module ?? ''}${extension}`)).find(path => existsSync(path) && statSync(path).isFile())
  if (file === undefined) throw new configurationErrors.FGG_ERR_CONFIG(`${text} can't be imported! There is no module ${resolve(folder, module ?? '')}`)
  return { text, file, exportName }
}

/** @throws FGG_ERR_CONFIG, naming the module, with what goes wrong in it */
export async function importModule ({ text, file }: ImportPath): Promise<ModuleExports> {
  try {
    return await import(pathToFileURL(file).href) as ModuleExports
  } catch (error) {
    throw new configurationErrors.FGG_ERR_CONFIG(`${text} can't be imported! ${reasonOf(error)}`)
  }
}

/** @throws FGG_ERR_CONFIG when the module does not export it */
export function namedExport (exports: ModuleExports, { text, exportName = 'default' }: ImportPath): unknown {
  if (!Object.hasOwn(exports, exportName)) throw new configurationErrors.FGG_ERR_CONFIG(`${text} can't be imported! The module has no export ${exportName}. It has: ${Object.keys(exports).join(', ') || 'none'}`)
  return exports[exportName]
}

/** A syntax error says where it is only in its stack. */
function reasonOf (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ((error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_FILE_EXTENSION') return `${error.message}. This Node.js runs no TypeScript by itself: set NODE_OPTIONS='--import tsx'`
  const place = error instanceof SyntaxError ? /^\S+:\d+(?=\n)/.exec(error.stack ?? '')?.[0] : undefined
  return place === undefined ? error.message : `${place}: ${error.message}`
}
