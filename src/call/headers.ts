/**
 * HTTP headers to gRPC metadata and back. Names are mapped once and remembered.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { Metadata, type MetadataValue } from '@grpc/grpc-js'
import { badRequest } from '../errors.ts'

export interface HeaderOptions {
  /**
   * The metadata key for a request header, or undefined to drop the header. Names are lower-case.
   * Default {@link defaultIncoming}.
   */
  incoming?: ((name: string) => string | undefined) | undefined
  /**
   * The response header for a metadata key, or undefined to drop the entry. `kind` says whether the entry is
   * initial or trailing metadata. Default {@link defaultOutgoing}.
   */
  outgoing?: ((key: string, kind: MetadataPosition) => string | undefined) | undefined
}

export type MetadataPosition = 'initial' | 'trailing'

/** Headers that speak of one connection. */
export const HOP_BY_HOP: readonly string[] = ['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings']

/** Headers that speak of one connection or one body, not of the call. */
const NOT_OF_THE_CALL: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'expect', 'host', 'accept-encoding'])
const NOT_OF_THE_CALL_PREFIXES = ['content-', 'grpc-', 'proxy-', 'sec-websocket-', ':']

const ANNOUNCED_PREFIX = 'grpc-metadata-'
const TRAILER_PREFIX = 'grpc-trailer-'

const LETTER_N = 'n'.charCodeAt(0)

/** Clients choose header names, so what is remembered of them has a bound. */
const MOST_NAMES = 1000

function isReserved (name: string): boolean {
  return NOT_OF_THE_CALL.has(name) || NOT_OF_THE_CALL_PREFIXES.some(prefix => name.startsWith(prefix))
}

/**
 * Every header but those of the connection and the body, `host`, `accept-encoding` and gRPC's own becomes
 * metadata of the same name; `grpc-metadata-x` becomes `x`.
 */
export function defaultIncoming (name: string): string | undefined {
  if (name.startsWith(ANNOUNCED_PREFIX)) {
    const key = name.slice(ANNOUNCED_PREFIX.length)
    return key === '' || isReserved(key) ? undefined : key
  }
  return isReserved(name) ? undefined : name
}

/** Initial metadata becomes headers of the same name, trailing metadata `grpc-trailer-x` headers. */
export function defaultOutgoing (key: string, position: MetadataPosition): string | undefined {
  if (isReserved(key)) return undefined
  return position === 'initial' ? key : TRAILER_PREFIX + key
}

export interface HeaderMapper {
  /**
   * @param rawHeaders names and values in turn, as Node.js has them
   * @throws GrpcError INVALID_ARGUMENT when a `-bin` header is not base64
   */
  toMetadata (rawHeaders: readonly string[]): Metadata
  /** Throws what `toMetadata` would throw, without making the metadata. */
  check (rawHeaders: readonly string[]): void
  /** Calls `set` for each header; the values of one key come together. */
  toHeaders (metadata: Metadata, position: MetadataPosition, set: (name: string, value: string | string[]) => void): void
}

export function headerMapper (options: HeaderOptions = {}): HeaderMapper {
  const incoming = remembered(options.incoming ?? defaultIncoming)
  const outgoing = options.outgoing ?? defaultOutgoing
  const keepsSuffix = options.incoming === undefined
  const outgoingNames = {
    initial: remembered(key => tokenOrNone(outgoing(key, 'initial'))),
    trailing: remembered(key => tokenOrNone(outgoing(key, 'trailing')))
  }

  return {
    toMetadata (rawHeaders) {
      const metadata = new Metadata()
      const renamed: Array<[key: string, value: string]> = []
      for (let i = 0; i < rawHeaders.length; i += 2) {
        const key = incoming(rawHeaders[i]!)
        if (key === undefined) continue
        if (key === rawHeaders[i]!.toLowerCase()) add(metadata, key, rawHeaders[i + 1]!)
        else renamed.push([key, rawHeaders[i + 1]!])
      }
      // Hooks and proxies look at `authorization`; `grpc-metadata-authorization` must not get past them.
      const taken = new Set(renamed.map(([key]) => key).filter(key => metadata.get(key).length > 0))
      for (const [key, value] of renamed) if (!taken.has(key)) add(metadata, key, value)
      return metadata
    },
    check (rawHeaders) {
      for (let i = 0; i < rawHeaders.length; i += 2) {
        // Most names do not even end like -bin.
        if (keepsSuffix && (rawHeaders[i]!.charCodeAt(rawHeaders[i]!.length - 1) | 0x20) !== LETTER_N) continue
        const key = incoming(rawHeaders[i]!)
        if (key?.endsWith('-bin') === true) decodeBinary(key, rawHeaders[i + 1]!)
      }
    },
    toHeaders (metadata, position, set) {
      const names = outgoingNames[position]
      for (const key of Object.keys(metadata.getMap())) {
        const name = names(key)
        if (name === undefined) continue
        const values = metadata.get(key).map(headerValue)
        set(name, values.length === 1 ? values[0]! : values)
      }
    }
  }
}

/** Headers that would break the response, or that HTTP/2 refuses, whatever a user's `outgoing` says. */
const NEVER_OUTGOING: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'proxy-connection', 'content-length'])

/** gRPC allows a colon in keys, HTTP does not in header names. */
function tokenOrNone (name: string | undefined): string | undefined {
  const header = name?.toLowerCase()
  return header !== undefined && /^[\w!#$%&'*+.^`|~-]+$/.test(header) && !NEVER_OUTGOING.has(header) ? header : undefined
}

function remembered (map: (name: string) => string | undefined): (name: string) => string | undefined {
  const known = new Map<string, string | undefined>()
  return name => {
    let mapped = known.get(name)
    if (mapped === undefined && !known.has(name)) {
      mapped = map(name.toLowerCase())
      if (known.size < MOST_NAMES) known.set(name, mapped)
    }
    return mapped
  }
}

function add (metadata: Metadata, key: string, value: string): void {
  if (key.endsWith('-bin')) {
    for (const bytes of decodeBinary(key, value)) metadata.add(key, bytes)
  } else if (isLegalKey(key) && isLegalValue(value)) {
    const cookies = key === 'cookie' ? metadata.get(key)[0] : undefined
    if (cookies === undefined) metadata.add(key, value)
    else metadata.set(key, `${cookies as string}; ${value}`) // RFC 9113 8.2.3: HTTP/2 may split one cookie header
  }
}

/** gRPC metadata is ASCII: what HTTP allows beyond has no form in it and is dropped. */
function isLegalKey (key: string): boolean {
  return /^[0-9a-z_.-]+$/.test(key)
}

function isLegalValue (value: string): boolean {
  return /^[ -~]*$/.test(value)
}

/** Several values may be joined by commas; both base64 alphabets are taken, padded or not. */
function decodeBinary (key: string, value: string): Buffer[] {
  return value.split(',').map(part => {
    const text = part.trim()
    if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text) || text.replace(/=+$/, '').length % 4 === 1) {
      throw badRequest([{ field: key, description: 'the header must be base64, because its name ends in -bin' }])
    }
    return Buffer.from(text, 'base64')
  })
}

function headerValue (value: MetadataValue): string {
  return typeof value === 'string' ? value : value.toString('base64')
}
