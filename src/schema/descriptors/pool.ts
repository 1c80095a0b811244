/** The files of all sources together, found by name, by what they define, and by what they extend. */
import { indexOf, newImports, renamed } from './file-index.ts'
import type { DescriptorSource } from './sources.ts'

export interface PooledFile {
  readonly name: string
  /** A serialized `google.protobuf.FileDescriptorProto`. */
  readonly bytes: Uint8Array
  readonly imports: readonly string[]
}

export class DescriptorPool {
  readonly #files = new Map<string, PooledFile>()
  readonly #bySymbol = new Map<string, string>()
  /** For each message, the files that extend it, by the numbers of the extensions. */
  readonly #extensions = new Map<string, Map<number, string>>()

  /**
   * Sources may have one file under several names, in several versions too, and different files under one name. What
   * defines the same is one file: that of the most exact source, which defines the most. Different files get
   * different names.
   *
   * @throws what the sources throw
   */
  constructor (sources: Iterable<DescriptorSource>) {
    const found = [...sources].flatMap(source => source.files().map(bytes => ({ source, bytes, ...indexOf(bytes) })))
    found.sort((a, b) => Number(b.source.isExact) - Number(a.source.isExact) || b.symbols.length - a.symbols.length)
    /** For each source, the files that stand for one of its own. */
    const names = new Map(found.map(({ source }) => [source, new Map<string, readonly string[]>()]))
    const kept = found.flatMap(file => {
      const { name, source, symbols, messages, extensions } = file
      const known = symbols.filter(symbol => this.#bySymbol.has(symbol))
      const isKnown = symbols.length > 0 ? known.length === symbols.length : this.#files.has(name)
      const owners = isKnown ? new Set(known.map(symbol => this.#bySymbol.get(symbol)!)) : new Set([this.#unusedName(name)])
      names.get(source)!.set(name, owners.size > 0 ? [...owners] : [name])
      if (isKnown) return []
      const [newName] = [...owners] as [string]
      this.#files.set(newName, { ...file, name: newName })
      for (const symbol of symbols) if (!this.#bySymbol.has(symbol)) this.#bySymbol.set(symbol, newName)
      for (const message of messages) this.#extensionsOf(message)
      for (const { extendee, number } of extensions) this.#extensionsOf(extendee).set(number, newName)
      return [{ ...file, newName }]
    })
    for (const { name, bytes, imports, source, newName } of kept) {
      const known = names.get(source)!
      const imported = newImports(imports, known)
      const isSame = newName === name && imported.join() === imports.join()
      this.#files.set(newName, { name: newName, imports: imported, bytes: isSame ? bytes : renamed(bytes, newName, known) })
    }
  }

  #unusedName (name: string): string {
    let unused = name
    for (let i = 2; this.#files.has(unused); i++) unused = name.replace(/(\.proto)?$/, `_${i}$1`)
    return unused
  }

  #extensionsOf (message: string): Map<number, string> {
    const extensions = this.#extensions.get(message) ?? new Map<number, string>()
    this.#extensions.set(message, extensions)
    return extensions
  }

  /** The file of a name, by which others import it. */
  file (name: string): PooledFile | undefined {
    return this.#files.get(name)
  }

  /** The file that defines something, by its full name. */
  fileOf (symbol: string): PooledFile | undefined {
    return this.file(this.#bySymbol.get(symbol) ?? '')
  }

  /** The file that extends a message by a field of that number. */
  fileOfExtension (message: string, number: number): PooledFile | undefined {
    return this.file(this.#extensions.get(message)?.get(number) ?? '')
  }

  /** The numbers of the extensions of a message; undefined when there is no such message. */
  extensionNumbers (message: string): number[] | undefined {
    const extensions = this.#extensions.get(message)
    return extensions === undefined ? undefined : [...extensions.keys()].sort((a, b) => a - b)
  }
}
