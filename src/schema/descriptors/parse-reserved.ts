/** Reads ranges of numbers, and what is reserved in messages and enums. */
import type { Range } from './descriptor.ts'
import type { Parsing } from './parsing.ts'

/**
 * Reads `reserved` numbers, or names.
 *
 * @param max the highest number that there can be
 * @param beyond what is added to the end of a range
 */
export function parseReserved (parsing: Parsing, { reserved_range: ranges, reserved_name: names }: { reserved_range: Range[], reserved_name: string[] }, max: number, beyond: 0 | 1): void {
  const { tokens } = parsing
  tokens.expect('reserved')
  tokens.list(() => {
    if (tokens.current.kind === 'string') names.push(tokens.text('a name'))
    else if (tokens.current.kind === 'name') names.push(tokens.name('a name'))
    else ranges.push(parseRange(parsing, max, beyond))
  })
  tokens.expect(';')
}

export function parseRange ({ tokens }: Parsing, max: number, beyond: 0 | 1): Range {
  const start = tokens.integer()
  const last = !tokens.take('to') ? start : tokens.take('max') ? max : tokens.integer()
  return { start, end: last + beyond }
}
