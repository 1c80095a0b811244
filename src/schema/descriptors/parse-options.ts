/** Reads options: statements, those in brackets, and the text format of messages in them. */
import type { TokenReader } from './token-reader.ts'

/** A value as it is written. Whole numbers are bigints, strings bytes. */
export type OptionValue = bigint | number | Buffer | Identifier | MessageLiteral | readonly OptionValue[]

/** A word: the name of an enum value, `true`, `inf`. */
export interface Identifier { readonly identifier: string }

/** Members by field names; by names in brackets for extensions, and for the type in a `google.protobuf.Any`. */
export interface MessageLiteral { readonly members: ReadonlyArray<readonly [name: string, value: OptionValue]> }

/** `(test.options.owner).level = HIGH` has a path of `(test.options.owner)` and `level`. */
export interface OptionStatement {
  readonly path: readonly string[]
  readonly value: OptionValue
}

/** `option deprecated = true;` */
export function parseOptionStatement (tokens: TokenReader): OptionStatement {
  tokens.expect('option')
  const option = parseOption(tokens)
  tokens.expect(';')
  return option
}

/** `[deprecated = true, (column) = "a"]`, if there is a bracket. */
export function parseOptionList (tokens: TokenReader): OptionStatement[] {
  const options: OptionStatement[] = []
  if (tokens.take('[')) {
    tokens.list(() => options.push(parseOption(tokens)))
    tokens.expect(']')
  }
  return options
}

function parseOption (tokens: TokenReader): OptionStatement {
  const path: string[] = []
  do {
    if (tokens.take('(')) {
      path.push(`(${tokens.fullName('the name of an option')})`)
      tokens.expect(')')
    } else {
      path.push(tokens.name('the name of an option'))
    }
  } while (tokens.take('.'))
  tokens.expect('=')
  return { path, value: parseValue(tokens) }
}

function parseValue (tokens: TokenReader): OptionValue {
  if (tokens.take('{')) return parseMembers(tokens, '}')
  if (tokens.take('<')) return parseMembers(tokens, '>')
  if (tokens.take('[')) {
    const items: OptionValue[] = []
    if (tokens.take(']')) return items
    tokens.list(() => items.push(parseValue(tokens)))
    tokens.expect(']')
    return items
  }
  if (tokens.current.kind === 'string') return tokens.bytes('a string')
  const isNegative = tokens.take('-')
  if (tokens.current.kind === 'number') {
    const number = tokens.number()
    return isNegative ? -number : number
  }
  const identifier = tokens.name('a value')
  if (!isNegative) return { identifier }
  return /^inf(inity)?$/i.test(identifier) ? -Infinity : NaN
}

function parseMembers (tokens: TokenReader, end: string): MessageLiteral {
  const members: Array<[string, OptionValue]> = []
  while (!tokens.take(end)) {
    const name = tokens.take('[') ? parseBracketedName(tokens) : tokens.name('the name of a field')
    tokens.take(':')
    members.push([name, parseValue(tokens)])
    if (!tokens.take(',')) tokens.take(';')
  }
  return { members }
}

/** `foo.bar]` of an extension, or `type.googleapis.com/foo.Bar]`. */
function parseBracketedName (tokens: TokenReader): string {
  let name = ''
  while (!tokens.take(']')) name += tokens.current.kind === 'end' ? tokens.fail("']'") : tokens.next().text
  return `[${name}]`
}
