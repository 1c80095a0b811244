/** With what the signatures of tokens are verified: the keys that an issuer publishes, a public key, or a secret. */
import { createPublicKey, createSecretKey, KeyObject } from 'node:crypto'
import type { CallContext } from '../../call/context.ts'
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'
import { algorithmsOfKey, algorithmsOfPublicKeys, algorithmsOfSecret } from './algorithms.ts'
import { wrong, type JwtKeyOptions } from './options.ts'

type Jose = typeof import('jose')
type GetKey = import('jose').JWTVerifyGetKey

export interface JwtKeys {
  readonly algorithms: readonly string[]
  /** @param context of the call whose token names the key */
  resolver (jose: Jose): (context: CallContext) => KeyObject | GetKey
}

const SOURCES = ['jwksUrl', 'jwks', 'key', 'secret'] as const

/** @throws FGG_ERR_AUTH naming the option that is wrong */
export function jwtKeys (options: JwtKeyOptions): JwtKeys {
  const given = SOURCES.filter(name => options[name] !== undefined)
  if (given.length !== 1) throw wrong(`one of \`${SOURCES.join('`, `')}\` must be given${given.length > 1 ? `, not ${given.join(' and ')}` : ''}`)
  if (options.jwksUrl !== undefined) return remoteKeys(options.jwksUrl, options)
  if (options.jwks !== undefined) return listedKeys(options.jwks, options.algorithms)
  if (options.key !== undefined) return publicKey(options.key, options.algorithms)
  return secretKey(options.secret!, options.algorithms)
}

function secretKey (secret: unknown, stated: unknown): JwtKeys {
  if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) throw wrong('`secret` must be text or bytes')
  if (typeof secret === 'string' && secret.includes('-----BEGIN')) throw wrong('`secret` is a PEM. Give a public key as `key`')
  const bytes = Buffer.from(secret)
  const algorithms = algorithmsOfSecret(stated, bytes)
  const key = createSecretKey(bytes)
  return { algorithms, resolver: () => () => key }
}

function publicKey (given: unknown, stated: unknown): JwtKeys {
  const key = publicKeyOf(given)
  return { algorithms: algorithmsOfKey(stated, key), resolver: () => () => key }
}

function publicKeyOf (given: unknown): KeyObject {
  if (given instanceof KeyObject) {
    if (given.type !== 'public') throw wrong(`\`key\` is a ${given.type} key. Give the public one`)
    return given
  }
  const pem = String(given)
  if (/PRIVATE KEY/.test(pem)) throw wrong('`key` is a private key. Give the public one')
  return usable('key', () => createPublicKey(pem))
}

function usable (option: string, open: () => KeyObject): KeyObject {
  try {
    return open()
  } catch (cause) {
    throw Object.assign(wrong(`\`${option}\` has a key that cannot be used: ${(cause as Error).message}`), { cause })
  }
}

function listedKeys (jwks: JwtKeyOptions['jwks'], stated: unknown): JwtKeys {
  const keys: unknown = jwks?.keys
  if (!Array.isArray(keys) || keys.length === 0) throw wrong('`jwks` must be a JSON Web Key Set: { keys: [...] }')
  for (const key of keys) {
    if (typeof key?.kty !== 'string' || key.kty === 'oct' || key.d !== undefined) throw wrong('`jwks` must hold public keys only')
    usable('jwks', () => createPublicKey({ key, format: 'jwk' }))
  }
  const named: unknown[] = keys.map(({ alg }) => alg)
  const algorithms = algorithmsOfPublicKeys(stated, named.every(alg => typeof alg === 'string') ? [...new Set(named)] : undefined)
  return {
    algorithms,
    resolver: ({ createLocalJWKSet }) => {
      const find = createLocalJWKSet(jwks as Parameters<typeof createLocalJWKSet>[0])
      return () => find
    }
  }
}

/** After a failure, keys are not asked for again so soon: whoever publishes them may have enough to do. In milliseconds. */
const PAUSE_MS = 1000

function remoteKeys (jwksUrl: string | URL, options: JwtKeyOptions): JwtKeys {
  const url = checkedUrl(jwksUrl, options.allowInsecureRequests)
  const { cacheMaxAgeMs = 600_000, cooldownMs = 30_000, timeoutMs = 5000 } = options
  for (const [name, value] of Object.entries({ cacheMaxAgeMs, cooldownMs, timeoutMs })) {
    if (!(Number.isInteger(value) && value > 0)) throw wrong(`\`${name}\` must be a whole number of milliseconds above 0`)
  }
  return {
    algorithms: algorithmsOfPublicKeys(options.algorithms, undefined),
    resolver ({ createRemoteJWKSet, customFetch, errors: { JWKSNoMatchingKey, JWKSMultipleMatchingKeys } }) {
      let failure: { cause: unknown, error: GrpcError, until: number } | undefined
      const find = createRemoteJWKSet(url, {
        cacheMaxAge: cacheMaxAgeMs,
        cooldownDuration: cooldownMs,
        timeoutDuration: timeoutMs,
        [customFetch]: async (...request) => {
          if (failure !== undefined && performance.now() < failure.until) throw failure.cause
          return await fetch(...request)
        }
      })
      return ({ log }) => async (header, token) => {
        try {
          return await find(header, token)
        } catch (cause) {
          if (cause instanceof JWKSNoMatchingKey || cause instanceof JWKSMultipleMatchingKeys) throw cause
          // Calls that have waited for the same answer, or come soon after it, fail by the same error.
          if (failure !== undefined && cause === failure.cause) throw failure.error
          failure = { cause, error: new GrpcError(status.UNAVAILABLE, 'Tokens cannot be verified now', { cause }), until: performance.now() + PAUSE_MS }
          log.error({ err: cause, url: url.href }, 'The keys that verify tokens could not be fetched')
          throw failure.error
        }
      }
    }
  }
}

function checkedUrl (given: string | URL, allowsHttp: unknown): URL {
  let url: URL
  try {
    url = new URL(given)
  } catch {
    throw wrong('`jwksUrl` must be a URL')
  }
  const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url.protocol === 'https:' || (url.protocol === 'http:' && (isLocal || allowsHttp === true))) return url
  throw wrong('`jwksUrl` must begin with https:, because who can change the keys can make tokens. `allowInsecureRequests: true` takes them over plain HTTP')
}
