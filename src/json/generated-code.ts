/** Functions made of generated source text, where that is allowed. */

/** Whether the process may make functions of text; `--disallow-code-generation-from-strings` forbids it. */
export const mayGenerate: boolean = (() => {
  try {
    // eslint-disable-next-line no-new-func
    return new Function('return true')() as boolean
  } catch {
    return false
  }
})()

/** A piece of source text that is being written, and the values that it refers to by name. */
export class GeneratedCode {
  readonly #functions: string[] = []
  readonly #values: unknown[] = []
  readonly #names = new Map<unknown, string>()

  /** The name of a value in the text. */
  use (value: unknown): string {
    const known = this.#names.get(value)
    if (known !== undefined) return known
    const name = `use${this.#values.length}`
    this.#values.push(value)
    this.#names.set(value, name)
    return name
  }

  /** Adds the declaration of a function. */
  add (declaration: string): void {
    this.#functions.push(declaration)
  }

  /** Runs the text. @param result an expression */
  run<T> (result: string): T {
    const names = this.#values.map((_, i) => `use${i}`)
    // The text has nothing of a schema in it but what `literal` has quoted.
    // eslint-disable-next-line no-new-func
    return new Function(...names, `'use strict'\n${this.#functions.join('\n')}\nreturn ${result}`)(...this.#values) as T
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
