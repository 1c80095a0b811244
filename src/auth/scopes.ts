/** What a principal may do, by the scopes of its token. */
import { configurationErrors } from '../errors.ts'
import { status } from '../status.ts'
import type { Authorizer } from './access.ts'
import { bearerChallenge, challengeError } from './challenge.ts'

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-3.3 */
const SCOPE = /^[!#-[\]-~]+$/

/**
 * Lets principals in that have all of these scopes. Others get PERMISSION_DENIED with the challenge
 * `insufficient_scope`.
 *
 * @throws FGG_ERR_AUTH for what is no scope
 *
 * @example
 * methods: { 'bookstore.Bookstore.DeleteBook': { authorize: requireScopes('books.write') } }
 */
export function requireScopes (...scopes: string[]): Authorizer<{ readonly scopes?: readonly string[] | undefined }> {
  const wrong = scopes.length === 0 ? 'none' : scopes.find(scope => typeof scope !== 'string' || !SCOPE.test(scope))
  if (wrong !== undefined) throw new configurationErrors.FGG_ERR_AUTH('requireScopes', `takes names of scopes, not ${String(wrong)}`)
  const scope = scopes.join(' ')
  const challenge = bearerChallenge(undefined, { error: 'insufficient_scope', scope })
  return principal => {
    const { scopes: granted } = principal
    if (Array.isArray(granted) && scopes.every(scope => granted.includes(scope))) return true
    throw challengeError(status.PERMISSION_DENIED, `The call needs the scope ${scope}`, [challenge])
  }
}
