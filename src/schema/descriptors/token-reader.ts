/** Reads the tokens of one .proto file, and keeps where its declarations are and what comments they have. */
import type { Location } from './descriptor.ts'
import { tokensOf, unquoted, type Token } from './tokens.ts'

const EXACT_BASE: ReadonlyArray<[form: RegExp, prefix: string]> = [[/^0[xX]/, ''], [/^0[0-7]+$/, '0o'], [/^\d+$/, '']]

export class TokenReader {
  readonly #tokens: readonly Token[]
  readonly locations: Location[] = []
  #at = 0

  constructor (source: string) {
    this.#tokens = tokensOf(source)
  }

  /** The token that comes next. */
  get current (): Token {
    return this.#tokens[this.#at]!
  }

  /** The token after that. */
  get following (): Token | undefined {
    return this.#tokens[this.#at + 1]
  }

  get #last (): Token {
    return this.#tokens[this.#at - 1]!
  }

  next (): Token {
    return this.#tokens[this.#at++] ?? this.fail('more')
  }

  /** @throws that something else was expected */
  fail (expected: string): never {
    const { kind, text, line } = this.current ?? this.#tokens.at(-1)!
    throw new Error(`line ${line + 1}: expected ${expected}, got ${kind === 'end' ? 'the end of the file' : text}`)
  }

  at (...texts: readonly string[]): boolean {
    return this.current.kind !== 'string' && texts.includes(this.current.text)
  }

  /** Whether a statement of this keyword begins, and not a field of a type `message.Type`. */
  atKeyword (keyword: string): boolean {
    return this.at(keyword) && this.following?.text !== '.'
  }

  /** Whether the token was there; then it is passed. */
  take (text: string): boolean {
    if (!this.at(text)) return false
    this.#at++
    return true
  }

  expect (text: string): void {
    if (!this.take(text)) this.fail(`'${text}'`)
  }

  name (what: string): string {
    return this.current.kind === 'name' ? this.next().text : this.fail(what)
  }

  /** `a.b.C`, also with a leading dot. */
  fullName (what: string): string {
    let name = this.take('.') ? '.' : ''
    do name += `${name === '' || name === '.' ? '' : '.'}${this.name(what)}`; while (this.take('.'))
    return name
  }

  /** Strings that follow each other are one. */
  bytes (what: string): Buffer {
    if (this.current.kind !== 'string') this.fail(what)
    const parts: Buffer[] = []
    while (this.current.kind === 'string') parts.push(unquoted(this.next().text))
    return Buffer.concat(parts)
  }

  text (what: string): string {
    return this.bytes(what).toString()
  }

  /** Whole numbers are exact. */
  number (): number | bigint {
    if (this.current.kind !== 'number') this.fail('a number')
    const { text } = this.next()
    const [, prefix] = EXACT_BASE.find(([form]) => form.test(text)) ?? []
    return prefix === undefined ? Number.parseFloat(text) : BigInt(prefix + text)
  }

  integer (): number {
    const sign = this.take('-') ? -1 : 1
    const value = this.number()
    return typeof value === 'bigint' ? sign * Number(value) : this.fail('a whole number')
  }

  /** Reads what stands between braces. */
  block (readStatement: () => void): void {
    while (!this.take('}')) {
      if (this.current.kind === 'end') this.fail("'}'")
      if (!this.take(';')) readStatement()
    }
  }

  /** Reads a list with commas. */
  list (readItem: () => void): void {
    do readItem(); while (this.take(','))
  }

  /**
   * Keeps the comments of a declaration, which has just been read to the `;` or `{` that may have one behind it.
   *
   * @param first its first token
   */
  located (path: readonly number[], first: Token): void {
    const { leading, detached } = first.comments
    const { trailing } = this.current.comments
    if (leading === undefined && trailing === undefined && detached.length === 0) return
    const { line, column, text } = this.#last
    this.locations.push({
      path,
      span: [first.line, first.column, ...line === first.line ? [] : [line], column + text.length],
      ...(leading === undefined ? {} : { leading_comments: leading }),
      ...(trailing === undefined ? {} : { trailing_comments: trailing }),
      leading_detached_comments: detached
    })
  }
}
