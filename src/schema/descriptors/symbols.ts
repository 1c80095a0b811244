/** What files define, by full names, and how names in files are resolved. */
import type { DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto } from './descriptor.ts'
import { inScope } from './parsing.ts'

export type Definition = { readonly fullName: string, readonly file: FileDescriptorProto } & (
  | { readonly kind: 'message', readonly descriptor: DescriptorProto }
  | { readonly kind: 'enum', readonly descriptor: EnumDescriptorProto }
  | { readonly kind: 'extension', readonly descriptor: FieldDescriptorProto }
)

export class SymbolTable {
  readonly #files = new Map<string, FileDescriptorProto>()
  readonly #definitions = new Map<string, Definition>()
  readonly #imported = new Map<FileDescriptorProto, Set<string>>()

  add (file: FileDescriptorProto): void {
    this.#files.set(file.name, file)
    this.#addAll(file, file.package ?? '', { message: file.message_type, enum: file.enum_type, extension: file.extension })
  }

  #addAll (file: FileDescriptorProto, scope: string, { message, enum: enums, extension }: { message: DescriptorProto[], enum: EnumDescriptorProto[], extension: FieldDescriptorProto[] }): void {
    const define = (definition: Definition): void => { this.#definitions.set(definition.fullName, definition) }
    for (const descriptor of enums) define({ kind: 'enum', fullName: inScope(scope, descriptor.name), file, descriptor })
    for (const descriptor of extension) define({ kind: 'extension', fullName: inScope(scope, descriptor.name), file, descriptor })
    for (const descriptor of message) {
      const fullName = inScope(scope, descriptor.name)
      define({ kind: 'message', fullName, file, descriptor })
      this.#addAll(file, fullName, { message: descriptor.nested_type, enum: descriptor.enum_type, extension: descriptor.extension })
    }
  }

  /**
   * Finds what a name means in a scope of a file: what is nearest to the scope, in the file and its imports; else in
   * any file. Where the file does not import that one, it does so from now on.
   */
  resolve<K extends Definition['kind']> (file: FileDescriptorProto, scope: string, name: string, kinds: readonly K[]): Extract<Definition, { kind: K }> | undefined {
    const imported = this.#importedBy(file)
    const definition = this.#nearest(scope, name, found => imported.has(found.file.name) && kinds.includes(found.kind as K)) ??
      this.#nearest(scope, name, found => kinds.includes(found.kind as K))
    if (definition !== undefined && !imported.has(definition.file.name)) {
      file.dependency.push(definition.file.name)
      imported.add(definition.file.name)
    }
    return definition as Extract<Definition, { kind: K }> | undefined
  }

  #nearest (scope: string, name: string, fits: (found: Definition) => boolean): Definition | undefined {
    if (name.startsWith('.')) return this.#nearest('', name.slice(1), fits)
    for (let outer = scope; ; outer = outer.slice(0, Math.max(0, outer.lastIndexOf('.')))) {
      const found = this.#definitions.get(inScope(outer, name))
      if (found !== undefined && fits(found)) return found
      if (outer === '') return undefined
    }
  }

  /** Its own name, those of its imports, and of what these import publicly. */
  #importedBy (file: FileDescriptorProto): Set<string> {
    let names = this.#imported.get(file)
    if (names === undefined) {
      names = new Set([file.name, ...file.dependency, ...file.option_dependency])
      for (const name of names) {
        const imported = this.#files.get(name)
        if (name !== file.name) for (const index of imported?.public_dependency ?? []) names.add(imported!.dependency[index]!)
      }
      this.#imported.set(file, names)
    }
    return names
  }

  /** @param fullName of a message or enum, with or without a leading dot */
  definition<K extends Definition['kind']> (fullName: string, kind: K): Extract<Definition, { kind: K }> {
    const found = this.#definitions.get(fullName.replace(/^\./, ''))
    if (found?.kind !== kind) throw new Error(`there is no ${kind} ${fullName}`)
    return found as Extract<Definition, { kind: K }>
  }

  /** @param key the name of a field, or that of an extension in brackets */
  field (message: DescriptorProto, key: string): FieldDescriptorProto | undefined {
    return key.startsWith('[') ? this.definition(key.slice(1, -1), 'extension').descriptor : message.field.find(({ name }) => name === key)
  }
}
