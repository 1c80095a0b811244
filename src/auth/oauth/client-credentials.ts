/**
 * OAuth2 client credentials: programs get a token for their id and secret, and call with it.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.4
 */
import { createSecretKey, randomUUID } from 'node:crypto'
import type { CallContext } from '../../call/context.ts'
import type { Authenticator } from '../access.ts'
import { missingToken, refusedToken } from '../bearer-token.ts'
import { checkedRealm } from '../challenge.ts'
import { loadJose } from '../jwt/jose.ts'
import { jwtVerifier, type JwtIdentity } from '../jwt/jwt.ts'
import { callToken, TOKEN_PLACES, type TokenPlace } from './call-token.ts'
import { OAuthClients, wrong, type OAuthClient } from './clients.ts'
import { tokenEndpoint, type TokenEndpoint, type TokenIssuer } from './token-endpoint.ts'

export interface ClientCredentialsOptions {
  /** By their ids, a secret, or more than that. Default none: `setClient` adds them. */
  readonly clients?: Readonly<Record<string, string | OAuthClient>> | undefined
  /**
   * Signs tokens, by HS256: bytes, or a text for its UTF-8; 32 bytes or more. Processes with the same secret take
   * each other's tokens.
   */
  readonly secret: string | Uint8Array
  /** How long a token is taken. Default 3,600; with `legacy`, 6,000. */
  readonly expiresInSeconds?: number | undefined
  /** The claim `iss` of tokens. Default `fastify-grpc-gateway`. */
  readonly issuer?: string | undefined
  /** The claim `aud` of tokens: the API that they are for. Default `fastify-grpc-gateway`. */
  readonly audience?: string | undefined
  /** Where tokens are taken from. Default `['authorization']`; with `legacy`, everywhere. */
  readonly tokensFrom?: readonly TokenPlace[] | undefined
  /** Answer `/token?consumer_key=&consumer_secret=` too, by GET and POST, as Seldon's API server did. Default false. */
  readonly legacy?: boolean | undefined
  /** Names the protected space to clients. Default `api`. */
  readonly realm?: string | undefined
}

export interface ClientCredentials {
  /** For the `authenticate` of a gateway. The principal is the client: its id is `subject`. */
  readonly authenticate: Authenticator<JwtIdentity>
  /**
   * A Fastify plugin with the route that gives tokens: `POST /token`.
   *
   * @example
   * app.register(credentials.tokenEndpoint, { prefix: '/oauth2' })
   */
  readonly tokenEndpoint: TokenEndpoint
  /** Adds a client, or gives it another secret and other scopes. Tokens that it has are taken as before. */
  setClient (id: string, client: string | OAuthClient): void
  /** From now on, its tokens are not taken. @returns whether there was one */
  removeClient (id: string): boolean
}

const OPTIONS: ReadonlyArray<keyof ClientCredentialsOptions> = ['clients', 'secret', 'expiresInSeconds', 'issuer', 'audience', 'tokensFrom', 'legacy', 'realm']

const DEFAULT_NAME = 'fastify-grpc-gateway'
/** Of access tokens, so that no other token of the same secret passes for one (RFC 9068). */
const TYP = 'at+jwt'
const SHORTEST_SECRET = 32
const LONGEST_LIFE_SECONDS = 366 * 24 * 3600

/**
 * Gives tokens to clients and authenticates by them. It needs the package jose; without it, the gateway does not start.
 *
 * @throws FGG_ERR_AUTH naming the option or the client that is wrong
 *
 * @example
 * const credentials = clientCredentials({ clients: { billing: process.env.BILLING_SECRET }, secret: process.env.TOKEN_SECRET })
 * const gateway = new GrpcGateway({ services, authenticate: credentials.authenticate })
 * app.register(credentials.tokenEndpoint)
 */
export function clientCredentials (options: ClientCredentialsOptions): ClientCredentials {
  const { issuer, audience, expiresInSeconds, tokensFrom, legacy, realm, secret } = checked(options)
  const clients = new OAuthClients()
  for (const [id, client] of Object.entries(options.clients ?? {})) clients.set(id, client)
  const { verify, ready } = jwtVerifier({ secret, issuer, audience, typ: TYP, realm })

  async function authenticate (context: CallContext): Promise<JwtIdentity> {
    const token = callToken(context, tokensFrom, realm)
    if (token === undefined) throw missingToken(realm)
    const identity = await verify(token, context)
    const client = clients.get(identity.subject)
    if (client === undefined) throw refusedToken('The client is not known any more', realm)
    return { ...identity, scopes: identity.scopes.filter(scope => client.scopes.includes(scope)) }
  }

  const key = createSecretKey(secret)
  const issue: TokenIssuer['issue'] = async ({ id }, scopes) => {
    const { SignJWT } = await loadJose('clientCredentials')
    const token = await new SignJWT({ client_id: id, ...scopes.length === 0 ? {} : { scope: scopes.join(' ') } })
      .setProtectedHeader({ alg: 'HS256', typ: TYP }).setSubject(id).setIssuer(issuer).setAudience(audience)
      .setIssuedAt().setExpirationTime(`${expiresInSeconds}s`).setJti(randomUUID()).sign(key)
    return { token, expiresInSeconds }
  }

  return {
    authenticate: Object.assign(authenticate, { ready }),
    tokenEndpoint: tokenEndpoint({ clients, realm, legacy, ready, issue }),
    setClient: (id, client) => clients.set(id, client),
    removeClient: id => clients.remove(id)
  }
}

function checked (options: ClientCredentialsOptions) {
  if (typeof options !== 'object' || options === null) throw wrong('needs options: `clients` and `secret`')
  const unknown = Object.keys(options).find(name => !(OPTIONS as readonly string[]).includes(name))
  if (unknown !== undefined) throw wrong(`has no option \`${unknown}\`. It has: ${OPTIONS.join(', ')}`)
  const { clients = {}, legacy = false, issuer = DEFAULT_NAME, audience = DEFAULT_NAME, tokensFrom = legacy ? TOKEN_PLACES : ['authorization'], expiresInSeconds = legacy ? 6000 : 3600 } = options
  if (typeof clients !== 'object' || clients === null || Array.isArray(clients)) throw wrong('`clients` must be an object: { id: secret }')
  if (typeof legacy !== 'boolean') throw wrong('`legacy` must be true or false')
  for (const [name, value] of Object.entries({ issuer, audience })) if (typeof value !== 'string' || value === '') throw wrong(`\`${name}\` must be text`)
  if (!Array.isArray(tokensFrom) || tokensFrom.length === 0 || !tokensFrom.every(place => TOKEN_PLACES.includes(place))) throw wrong(`\`tokensFrom\` must be a list of ${TOKEN_PLACES.join(', ')}`)
  if (!(Number.isInteger(expiresInSeconds) && expiresInSeconds > 0 && expiresInSeconds <= LONGEST_LIFE_SECONDS)) throw wrong(`\`expiresInSeconds\` must be a whole number of seconds, 1 to ${LONGEST_LIFE_SECONDS}`)
  return { issuer, audience, legacy, expiresInSeconds, tokensFrom: [...new Set(tokensFrom)] as readonly TokenPlace[], realm: checkedRealm('clientCredentials', options.realm), secret: secretOf(options.secret) }
}

function secretOf (secret: unknown): Uint8Array {
  if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) throw wrong('`secret` must be text or bytes')
  const bytes = Buffer.from(secret)
  if (bytes.length < SHORTEST_SECRET) throw wrong(`\`secret\` must have ${SHORTEST_SECRET} bytes or more; it has ${bytes.length}`)
  return bytes
}
