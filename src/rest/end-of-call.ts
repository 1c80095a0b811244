/** How a call has ended, for forms that tell of it after the messages. */
import type { Metadata } from '@grpc/grpc-js'
import { DETAILS_KEY } from '../call/error-status.ts'
import type { MetadataPosition } from '../call/headers.ts'
import type { Status } from '../call/invocation.ts'
import { status, statusName } from '../status.ts'
import type { HttpError } from './error-body.ts'
import type { HttpGateway } from './gateway.ts'

export interface EndOfCall {
  /** Unless the code is OK. */
  readonly error: HttpError | undefined
  readonly status: {
    readonly code: number
    /** The name of the code: `NOT_FOUND`. */
    readonly status: string
    /** Trailing metadata, under the names that it has as headers. */
    readonly trailers: Readonly<Record<string, readonly string[]>>
  }
}

/** @param http the HTTP status that the error tells of, where it is not that of the code */
export function endOfCall (gateway: HttpGateway, ending: Status, http?: number): EndOfCall {
  const { code, metadata } = ending
  return {
    error: code === status.OK ? undefined : gateway.writeError(ending, http),
    // Not every form tells of it.
    get status () { return { code, status: statusName(code), trailers: listed(gateway, metadata, 'trailing') } }
  }
}

/** Metadata as JSON: under the names that it has as headers, the values of each key in a list. */
export function listed ({ headers }: HttpGateway, metadata: Metadata | null | undefined, position: MetadataPosition): Record<string, string[]> {
  const lists: Record<string, string[]> = {}
  if (metadata != null) headers.toHeaders(metadata, position, (name, value) => { lists[name] = [value].flat() })
  return lists
}

/**
 * The end of a call as HTTP trailers, by the names of gRPC.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
 */
export function httpTrailers ({ headers }: HttpGateway, { code, details, metadata }: Status): Record<string, string> {
  const own: Record<string, string> = { 'grpc-status': String(code) }
  if (code !== status.OK) own['grpc-message'] = percentEncoded(String(details))
  if (metadata == null) return own
  const errorDetails = metadata.get(DETAILS_KEY)[0]
  if (errorDetails instanceof Uint8Array) own[DETAILS_KEY] = Buffer.from(errorDetails).toString('base64')
  const trailers = { ...own }
  headers.toHeaders(metadata, 'trailing', (name, value) => { trailers[name] = [value].flat().join(', ') })
  // Whatever names a user's `outgoing` gives.
  return { ...trailers, ...own }
}

function percentEncoded (text: string): string {
  return text.toWellFormed().replace(/[^ -$&-~]+/g, encodeURIComponent)
}
