/** The tokens of a .proto file, with their places, and the comments around them. */
import { commentsIn, type Comments } from './comments.ts'

export interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'symbol' | 'end'
  readonly text: string
  /** From 0. */
  readonly line: number
  readonly column: number
  /** Those between the token before and this one. */
  readonly comments: Comments
}

const GAP = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)*/y
const TOKEN = /([A-Za-z_]\w*)|(0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)|("(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*')|[^]/y

export function tokensOf (source: string): Token[] {
  const tokens: Token[] = []
  let at = source.startsWith('\uFEFF') ? 1 : 0
  let line = 0
  let lineStart = at
  const pass = (end: number): void => {
    for (let i = source.indexOf('\n', at); i !== -1 && i < end; i = source.indexOf('\n', i + 1)) {
      line++
      lineStart = i + 1
    }
    at = end
  }
  do {
    GAP.lastIndex = at
    const [gap] = GAP.exec(source)!
    pass(at + gap.length)
    TOKEN.lastIndex = at
    const [text, name, number, string] = TOKEN.exec(source) ?? ['']
    const kind = name !== undefined ? 'name' : number !== undefined ? 'number' : string !== undefined ? 'string' : text === '' ? 'end' : 'symbol'
    tokens.push({ kind, text, line, column: at - lineStart, comments: commentsIn(gap, tokens.length === 0, text) })
    pass(at + text.length)
  } while (tokens.at(-1)!.kind !== 'end')
  return tokens
}

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 }
const ESCAPE = /\\(?:([0-7]{1,3})|[xX]([\da-fA-F]{1,2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([^]))/g

/** The bytes that a string token stands for. Its escapes need not make UTF-8. */
export function unquoted (text: string): Buffer {
  const inner = text.slice(1, -1)
  const parts: Buffer[] = []
  let end = 0
  for (const { 0: escape, 1: octal, 2: hex, 3: short, 4: long, 5: simple, index } of inner.matchAll(ESCAPE)) {
    parts.push(Buffer.from(inner.slice(end, index)))
    end = index + escape.length
    const code = short ?? long
    if (code !== undefined) parts.push(Buffer.from(String.fromCodePoint(Number.parseInt(code, 16))))
    else if (simple !== undefined) parts.push(simple in SIMPLE_ESCAPES ? Buffer.of(SIMPLE_ESCAPES[simple]!) : Buffer.from(simple))
    else parts.push(Buffer.of(octal === undefined ? Number.parseInt(hex!, 16) : Number.parseInt(octal, 8)))
  }
  return Buffer.concat([...parts, Buffer.from(inner.slice(end))])
}
