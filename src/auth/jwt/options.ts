/** The options of `jwt`, and what can be wrong with them. */
import type { KeyObject } from 'node:crypto'
import { configurationErrors } from '../../errors.ts'
import { checkedRealm } from '../challenge.ts'
import type { JwtAlgorithm } from './algorithms.ts'

/** Exactly one of them says where the keys come from. */
export interface JwtKeyOptions {
  /** Where the issuer publishes its keys: a JSON Web Key Set. It is fetched with the first token, and kept. */
  readonly jwksUrl?: string | URL | undefined
  /** A JSON Web Key Set of public keys. */
  readonly jwks?: { readonly keys: ReadonlyArray<Readonly<Record<string, unknown>>> } | undefined
  /** A public key: PEM, or a KeyObject. */
  readonly key?: string | Buffer | KeyObject | undefined
  /** A secret that is shared with the issuer: bytes, or a text for its UTF-8. 32 bytes or more. */
  readonly secret?: string | Uint8Array | undefined
  /**
   * The signature algorithms that are taken, such as `['RS256']`. Required, but for a `secret`, of which HS256 is the
   * default, a `key` of a curve, and `jwks` whose keys all name their `alg`.
   */
  readonly algorithms?: readonly JwtAlgorithm[] | undefined
  /** How long keys of `jwksUrl` are used before they are fetched anew, in milliseconds. Default 600,000. */
  readonly cacheMaxAgeMs?: number | undefined
  /** How soon a token of an unknown key makes them fetched again, in milliseconds. Default 30,000. */
  readonly cooldownMs?: number | undefined
  /** How long fetching them may take, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number | undefined
  /** Take keys over plain HTTP from other hosts than this one. Who can change them can make tokens. Default false. */
  readonly allowInsecureRequests?: boolean | undefined
}

export interface JwtOptions extends JwtKeyOptions {
  /** Who must have issued the token: its claim `iss`. One of several is enough. */
  readonly issuer: string | readonly string[]
  /** Whom the token must be meant for, which is this API: its claim `aud`. One of several is enough. */
  readonly audience: string | readonly string[]
  /** How far clocks may be apart, in seconds. Default 5. */
  readonly clockToleranceSec?: number | undefined
  /** Claims that a token must have beside `iss`, `aud`, `exp` and the subject. Default none. */
  readonly requiredClaims?: readonly string[] | undefined
  /** What the header `typ` of a token must say, such as `at+jwt` for access tokens of RFC 9068. Default anything. */
  readonly typ?: string | undefined
  /** The claim that says whom the token was issued for. Default `sub`. */
  readonly subjectClaim?: string | undefined
  /** Names the protected space to clients. Default `api`. */
  readonly realm?: string | undefined
}

const OPTIONS: ReadonlyArray<keyof JwtOptions> = [
  'jwksUrl', 'jwks', 'key', 'secret', 'algorithms', 'cacheMaxAgeMs', 'cooldownMs', 'timeoutMs', 'allowInsecureRequests',
  'issuer', 'audience', 'clockToleranceSec', 'requiredClaims', 'typ', 'subjectClaim', 'realm'
]

/** Claim names go into challenges. */
const CLAIM = /^[!#-[\]-~]+$/

export function checkedOptions (options: JwtOptions) {
  if (typeof options !== 'object' || options === null) throw wrong('needs options: `issuer`, `audience`, and keys')
  const unknown = Object.keys(options).find(name => !(OPTIONS as readonly string[]).includes(name))
  if (unknown !== undefined) throw wrong(`has no option \`${unknown}\`. It has: ${OPTIONS.join(', ')}`)
  const { clockToleranceSec = 5, requiredClaims = [], typ, subjectClaim = 'sub' } = options
  if (!(Number.isInteger(clockToleranceSec) && clockToleranceSec >= 0 && clockToleranceSec <= 600)) throw wrong('`clockToleranceSec` must be a whole number of seconds, 0 to 600')
  if (!Array.isArray(requiredClaims) || !requiredClaims.every(isClaim)) throw wrong('`requiredClaims` must be a list of names of claims')
  if (!isClaim(subjectClaim)) throw wrong('`subjectClaim` must be the name of a claim')
  if (typ !== undefined && (typeof typ !== 'string' || typ === '')) throw wrong('`typ` must be text, such as at+jwt')
  return {
    issuer: namesOf('issuer', options.issuer),
    audience: namesOf('audience', options.audience),
    clockTolerance: clockToleranceSec,
    requiredClaims: ['exp', subjectClaim, ...requiredClaims],
    typ,
    subjectClaim,
    realm: checkedRealm('jwt', options.realm)
  }
}

function isClaim (name: unknown): name is string {
  return typeof name === 'string' && CLAIM.test(name)
}

function namesOf (option: string, given: unknown): string[] {
  const names: unknown[] = Array.isArray(given) ? given : [given]
  if (names.length > 0 && names.every(name => typeof name === 'string' && name !== '')) return names as string[]
  throw wrong(`\`${option}\` is required: without it, tokens that are meant for others are taken`)
}

export function wrong (problem: string): Error {
  return new configurationErrors.FGG_ERR_AUTH('jwt', problem)
}
