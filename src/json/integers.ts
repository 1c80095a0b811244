/** Decimal integers in text, as they are written canonically: `0`, `-7`, but not `07`, `+7` or `-0`. */

/** Integers of so many digits fit into 64 bits, whatever the digits are. */
const SAFE_DIGITS = 18

/** Whether the text is an integer that an int64 holds; it says no to those of 19 digits too. */
export function isInteger (text: string): boolean {
  return text.charCodeAt(0) === 45 ? text !== '-0' && isDigits(text, 1) : isDigits(text, 0)
}

/** The same for an uint64. */
export function isNatural (text: string): boolean {
  return isDigits(text, 0)
}

function isDigits (text: string, start: number): boolean {
  const { length } = text
  if (length === start || length > start + SAFE_DIGITS || (text.charCodeAt(start) === 48 && length > start + 1)) return false
  for (let i = start; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code < 48 || code > 57) return false
  }
  return true
}
