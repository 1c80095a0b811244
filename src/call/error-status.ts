/** What a client learns of an error: the status of whatever a handler throws, rejects with, emits or passes back. */
import { Metadata, type StatusObject } from '@grpc/grpc-js'
import { GrpcError } from '../errors.ts'
import { encodeStatusDetails, type TypeRegistry } from '../json/status-details.ts'
import { isStatusCode, status } from '../status.ts'

export interface ErrorOptions {
  /**
   * What a client learns of an error that is no gRPC status: nothing but INTERNAL "Internal error" (`none`), its
   * message, or its stack. Default `none`. The error itself is logged in any case.
   */
  expose?: 'none' | 'message' | 'stack' | undefined
  /** Keep what `setCode` and `setDetails` were told when the handler throws an error that is no gRPC status. Default false. */
  keepCode?: boolean | undefined
}

/** A status ready to be sent. */
export interface ErrorStatus {
  readonly status: StatusObject
  /** What has to be logged: an error that no handler throws on purpose. */
  readonly fault: unknown
}

export const DETAILS_KEY = 'grpc-status-details-bin'

const LONGEST_DETAILS = 4096
const CUT_MARK = '... [truncated]'

/** Makes the function that turns errors into statuses. */
export function errorStatuses (options: ErrorOptions, types: TypeRegistry): (error: unknown) => ErrorStatus {
  const expose = options.expose ?? 'none'
  return error => {
    if (!isStatusError(error)) {
      return { status: { code: status.INTERNAL, details: statusText(exposed(error, expose)), metadata: new Metadata() }, fault: error ?? new Error('The handler failed without an error') }
    }
    const { code } = error
    const details = statusText(String(error.details ?? error.message ?? ''))
    const metadata = error.metadata instanceof Metadata ? error.metadata.clone() : new Metadata()
    try {
      if (error instanceof GrpcError && error.errorDetails.length > 0) {
        metadata.set(DETAILS_KEY, encodeStatusDetails(code, details, error.errorDetails, types))
      }
      return { status: { code, details, metadata }, fault: undefined }
    } catch (fault) {
      return { status: { code, details, metadata }, fault }
    }
  }
}

interface StatusError { code: status, details?: unknown, message?: unknown, metadata?: unknown }

/**
 * A GrpcError, the `{ code, details | message, metadata }` that grpc-js handlers pass to their callback, or the
 * ServiceError of a grpc-js client. The legacy numeric `code` of a DOMException is no status.
 */
function isStatusError (error: unknown): error is StatusError {
  if (typeof error !== 'object' || error === null || error instanceof DOMException) return false
  const { code } = error as { code?: unknown }
  return isStatusCode(code) && code !== status.OK
}

function exposed (error: unknown, expose: 'none' | 'message' | 'stack'): string {
  if (expose === 'none') return 'Internal error'
  if (!(error instanceof Error)) return String(error)
  return expose === 'stack' ? error.stack ?? error.message : error.message
}

/** Status messages travel percent-encoded in headers, which have limits and hold no unpaired surrogates. */
export function statusText (details: string): string {
  const text = details.length <= LONGEST_DETAILS ? details : details.slice(0, LONGEST_DETAILS - CUT_MARK.length) + CUT_MARK
  return text.toWellFormed()
}
