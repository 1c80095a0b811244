/**
 * The token that a client sends: `authorization: Bearer <token>`, a header over HTTP and metadata over gRPC.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6750#section-2.1
 */
import type { Metadata } from '@grpc/grpc-js'
import { status } from '../status.ts'
import { bearerChallenge, challengeError, DEFAULT_REALM, type BearerProblem } from './challenge.ts'

/** Longer ones are no tokens. They would fit in no header of Node.js, and only just in metadata. */
const LONGEST_TOKEN = 16 * 1024

/** `b64token`: what a Bearer token is made of. */
export const TOKEN = /^[\w.~+/-]+=*$/

/**
 * The Bearer token of a call; undefined when it has none, be it that there are credentials of another scheme. The
 * name of the scheme may be in any case.
 *
 * @param realm for the challenge of the error
 * @throws GrpcError UNAUTHENTICATED when the token is malformed, or there are several `authorization` headers
 */
export function bearerToken ({ metadata }: { readonly metadata: Metadata }, realm = DEFAULT_REALM): string | undefined {
  const [credentials, ...others] = metadata.get('authorization')
  if (credentials === undefined) return undefined
  if (others.length > 0) throw refusedToken('The call has several authorization headers', realm, 'invalid_request')
  const text = String(credentials).trim()
  const scheme = text.split(' ', 1)[0]!
  if (scheme.toLowerCase() !== 'bearer') return undefined
  return checkedToken(text.slice(scheme.length).trimStart(), realm)
}

/** @throws GrpcError UNAUTHENTICATED for what is no token */
export function checkedToken (token: string, realm: string): string {
  if (token.length > LONGEST_TOKEN || !TOKEN.test(token)) throw refusedToken('The Bearer token is malformed', realm, 'invalid_request')
  return token
}

/** The error for a call without a token. */
export function missingToken (realm: string): Error {
  return challengeError(status.UNAUTHENTICATED, 'A Bearer token is required', [bearerChallenge(realm)])
}

/** The error for a token that is not taken. @param details without quotes and backslashes */
export function refusedToken (details: string, realm: string, error: BearerProblem['error'] = 'invalid_token', cause?: unknown): Error {
  return challengeError(status.UNAUTHENTICATED, details, [bearerChallenge(realm, { error, description: details })], cause)
}
