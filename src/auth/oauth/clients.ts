/** The clients that may ask for tokens, and their secrets. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { configurationErrors } from '../../errors.ts'

/** What a client of the OAuth2 client credentials grant has. */
export interface OAuthClient {
  /** 20 characters or more. Several while one is replaced by another. */
  readonly secret: string | readonly string[]
  /** What its tokens may allow, for `requireScopes`. Default nothing. */
  readonly scopes?: readonly string[] | undefined
}

/** A client that is known. */
export interface KnownClient {
  readonly id: string
  readonly scopes: readonly string[]
}

interface Entry extends KnownClient {
  readonly hashes: readonly Buffer[]
}

/** What no header or form changes on its way, and no log breaks at. */
const CLIENT_ID = /^[\w.~@+-]{1,256}$/
/** @see https://www.rfc-editor.org/rfc/rfc6749#section-3.3 */
const SCOPE = /^[!#-[\]-~]+$/
const SECRET = /^[!-~]+$/
const SHORTEST_SECRET = 20

/** Compared with for a client that is not known, so that a refusal takes as long. */
const NOBODY: readonly Buffer[] = [hashOf('')]

/** Clients by their ids; they may come and go while the gateway serves. */
export class OAuthClients {
  readonly #entries = new Map<string, Entry>()

  /** @throws FGG_ERR_AUTH for an id, a secret or a scope that cannot be one */
  set (id: string, client: string | OAuthClient): void {
    const { secret, scopes = [] } = typeof client === 'object' && client !== null ? client : { secret: client }
    const secrets: unknown[] = Array.isArray(secret) ? secret : [secret]
    if (typeof id !== 'string' || !CLIENT_ID.test(id)) throw wrong(`\`${String(id)}\` cannot be the id of a client: letters, digits and -._~@+ are taken`)
    if (secrets.length === 0 || !secrets.every(isSecret)) throw wrong(`the secret of \`${id}\` must have ${SHORTEST_SECRET} characters or more, all of them printable ASCII and no spaces`)
    if (!Array.isArray(scopes) || !scopes.every(scope => typeof scope === 'string' && SCOPE.test(scope))) throw wrong(`the scopes of \`${id}\` must be a list of names`)
    this.#entries.set(id, { id, scopes: [...scopes], hashes: secrets.map(hashOf) })
  }

  /** @returns whether there was one */
  remove (id: string): boolean {
    return this.#entries.delete(id)
  }

  get (id: string): KnownClient | undefined {
    return this.#entries.get(id)
  }

  /**
   * The client with this id, if one of the texts is a secret of it. All are compared in constant time.
   *
   * @param secrets the forms that the client may have sent its secret in
   */
  verify (id: string, secrets: readonly string[]): KnownClient | undefined {
    const entry = this.#entries.get(id)
    let isRight = false
    for (const hash of secrets.map(hashOf)) {
      for (const known of entry?.hashes ?? NOBODY) if (timingSafeEqual(hash, known)) isRight = true
    }
    return isRight ? entry : undefined
  }
}

function isSecret (secret: unknown): secret is string {
  return typeof secret === 'string' && secret.length >= SHORTEST_SECRET && SECRET.test(secret)
}

/** Hashes are of one length, whatever the secrets are, and tell nothing of them. */
function hashOf (secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

export function wrong (problem: string): Error {
  return new configurationErrors.FGG_ERR_AUTH('clientCredentials', problem)
}
