/** JSON text of strings and numbers. */

// eslint-disable-next-line no-control-regex
const TO_ESCAPE = /["\\\u0000-\u001f\ud800-\udfff]/

/** A JSON string. Unpaired surrogates, which protobuf's text cannot have, become the replacement character. */
export function quote (text: string): string {
  return isPlain(text) ? `"${text}"` : JSON.stringify(text.toWellFormed())
}

/** A regular expression takes longer to start than to read a short text. */
const MOST_SHORT = 12

function isPlain (text: string): boolean {
  const { length } = text
  if (length > MOST_SHORT) return !TO_ESCAPE.test(text)
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x22 || code === 0x5c || (code >= 0xd800 && code <= 0xdfff)) return false
  }
  return true
}

/** A double; JSON.stringify would write `0` for -0, and null for what is not finite. */
export function doubleText (value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  return Number.isFinite(value) ? String(value) : `"${value}"`
}

/** More digits than a float tells apart. */
const MOST_FLOAT_DIGITS = 9

/** A float: not all the digits of the double that holds it, but as many as tell it from other floats. */
export function floatText (value: number): string {
  return doubleText(floatNumber(value))
}

/** The double that is written as a float is. */
export function floatNumber (value: number): number {
  const float = Math.fround(value)
  if (!Number.isFinite(value) || float === 0 || String(float).length <= MOST_FLOAT_DIGITS) return float
  if (!Number.isInteger(value) && String(value).length <= MOST_FLOAT_DIGITS) return value
  for (let digits = 6; digits < MOST_FLOAT_DIGITS; digits++) {
    const short = Number(float.toPrecision(digits))
    if (Math.fround(short) === float) return short
  }
  return Number(float.toPrecision(MOST_FLOAT_DIGITS))
}
