/**
 * The text forms of google.protobuf.Timestamp, Duration and FieldMask.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import protobuf from 'protobufjs'

/** Seconds since 1970 or of a duration, and nanoseconds within the second. */
export interface Time {
  readonly seconds: number
  readonly nanos: number
}

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/
const FIRST_SECOND = -62_135_596_800
const LAST_SECOND = 253_402_300_799

/** @returns undefined when the text is no RFC 3339 time between the years 1 and 9999 */
export function parseTimestamp (text: string): Time | undefined {
  const parts = TIMESTAMP.exec(text)
  if (parts === null) return undefined
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [number, number, number, number, number, number]
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (year === 0 || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) return undefined
  const [fraction = '', sign, offsetHours = 0, offsetMinutes = 0] = parts.slice(7)
  if (Number(offsetHours) > 23 || Number(offsetMinutes) > 59) return undefined
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === '-' ? -60 : 60)
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offset
  return seconds < FIRST_SECOND || seconds > LAST_SECOND ? undefined : { seconds, nanos: Number(fraction.padEnd(9, '0')) }
}

/** @returns undefined when the time is not between the years 1 and 9999 */
export function formatTimestamp ({ seconds, nanos }: Time): string | undefined {
  if (!(seconds >= FIRST_SECOND && seconds <= LAST_SECOND && nanos >= 0 && nanos <= 999_999_999)) return undefined
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${formatNanos(nanos)}Z`
}

const DURATION = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/
const LONGEST_DURATION = 315_576_000_000

/** @returns undefined when the text is no number of seconds with `s`, at most 10,000 years */
export function parseDuration (text: string): Time | undefined {
  const parts = DURATION.exec(text)
  if (parts === null) return undefined
  const [, sign, seconds, fraction = ''] = parts
  if (Number(seconds) > LONGEST_DURATION) return undefined
  const direction = sign === '-' ? -1 : 1
  return { seconds: direction * Number(seconds) + 0, nanos: direction * Number(fraction.padEnd(9, '0')) + 0 }
}

/** @returns undefined when the duration is past 10,000 years, or seconds and nanoseconds differ in sign */
export function formatDuration ({ seconds, nanos }: Time): string | undefined {
  if (!(Math.abs(seconds) <= LONGEST_DURATION && Math.abs(nanos) <= 999_999_999) || seconds * nanos < 0) return undefined
  return `${seconds < 0 || nanos < 0 ? '-' : ''}${Math.abs(seconds)}${formatNanos(Math.abs(nanos))}s`
}

/** With three, six or nine digits, as many as are needed. */
function formatNanos (nanos: number): string {
  if (nanos === 0) return ''
  const digits = String(nanos).padStart(9, '0')
  return `.${digits.replace(/(?:000){1,2}$/, '')}`
}

/** @returns undefined when a path is not lowerCamelCase */
export function parseFieldMask (text: string): string[] | undefined {
  if (text === '') return []
  const paths = text.split(',')
  return paths.some(path => !/^[^_\s]+$/.test(path) || !path.isWellFormed()) ? undefined : paths.map(snakeCase)
}

/** @returns undefined when a path would not come back as it is */
export function formatFieldMask (paths: readonly string[]): string | undefined {
  const names = paths.map(protobuf.util.jsonName)
  return names.every((name, i) => snakeCase(name) === paths[i]) ? names.join(',') : undefined
}

export function snakeCase (name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}
