/**
 * Tokens as Seldon's API server gave them: `/token?consumer_key=&consumer_secret=`, with its answers and its numbers of
 * errors. Secrets in URLs are logged and kept by many, so that this is for clients that cannot do better.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { TokenIssuer } from './token-endpoint.ts'

/** Of Seldon's answers. */
const TOKEN_TYPE = 'rummblelabs'
const HTTP_STATUS = 400

/** Whether a POST is of this form: it says so, or says nothing of the other one. */
export function isLegacyRequest (request: FastifyRequest): boolean {
  const { key, secret } = consumerOf(request)
  const { headers, body } = request
  return key !== '' || secret !== '' || (headers.authorization === undefined && (body === undefined || body === null || body === ''))
}

export async function sendLegacyToken (issuer: TokenIssuer, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { key, secret } = consumerOf(request)
  const { clients } = issuer
  if (key === '') return refuse(reply, 16, 'Please specify your consumer_key')
  if (secret === '') return refuse(reply, 17, 'Please specify your consumer_secret')
  if (clients.get(key) === undefined) return refuse(reply, 5, 'Consumer key not recognized')
  const client = clients.verify(key, [secret])
  if (client === undefined) return refuse(reply, 6, 'Consumer secret not correct')
  const { token, expiresInSeconds } = await issuer.issue(client, client.scopes)
  return reply.send({
    access_token: token,
    token_type: TOKEN_TYPE,
    token_scope: client.scopes.length === 0 ? 'all' : client.scopes.join(' '),
    expires_in: expiresInSeconds,
    name: 'token'
  })
}

function consumerOf ({ query }: FastifyRequest): { key: string, secret: string } {
  const { consumer_key: key, consumer_secret: secret } = query as Readonly<Record<string, unknown>>
  return { key: typeof key === 'string' ? key : '', secret: typeof secret === 'string' ? secret : '' }
}

function refuse (reply: FastifyReply, id: number, message: string): FastifyReply {
  return reply.code(HTTP_STATUS).send({ error_id: id, error_msg: message, http_response: HTTP_STATUS })
}
