/** Errors on their way between threads, which would lose their codes there. */
import { GrpcError } from '../../errors.ts'
import type { SentError } from './messages.ts'

export function sentError (error: unknown): SentError {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error))
  return { name, message, stack, ...(error instanceof GrpcError ? { code: error.code } : {}) }
}

export function receivedError ({ name, message, stack, code }: SentError): Error {
  const error = code === undefined ? new Error(message) : new GrpcError(code, message)
  return Object.assign(error, { name, stack })
}
