/**
 * The route at which clients get their tokens.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-3.2
 */
import type { FastifyError, FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { KnownClient, OAuthClients } from './clients.ts'
import { isLegacyRequest, sendLegacyToken } from './legacy-token.ts'
import { loggedRequest } from './logged-request.ts'
import { TokenError, tokenRequest } from './token-request.ts'

export interface TokenEndpointOptions {
  /** Where it lies, after the prefix of the app. Default `/token`. */
  url?: string | undefined
}

export type TokenEndpoint = FastifyPluginAsync<TokenEndpointOptions>

export interface IssuedToken {
  readonly token: string
  readonly expiresInSeconds: number
}

export interface TokenIssuer {
  readonly clients: OAuthClients
  readonly realm: string
  /** Whether requests of Seldon's form are answered too. */
  readonly legacy: boolean
  /** What it needs before the first token. */
  readonly ready: Promise<unknown>
  issue (client: KnownClient, scopes: readonly string[]): Promise<IssuedToken>
}

/** Larger than any request for a token, in bytes. */
const LARGEST_FORM = 16 * 1024

export function tokenEndpoint (issuer: TokenIssuer): TokenEndpoint {
  return async (app, { url = '/token' }) => {
    await issuer.ready
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: LARGEST_FORM }, (_request, body, done) => done(null, body))
    app.setErrorHandler((error, request, reply) => sendTokenError(issuer, error as FastifyError | TokenError, request, reply))
    app.addHook('onSend', async (_request, reply) => {
      reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
    })
    const common = { url, logSerializers: { req: loggedRequest } }
    app.post(url, common, async (request, reply) => {
      if (issuer.legacy && isLegacyRequest(request)) return await sendLegacyToken(issuer, request, reply)
      return await sendToken(issuer, request, reply)
    })
    if (issuer.legacy) app.get(url, common, (request, reply) => sendLegacyToken(issuer, request, reply))
    else refuseGet(app, url)
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-5.1 */
async function sendToken (issuer: TokenIssuer, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { clientId, secrets, scopes: asked } = tokenRequest(request)
  const client = issuer.clients.verify(clientId, secrets)
  if (client === undefined) throw new TokenError('invalid_client', 'The client is not known, or its secret is another')
  const scopes = asked ?? client.scopes
  if (!scopes.every(scope => client.scopes.includes(scope))) throw new TokenError('invalid_scope', 'The client may not have all of these scopes')
  const { token, expiresInSeconds } = await issuer.issue(client, scopes)
  return reply.send({ access_token: token, token_type: 'Bearer', expires_in: expiresInSeconds, ...scopes.length === 0 ? {} : { scope: scopes.join(' ') } })
}

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-5.2 */
function sendTokenError ({ realm }: TokenIssuer, error: FastifyError | TokenError, request: FastifyRequest, reply: FastifyReply): void {
  if (error instanceof TokenError) {
    if (error.code === 'invalid_client') reply.code(401).header('www-authenticate', `Basic realm="${realm}", charset="UTF-8"`)
    else reply.code(400)
    reply.send({ error: error.code, error_description: error.message })
    return
  }
  const { statusCode = 500 } = error
  if (statusCode < 500) {
    reply.code(statusCode).send({ error: 'invalid_request', error_description: error.message })
    return
  }
  request.log.error({ err: error }, 'A token could not be issued')
  reply.code(500).send({ error: 'server_error', error_description: 'Internal error' })
}

function refuseGet (app: FastifyInstance, url: string): void {
  app.get(url, { logSerializers: { req: loggedRequest } }, (_request, reply) => {
    reply.code(405).header('allow', 'POST').send({ error: 'invalid_request', error_description: 'Tokens are asked for by POST' })
  })
}
