/**
 * What a client accepts.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
 */

interface MediaRange {
  /** A media type, or one with wildcards. */
  readonly range: string
  readonly quality: number
}

/** Clients choose the header, so what is remembered of it has a bound. */
const MOST_HEADERS = 100
const LONGEST_HEADER = 256

/**
 * Makes the function that picks a media type by an `Accept` header: that of the highest quality, and of equals the
 * one that is named more exactly, then earlier. Undefined when none is acceptable.
 *
 * @param offers the media types to choose from; the first one stands for wildcards and for a missing header
 */
export function negotiator (offers: readonly string[]): (accept: string | undefined) => string | undefined {
  const known = new Map<string, string | undefined>()
  return accept => {
    if (accept === undefined || accept === '' || accept === '*/*') return offers[0]
    if (known.has(accept)) return known.get(accept)
    const chosen = choose(parse(accept), offers)
    if (known.size < MOST_HEADERS && accept.length <= LONGEST_HEADER) known.set(accept, chosen)
    return chosen
  }
}

function choose (ranges: readonly MediaRange[], offers: readonly string[]): string | undefined {
  const candidates = offers.map((offer, place) => {
    const matching = ranges.filter(({ range }) => matches(range, offer)).sort((a, b) => exactness(b.range) - exactness(a.range))
    const range = matching[0]
    return range === undefined || range.quality === 0
      ? undefined
      : { offer, quality: range.quality, exactness: exactness(range.range), asked: ranges.indexOf(range), place }
  }).filter(candidate => candidate !== undefined)
  candidates.sort((a, b) => b.quality - a.quality || b.exactness - a.exactness || a.asked - b.asked || a.place - b.place)
  return candidates[0]?.offer
}

function parse (accept: string): MediaRange[] {
  return accept.split(',').map(part => {
    const [range = '', ...parameters] = part.split(';').map(piece => piece.trim().toLowerCase())
    const quality = parameters.find(parameter => /^q\s*=/.test(parameter))
    const value = quality === undefined ? 1 : Number(quality.slice(quality.indexOf('=') + 1))
    return { range, quality: value >= 0 && value <= 1 ? value : 0 }
  }).filter(({ range }) => range !== '')
}

function matches (range: string, offer: string): boolean {
  return range === offer || range === '*/*' || (range.endsWith('/*') && offer.startsWith(range.slice(0, -1)))
}

function exactness (range: string): number {
  return range === '*/*' ? 0 : range.endsWith('/*') ? 1 : 2
}
