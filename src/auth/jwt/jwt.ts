/**
 * JSON Web Tokens as Bearer tokens, verified by the package jose.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7519
 * @see https://www.rfc-editor.org/rfc/rfc8725
 */
import type { CallContext } from '../../call/context.ts'
import { GrpcError } from '../../errors.ts'
import type { Authenticator } from '../access.ts'
import { bearerToken, missingToken, refusedToken } from '../bearer-token.ts'
import { loadJose } from './jose.ts'
import { jwtKeys } from './keys.ts'
import { checkedOptions, type JwtOptions } from './options.ts'

/** Whom a token was issued for. */
export interface JwtIdentity {
  readonly type: 'jwt'
  /** The claim `sub`, or that of `subjectClaim`. */
  readonly subject: string
  /** The claim `scope`, split at spaces, or `scp`. */
  readonly scopes: readonly string[]
  /** Everything that the token says. */
  readonly claims: Readonly<Record<string, unknown>>
}

/**
 * Authenticates by JSON Web Tokens. It needs the package jose; without it, the gateway does not start.
 *
 * @throws FGG_ERR_AUTH naming the option that is wrong
 *
 * @example
 * jwt({ jwksUrl: 'https://login.example.com/jwks.json', issuer: 'https://login.example.com/', audience: 'bookstore', algorithms: ['RS256'] })
 */
export function jwt (options: JwtOptions): Authenticator<JwtIdentity> {
  const { verify, ready, realm } = jwtVerifier(options)
  return Object.assign(async (context: CallContext): Promise<JwtIdentity> => {
    const token = bearerToken(context, realm)
    if (token === undefined) throw missingToken(realm)
    return await verify(token, context)
  }, { ready })
}

/** Verifies tokens, wherever they come from. */
export interface JwtVerifier {
  readonly realm: string
  /** What it needs before the first token. */
  readonly ready: Promise<unknown>
  /** @throws GrpcError UNAUTHENTICATED for a token that is not taken */
  verify (token: string, context: CallContext): Promise<JwtIdentity>
}

/** @throws FGG_ERR_AUTH naming the option that is wrong */
export function jwtVerifier (options: JwtOptions): JwtVerifier {
  const { issuer, audience, clockTolerance, requiredClaims, typ, subjectClaim, realm } = checkedOptions(options)
  const keys = jwtKeys(options)
  const verification = { issuer, audience, clockTolerance, requiredClaims, algorithms: [...keys.algorithms], ...typ === undefined ? {} : { typ } }
  const ready = loadJose('jwt').then(jose => ({ jose, keyFor: keys.resolver(jose) }))
  ready.catch(() => {})

  async function verify (token: string, context: CallContext): Promise<JwtIdentity> {
    const { jose, keyFor } = await ready
    try {
      // Two functions of jose by type, one at run time.
      const { payload } = await jose.jwtVerify(token, keyFor(context) as Parameters<typeof jose.jwtVerify>[1], verification)
      const subject = payload[subjectClaim]
      if (typeof subject !== 'string' || subject === '') throw refusedToken(`The token lacks the claim ${subjectClaim}`, realm)
      return { type: 'jwt', subject, scopes: scopesOf(payload), claims: payload }
    } catch (error) {
      if (error instanceof GrpcError || !(error instanceof jose.errors.JOSEError)) throw error
      throw refusedToken(problemOf(error), realm, 'invalid_token', error)
    }
  }

  return { realm, ready, verify }
}

/** What a client may know of why its token is not taken. Of claims it hears only when the signature was right. */
function problemOf ({ code, claim, reason }: { readonly code: string, readonly claim?: unknown, readonly reason?: unknown }): string {
  if (code === 'ERR_JWT_EXPIRED') return 'The token has expired'
  if (code !== 'ERR_JWT_CLAIM_VALIDATION_FAILED') return 'The token is not valid'
  if (claim === 'nbf') return 'The token is not valid yet'
  return reason === 'missing' ? `The token lacks the claim ${String(claim)}` : `The token has the wrong ${String(claim)}`
}

function scopesOf ({ scope, scp }: JwtIdentity['claims']): readonly string[] {
  const given = scope ?? scp
  if (typeof given === 'string') return given.split(' ').filter(name => name !== '')
  return Array.isArray(given) ? given.filter(name => typeof name === 'string') : []
}
