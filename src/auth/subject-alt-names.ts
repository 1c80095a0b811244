/**
 * The subject alternative names of a certificate, from the text in which Node.js gives them.
 *
 * @see https://nodejs.org/api/tls.html#certificate-object
 */

export interface SubjectAltName {
  /** `DNS`, `URI`, `IP Address`, `email`… */
  readonly kind: string
  readonly value: string
}

/** A name. Values that could be taken for several names are JSON strings; an authority may have signed anything. */
const NAME = /([A-Za-z][\w ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

/** Empty for a text that cannot be understood whole. */
export function subjectAltNames (text: string | undefined): SubjectAltName[] {
  const names: SubjectAltName[] = []
  if (text === undefined || text === '') return names
  NAME.lastIndex = 0
  while (NAME.lastIndex < text.length) {
    const match = NAME.exec(text)
    if (match === null) return []
    const [, kind, value] = match
    try {
      names.push({ kind: kind!, value: value!.startsWith('"') ? JSON.parse(value!) : value! })
    } catch {
      return []
    }
  }
  return names
}
