/** Functions made of generated source text, where that is allowed. */
import type protobuf from 'protobufjs'

/** Whether the process may make functions of text; `--disallow-code-generation-from-strings` forbids it. */
export const mayGenerate: boolean = (() => {
  try {
    // eslint-disable-next-line no-new-func
    return new Function('return true')() as boolean
  } catch {
    return false
  }
})()

/** A function for a message type; generated ones call each other. */
export type MessageFunction = (value: unknown, depth: number, state: never) => unknown

/**
 * Functions that are generated from source text, one for each message type. Those that a new one needs are generated
 * with it; those that are there already are used.
 */
export abstract class FunctionGenerator<F extends MessageFunction> {
  readonly #made = new Map<protobuf.Type, F>()
  /** The types of the functions in the text that is being written, with their names. */
  #names = new Map<protobuf.Type, string>()
  #declarations: string[] = []
  /** The values that the text refers to, with their names. */
  #values = new Map<unknown, string>()

  /** The function's declaration, which is to begin with `function`, its name, and three parameters. */
  protected abstract declare (name: string, type: protobuf.Type): string
  /** A function that is there without being generated; undefined when it is to be generated. */
  protected abstract given (type: protobuf.Type): F | undefined

  protected functionOf (type: protobuf.Type): F {
    const made = this.#made.get(type) ?? this.given(type)
    if (made !== undefined) return made
    this.call(type)
    const generated = [...this.#names]
    const parameters = [...this.#values.values()]
    // The text has nothing of a schema in it but what `literal` has quoted.
    // eslint-disable-next-line no-new-func
    const functions = new Function(...parameters, `'use strict'\n${this.#declarations.join('\n')}\nreturn [${generated.map(([, name]) => name).join(', ')}]`)(...this.#values.keys()) as F[]
    generated.forEach(([type], i) => this.#made.set(type, functions[i]!))
    this.#names = new Map()
    this.#declarations = []
    this.#values = new Map()
    return this.#made.get(type)!
  }

  /** The name, in the text, of the function for a type. */
  protected call (type: protobuf.Type): string {
    const named = this.#names.get(type)
    if (named !== undefined) return named
    const made = this.#made.get(type) ?? this.given(type)
    if (made !== undefined) {
      this.#made.set(type, made)
      return this.use(made)
    }
    const name = `f${this.#names.size}_${type.name.replace(/\W/g, '')}`
    this.#names.set(type, name)
    this.#declarations.push(this.declare(name, type))
    return name
  }

  /** The name of a value in the text. */
  use (value: unknown): string {
    const name = this.#values.get(value) ?? `use${this.#values.size}`
    this.#values.set(value, name)
    return name
  }
}

/** A string, number, boolean or null as source text. */
export function sourceOf (value: unknown): string {
  return typeof value === 'string' ? literal(value) : Object.is(value, -0) ? '-0' : String(value)
}

/** A string as source text. */
export function literal (text: string): string {
  return JSON.stringify(text).replace(/\u2028/g, '\\u2028').replace(/\u2029/g, '\\u2029')
}

/** The same expression of an element `e` in place of `v`. */
export function inner (source: string): string {
  return source.replace(/\bv\b/g, 'e')
}

/** A closure as generated functions call it: they count for themselves how deep messages nest. */
export function atDepth<S extends { depth: number }, R> (closure: (value: unknown, state: S) => R): (value: unknown, depth: number, state: S) => R {
  return (value, depth, state) => {
    state.depth = depth
    return closure(value, state)
  }
}
