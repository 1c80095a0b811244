/**
 * What a client is told that is not let in: how to authenticate, or what its credentials lack.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 * @see https://www.rfc-editor.org/rfc/rfc6750#section-3
 */
import { Metadata } from '@grpc/grpc-js'
import { configurationErrors, GrpcError } from '../errors.ts'
import { status } from '../status.ts'

/** The header of HTTP, and the trailing metadata over gRPC. */
export const CHALLENGE_KEY = 'www-authenticate'

export const DEFAULT_REALM = 'api'

/** What is wrong with a token, in the words of RFC 6750. */
export interface BearerProblem {
  readonly error: 'invalid_request' | 'invalid_token' | 'insufficient_scope'
  /** For developers. Printable ASCII without quotes and backslashes. */
  readonly description?: string
  /** The scopes that are needed, space-separated. */
  readonly scope?: string
}

/** @param problem undefined when no token was given, of which RFC 6750 wants nothing else said */
export function bearerChallenge (realm: string | undefined, problem?: BearerProblem): string {
  const parameters = { realm, error: problem?.error, error_description: problem?.description, scope: problem?.scope }
  return `Bearer ${Object.entries(parameters).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}="${value}"`).join(', ')}`
}

/** For those who say nothing themselves. */
export const DEFAULT_CHALLENGE = bearerChallenge(DEFAULT_REALM)

/** An error that ends a call with challenges. */
export function challengeError (code: status.UNAUTHENTICATED | status.PERMISSION_DENIED, details: string, challenges: readonly string[], cause?: unknown): GrpcError {
  const metadata = new Metadata()
  for (const challenge of challenges) metadata.add(CHALLENGE_KEY, challenge)
  return new GrpcError(code, details, { metadata, ...(cause === undefined ? {} : { cause }) })
}

/** The challenges of an error that has any. */
export function challengesOf ({ metadata }: GrpcError): string[] {
  return metadata?.get(CHALLENGE_KEY).map(String) ?? []
}

/** The same error; with the usual challenge when it is UNAUTHENTICATED and brings none. */
export function withChallenge (error: unknown): unknown {
  if (!(error instanceof GrpcError) || error.code !== status.UNAUTHENTICATED || challengesOf(error).length > 0) return error
  const metadata = error.metadata?.clone() ?? new Metadata()
  metadata.set(CHALLENGE_KEY, DEFAULT_CHALLENGE)
  return new GrpcError(error.code, error.details, { metadata, errorDetails: error.errorDetails, cause: error.cause })
}

/** @throws FGG_ERR_AUTH when the text would break a challenge */
export function checkedRealm (owner: string, realm: unknown = DEFAULT_REALM): string {
  if (typeof realm === 'string' && /^[ !#-[\]-~]+$/.test(realm)) return realm
  throw new configurationErrors.FGG_ERR_AUTH(owner, '`realm` must be printable ASCII without quotes and backslashes')
}
