/** What a client learns of an error: the status of whatever a handler throws, rejects with, emits or passes back. */
import { Metadata, type StatusObject } from '@grpc/grpc-js'
import { GrpcError } from '../errors.ts'
import type { StatusDetails } from '../json/status-details.ts'
import { isStatusCode, status } from '../status.ts'

export interface ErrorPolicy {
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

/** @param given whether the error was passed on as a status, as grpc-js handlers do, rather than thrown */
export type ErrorStatuses = (error: unknown, given?: boolean) => ErrorStatus

/** Makes the function that turns errors into statuses. */
export function errorStatuses (options: ErrorPolicy, statusDetails: StatusDetails): ErrorStatuses {
  const expose = options.expose ?? 'none'

  function statusOf (error: unknown, given: boolean): ErrorStatus {
    if (!isStatusError(error, given)) {
      return { status: { code: status.INTERNAL, details: statusText(exposed(error, expose)), metadata: new Metadata() }, fault: error ?? new Error('The handler failed without an error') }
    }
    const { code } = error
    const details = statusText(textOf(typeof error.details === 'string' ? error.details : error.message))
    const metadata = error.metadata instanceof Metadata ? error.metadata.clone() : new Metadata()
    try {
      if (error instanceof GrpcError && error.errorDetails.length > 0) {
        metadata.set(DETAILS_KEY, statusDetails.encode(code, details, error.errorDetails))
      }
      return { status: { code, details, metadata }, fault: undefined }
    } catch (fault) {
      return { status: { code, details, metadata }, fault }
    }
  }

  return (error, given = false) => {
    try {
      return statusOf(error, given)
    } catch (fault) {
      // Errors may have getters that throw.
      return { status: { code: status.INTERNAL, details: 'Internal error', metadata: new Metadata() }, fault }
    }
  }
}

interface StatusError { code: status, details?: unknown, message?: unknown, metadata?: unknown }

/**
 * A GrpcError, or an error with code and details such as grpc-js clients throw. What a grpc-js handler passes to its
 * callback or emits may have a message in place of details; of what is thrown that would be too little to go by,
 * because exit codes and error numbers of databases are small integers too.
 */
function isStatusError (error: unknown, given: boolean): error is StatusError {
  if (typeof error !== 'object' || error === null || error instanceof DOMException) return false
  const { code, details } = error as StatusError
  return isStatusCode(code) && code !== status.OK && (given || typeof details === 'string')
}

function exposed (error: unknown, expose: 'none' | 'message' | 'stack'): string {
  if (expose === 'none') return 'Internal error'
  if (!(error instanceof Error)) return textOf(error)
  return textOf(expose === 'stack' ? error.stack ?? error.message : error.message)
}

/** Of whatever a handler threw: some objects have no text. */
function textOf (value: unknown): string {
  try {
    return String(value ?? '')
  } catch {
    return ''
  }
}

/** Status messages travel percent-encoded in headers, which have limits and hold no unpaired surrogates. */
export function statusText (details: string): string {
  const text = details.length <= LONGEST_DETAILS ? details : details.slice(0, LONGEST_DETAILS - CUT_MARK.length) + CUT_MARK
  return text.toWellFormed()
}

/** Adds metadata to those of a status. */
export function merged (metadata: Metadata, more: Metadata | undefined): Metadata {
  if (more !== undefined) metadata.merge(more)
  return metadata
}
