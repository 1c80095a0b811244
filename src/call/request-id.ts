/** The request id that a client may choose. */
const LONGEST_ID = 256

/** What `x-request-id` says; undefined when it is missing or unfit for logs. */
export function clientRequestId (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_ID ? value : undefined
}
