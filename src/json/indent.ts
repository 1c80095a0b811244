/** Lays JSON text out for people, and leaves every value as it is written. */

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^"{}[\],:]+/g

/**
 * @param text JSON without white space between its tokens
 * @param space how many spaces to indent by, or the text to indent by
 */
export function indent (text: string, space: number | string): string {
  const unit = typeof space === 'number' ? ' '.repeat(space) : space
  let depth = 0
  let indented = ''
  let previous = ''
  const newLine = (): string => `\n${unit.repeat(depth)}`
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '}' || token === ']') {
      depth--
      indented += previous === '{' || previous === '[' ? token : newLine() + token
    } else {
      if (previous === '{' || previous === '[' || previous === ',') indented += newLine()
      indented += token === ':' ? ': ' : token
      if (token === '{' || token === '[') depth++
    }
    previous = token
  }
  return indented
}
