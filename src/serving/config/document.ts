/** A YAML file with the lines of its values: keys of Ray Serve, in snake_case, become camelCase. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node, type Pair, type YAMLMap } from 'yaml'
import { NO_EFFECT, type Schema } from './schema.ts'

/** Where a value stands. */
interface Place {
  readonly line: number
  /** `applications[1].route_prefix`, as the file spells it. */
  readonly label: string
}

const MERGE = '<<'

export class ConfigDocument {
  /** What it holds, without keys that are not known. */
  readonly value: unknown
  /** What may be a mistake, each with file, line and key. */
  readonly warnings: string[] = []
  /** What is no YAML, each with file and line. */
  readonly problems: readonly string[]
  readonly #name: string
  readonly #lines = new LineCounter()
  readonly #document: Document
  /** By JSON pointers in camelCase. */
  readonly #places = new Map<string, Place>()

  /** @param name of the file, for messages */
  constructor (source: string, name: string, schema: Schema) {
    this.#name = name
    this.#document = parseDocument(source, { lineCounter: this.#lines, prettyErrors: false })
    this.problems = this.#document.errors.map(({ message, pos }) => `${name}:${this.#lineAt(pos[0])}: ${message}`)
    this.value = this.problems.length > 0 ? undefined : this.#read(this.#document.contents as Node | null, schema, '', { line: 1, label: '' })
  }

  /**
   * A sentence about a value: `config.yaml:12: applications[1].route_prefix must be a string`.
   *
   * @param pointer of the value, or of one that is not there: then it stands where the one around it does
   */
  at (pointer: string, sentence: string): string {
    const { line, label } = this.#place(pointer)
    return `${this.#name}:${line}: ${label === '' ? 'the configuration' : label} ${sentence}`
  }

  /** A sentence in other words than those of the file. */
  line (pointer: string, sentence: string): string {
    return `${this.#name}:${this.#place(pointer).line}: ${sentence}`
  }

  #place (pointer: string): Place {
    for (let known = pointer; known !== ''; known = known.slice(0, known.lastIndexOf('/'))) {
      const place = this.#places.get(known)
      if (place !== undefined) return place
    }
    return { line: 1, label: '' }
  }

  #read (node: Node | null | undefined, schema: Schema, pointer: string, place: Place): unknown {
    this.#places.set(pointer, place)
    const value = this.#resolve(node)
    if (isMap(value) && schema.properties !== undefined) return this.#readMap(value, schema.properties, pointer, place)
    if (isSeq(value) && schema.items !== undefined) {
      return value.items.map((item, i) => this.#read(item as Node, schema.items!, `${pointer}/${i}`, { line: this.#lineOf(item as Node) ?? place.line, label: `${place.label}[${i}]` }))
    }
    return value?.toJS(this.#document)
  }

  #readMap (map: YAMLMap, properties: Readonly<Record<string, Schema>>, pointer: string, { line: outer, label }: Place): Record<string, unknown> {
    const result: Record<string, unknown> = {}
    for (const { key, value } of this.#pairs(map)) {
      const spelled = isScalar(key) ? String(key.value) : String(key)
      const line = this.#lineOf(key as Node) ?? outer
      const place: Place = { line, label: label === '' ? spelled : `${label}.${spelled}` }
      const name = camelCase(spelled)
      const schema = Object.hasOwn(properties, name) ? properties[name]! : undefined
      if (schema === undefined) {
        this.warnings.push(`${this.#name}:${line}: ${place.label} is not known, and is ignored`)
      } else if (schema.description === NO_EFFECT) {
        if (saysSomething(this.#resolve(value as Node | null)?.toJS(this.#document))) this.warnings.push(`${this.#name}:${line}: ${place.label} ${NO_EFFECT}, and is ignored`)
      } else {
        if (Object.hasOwn(result, name)) this.warnings.push(`${this.#name}:${line}: ${place.label} is given twice, and this one counts`)
        result[name] = this.#read(value as Node | null, schema, `${pointer}/${name}`, place)
      }
    }
    return result
  }

  /** With those that are merged in by `<<`, which others override. */
  #pairs (map: YAMLMap): Pair[] {
    const own = map.items.filter(pair => !isMergeKey(pair))
    const merged = map.items.filter(isMergeKey).flatMap(({ value }) => {
      const source = this.#resolve(value as Node | null)
      const maps = isSeq(source) ? source.items.map(item => this.#resolve(item as Node)) : [source]
      return maps.flatMap(each => isMap(each) ? this.#pairs(each) : [])
    })
    const names = new Set(own.map(({ key }) => camelCase(String(key))))
    return [...merged.filter(({ key }) => !names.has(camelCase(String(key)))), ...own]
  }

  #resolve (node: Node | null | undefined): Node | null | undefined {
    return isAlias(node) ? node.resolve(this.#document) as Node | undefined : node
  }

  #lineOf (node: Node | null | undefined): number | undefined {
    const offset = node?.range?.[0]
    return offset === undefined ? undefined : this.#lineAt(offset)
  }

  #lineAt (offset: number): number {
    return this.#lines.linePos(offset).line
  }
}

function isMergeKey ({ key }: Pair): boolean {
  return isScalar(key) && key.value === MERGE
}

/** `route_prefix` becomes `routePrefix`. */
function camelCase (name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** `routePrefix` becomes `route_prefix`. */
export function snakeCase (name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}

/** `runtime_env: {}` says nothing. */
function saysSomething (value: unknown): boolean {
  if (value === null || value === undefined) return false
  return typeof value !== 'object' || Object.keys(value).length > 0
}
