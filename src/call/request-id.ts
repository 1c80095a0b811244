/** The ids by which requests are known: those that clients choose, and those that are made here. */
import { randomUUID } from 'node:crypto'

/** The header and the metadata key of the id, on the way in and on every reply. */
export const REQUEST_ID_KEY = 'x-request-id'

/** What clients of Ray Serve name theirs by. */
const RAY_KEY = 'request_id'

/** What may stand in logs, headers and shells as it is: UUIDs, ULIDs, trace ids, base64, `host/pid:count`. */
const HARMLESS = /^[\w.~:/+=@-]{1,128}$/

/** The id that a client, or a proxy, has chosen; undefined when it is missing or not harmless. @param value of a header or metadata key */
export function clientRequestId (value: (key: string) => unknown): string | undefined {
  return harmless(value(REQUEST_ID_KEY)) ?? harmless(value(RAY_KEY))
}

export function harmless (value: unknown): string | undefined {
  return typeof value === 'string' && HARMLESS.test(value) ? value : undefined
}

/** All of a UUID but its last twelve digits: of this process, and no other on any machine. */
const prefix = randomUUID().slice(0, -12)
let count = 0

/** A UUID of version 4 that nobody else has. One that is random throughout takes a tenth of the time of a small call. */
export function madeRequestId (): string {
  return prefix + (count++).toString(16).padStart(12, '0')
}
