/** The ids by which requests are known: those that clients choose, and those that are made here. */
import { randomBytes } from 'node:crypto'

const LONGEST_ID = 256

/** What `x-request-id` says; undefined when it is missing or unfit for logs. */
export function clientRequestId (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_ID ? value : undefined
}

/** Of this process: no other has the same, on any machine. */
const prefix = randomBytes(9).toString('base64url')
let count = 0

/** An id that nobody else has: a UUID for each would take a tenth of the time of a small call. */
export function madeRequestId (): string {
  return `${prefix}-${(count++).toString(36)}`
}
