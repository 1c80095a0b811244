/** Static tokens, each of which stands for somebody: for a few callers that cannot have better credentials. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { configurationErrors } from '../errors.ts'
import type { Authenticator } from './access.ts'
import { bearerToken, missingToken, refusedToken, TOKEN } from './bearer-token.ts'
import { checkedRealm } from './challenge.ts'

/** Of whom a static token was given to. */
export interface TokenIdentity {
  readonly type: 'token'
  /** The name under which the token is listed. */
  readonly subject: string
  readonly scopes: readonly string[]
}

export interface StaticTokens {
  /** A token, or several while one is replaced by another; of several, some may be undefined. */
  readonly tokens: string | ReadonlyArray<string | undefined>
  /** What its holders may do, for `requireScopes`. Default nothing. */
  readonly scopes?: readonly string[] | undefined
}

export interface BearerTokensOptions {
  /** Names the protected space to clients. Default `api`. */
  readonly realm?: string | undefined
}

/** About 100 bits when they are base64, and enough to not be a word. */
const SHORTEST_TOKEN = 20

interface Entry {
  readonly identity: TokenIdentity
  readonly hash: Buffer
}

/**
 * Authenticates by tokens that are known beforehand. All are compared in constant time, so that nobody finds one out
 * by how long a refusal takes.
 *
 * @param tokens by the name of whom each was given to
 * @throws FGG_ERR_AUTH for a token that is missing, too short, given twice, or that no header can carry
 *
 * @example
 * bearerTokens({ billing: process.env.BILLING_TOKEN, ops: [process.env.OPS_TOKEN, process.env.NEXT_OPS_TOKEN] })
 */
export function bearerTokens (tokens: Readonly<Record<string, StaticTokens['tokens'] | StaticTokens | undefined>>, options: BearerTokensOptions = {}): Authenticator<TokenIdentity> {
  const realm = checkedRealm('bearerTokens', options.realm)
  const entries = entriesOf(tokens)
  return context => {
    const token = bearerToken(context, realm)
    if (token === undefined) throw missingToken(realm)
    const hash = hashOf(token)
    let found: TokenIdentity | undefined
    for (const { identity, hash: known } of entries) if (timingSafeEqual(hash, known)) found = identity
    if (found === undefined) throw refusedToken('The token is not known', realm)
    return found
  }
}

/** Hashes are of one length, whatever the tokens are, and tell nothing of them. */
function hashOf (token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

function entriesOf (tokens: object): Entry[] {
  const names = new Map<string, string>()
  const entries = Object.entries(tokens ?? {}).flatMap(([name, value]: [string, unknown]) => {
    const { tokens: listed, scopes = [] } = typeof value === 'object' && value !== null && !Array.isArray(value) ? value as StaticTokens : { tokens: value }
    const identity: TokenIdentity = Object.freeze({ type: 'token', subject: name, scopes: Object.freeze([...scopes]) })
    const given = Array.isArray(listed) ? listed.filter(token => token !== undefined) : [listed]
    return (given.length === 0 ? [undefined] : given).map((token): Entry => {
      const problem = problemOf(token)
      if (problem !== undefined) throw new configurationErrors.FGG_ERR_AUTH('bearerTokens', `the token of \`${name}\` ${problem}`)
      const other = names.get(token as string)
      if (other !== undefined) throw new configurationErrors.FGG_ERR_AUTH('bearerTokens', `\`${name}\` and \`${other}\` have the same token`)
      names.set(token as string, name)
      return { identity, hash: hashOf(token as string) }
    })
  })
  if (entries.length === 0) throw new configurationErrors.FGG_ERR_AUTH('bearerTokens', 'needs a token: { name: token }')
  return entries
}

function problemOf (token: unknown): string | undefined {
  if (typeof token !== 'string' || token === '') return 'is missing'
  if (token.length < SHORTEST_TOKEN) return `is shorter than ${SHORTEST_TOKEN} characters, so that it could be guessed`
  return TOKEN.test(token) ? undefined : 'has other characters than letters, digits and -._~+/=, so that no header can carry it'
}
