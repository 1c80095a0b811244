/**
 * What a client sends to a token endpoint, and what can be wrong with it.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.4.2
 */
import type { FastifyRequest } from 'fastify'

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-5.2 */
export type TokenErrorCode = 'invalid_request' | 'invalid_client' | 'unsupported_grant_type' | 'invalid_scope'

export class TokenError extends Error {
  readonly code: TokenErrorCode

  /** @param message for developers; printable ASCII without quotes and backslashes */
  constructor (code: TokenErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export interface TokenRequest {
  readonly clientId: string
  /** The forms that the client may have meant its secret in, one of which must be right. */
  readonly secrets: readonly string[]
  /** Undefined for all that the client may have. */
  readonly scopes: readonly string[] | undefined
}

const FORM = /^application\/x-www-form-urlencoded\s*(?:;|$)/i

/** @throws TokenError */
export function tokenRequest ({ headers, body }: FastifyRequest): TokenRequest {
  if (typeof body !== 'string' || !FORM.test(headers['content-type'] ?? '')) throw new TokenError('invalid_request', 'Send a form: application/x-www-form-urlencoded')
  const form = new URLSearchParams(body)
  const parameter = (name: string): string | undefined => {
    const values = form.getAll(name)
    if (values.length > 1) throw new TokenError('invalid_request', `The parameter ${name} is given twice`)
    return values[0] === '' ? undefined : values[0]
  }
  const grant = parameter('grant_type')
  const scopes = parameter('scope')?.split(' ').filter(scope => scope !== '')
  const credentials = credentialsOf(headers.authorization, parameter('client_id'), parameter('client_secret'))
  if (grant === undefined) throw new TokenError('invalid_request', 'The parameter grant_type is missing')
  if (grant !== 'client_credentials') throw new TokenError('unsupported_grant_type', 'Only client_credentials is supported')
  return { ...credentials, scopes }
}

type Credentials = Pick<TokenRequest, 'clientId' | 'secrets'>

function credentialsOf (authorization: string | undefined, clientId: string | undefined, secret: string | undefined): Credentials {
  if (authorization !== undefined) {
    if (secret !== undefined) throw new TokenError('invalid_request', 'The client has sent credentials in two ways')
    const credentials = basicCredentials(authorization)
    if (clientId !== undefined && clientId !== credentials.clientId) throw new TokenError('invalid_request', 'The client has sent two ids')
    return credentials
  }
  if (clientId === undefined || secret === undefined) throw new TokenError('invalid_client', 'The client has sent no credentials')
  return { clientId, secrets: [secret] }
}

/** RFC 6749 wants id and secret to be encoded as in a form; many clients, such as curl, send them as they are. */
function basicCredentials (authorization: string): Credentials {
  const encoded = /^basic +([\w+/]+=*)$/i.exec(authorization)?.[1]
  const [, id, secret] = encoded === undefined ? [] : /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? []
  if (id === undefined || secret === undefined) throw new TokenError('invalid_client', 'The credentials are malformed')
  return { clientId: formDecoded(id) ?? id, secrets: [secret, formDecoded(secret) ?? secret] }
}

function formDecoded (text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}
