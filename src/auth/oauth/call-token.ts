/** The token of a call, wherever the client has put it. */
import type { CallContext } from '../../call/context.ts'
import { bearerToken, checkedToken, refusedToken } from '../bearer-token.ts'

/**
 * Where tokens are taken from:
 * - `authorization`, a Bearer token
 * - `metadata`, the metadata or header `oauth_token`
 * - `query`, the query parameter `oauth_token`: URLs are logged and kept by many, so that this is for clients that
 *   cannot do better
 */
export type TokenPlace = 'authorization' | 'metadata' | 'query'

export const TOKEN_PLACES: readonly TokenPlace[] = ['authorization', 'metadata', 'query']

export const TOKEN_KEY = 'oauth_token'

const READERS: Readonly<Record<TokenPlace, (context: CallContext, realm: string) => ReadonlyArray<string | undefined>>> = {
  authorization: (context, realm) => [bearerToken(context, realm)],
  metadata: ({ metadata }) => metadata.get(TOKEN_KEY).map(String),
  query: ({ http }) => http === undefined ? [] : new URLSearchParams(/\?(.*)/s.exec(http.url)?.[1]).getAll(TOKEN_KEY)
}

/**
 * @returns undefined when there is none
 * @throws GrpcError UNAUTHENTICATED when it is malformed, or when there are several: nobody knows which one others have
 *   looked at
 */
export function callToken (context: CallContext, places: readonly TokenPlace[], realm: string): string | undefined {
  const [token, ...others] = places.flatMap(place => READERS[place](context, realm)).filter(token => token !== undefined && token !== '')
  if (others.length > 0) throw refusedToken('The call has several tokens', realm, 'invalid_request')
  return token === undefined ? undefined : checkedToken(token, realm)
}
