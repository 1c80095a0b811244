/** What must not get into logs: secrets, and characters that would make a line look like another. */
import type { Metadata } from '@grpc/grpc-js'

const REDACTED = '[redacted]'

/** Names of headers and metadata whose values are credentials, or may be. */
const SECRET = /^cookie$|^set-cookie$|authori[sz]ation|token|secret|passw|credential|api-?key|session|signature|-bin$/

/** In UTF-16 units. */
const LONGEST_TEXT = 256

/** Controls, line separators, marks that change the direction of a text, unpaired surrogates. */
// eslint-disable-next-line no-control-regex
const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\p{Cf}\p{Cs}]/gu
const PLAIN = /^[ -~]*$/

/** A text of anybody in a form that can be logged. */
export function loggable (text: string): string {
  const cut = text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT)}…`
  return PLAIN.test(cut) ? cut : cut.replace(HARMFUL, '\ufffd')
}

/** @param more names, beside those that are redacted anyway; lower-case */
export function redactor (more: readonly string[]): (metadata: Metadata) => Record<string, string> {
  const names = new Set(more)
  return metadata => Object.fromEntries(Object.keys(metadata.getMap()).map(key => [
    key,
    names.has(key) || SECRET.test(key) ? REDACTED : loggable(metadata.get(key).join(', '))
  ]))
}
