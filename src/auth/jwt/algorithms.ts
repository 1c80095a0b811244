/**
 * Which signatures are taken. A token names its algorithm itself, so that nothing it says may widen the choice: no
 * `none`, and no HMAC where there is a public key.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8725#section-3.1
 */
import type { KeyObject } from 'node:crypto'
import { configurationErrors } from '../../errors.ts'

/** Those that verify with a public key. */
const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const
/** Those that verify with a shared secret, and the fewest bytes that it may have. */
const SECRET_BYTES = { HS256: 32, HS384: 48, HS512: 64 } as const

export type AsymmetricAlgorithm = typeof ASYMMETRIC[number]
export type SecretAlgorithm = keyof typeof SECRET_BYTES
export type JwtAlgorithm = AsymmetricAlgorithm | SecretAlgorithm

/**
 * @param derived where the keys themselves tell
 * @throws FGG_ERR_AUTH for an algorithm that is none of those for public keys, or when none is given
 */
export function algorithmsOfPublicKeys (stated: unknown, derived: readonly string[] | undefined): readonly string[] {
  const algorithms = stated ?? derived
  if (algorithms === undefined) throw wrong("`algorithms` must be stated, such as ['RS256'], because the keys do not tell")
  return checked(algorithms, ASYMMETRIC, 'public keys')
}

const FEWEST_RSA_BITS = 2048
const RSA = ASYMMETRIC.filter(name => /^[RP]S/.test(name))
const CURVES: Readonly<Record<string, readonly string[]>> = { prime256v1: ['ES256'], secp384r1: ['ES384'], secp521r1: ['ES512'] }

/** @throws FGG_ERR_AUTH for an algorithm that does not go with the key, or for a key that goes with none */
export function algorithmsOfKey (stated: unknown, { asymmetricKeyType, asymmetricKeyDetails }: KeyObject): readonly string[] {
  if (asymmetricKeyType === 'rsa') {
    if (asymmetricKeyDetails!.modulusLength! < FEWEST_RSA_BITS) throw wrong(`\`key\` must have ${FEWEST_RSA_BITS} bits or more`)
    return checked(algorithmsOfPublicKeys(stated, undefined), RSA, 'a key of RSA')
  }
  const ofKey = asymmetricKeyType === 'ed25519' ? ['EdDSA', 'Ed25519'] : CURVES[asymmetricKeyDetails?.namedCurve ?? '']
  if (ofKey === undefined) throw wrong('`key` must be a key of RSA, of one of the curves P-256, P-384 and P-521, or of Ed25519')
  return checked(stated ?? ofKey, ofKey, 'its key')
}

/** @throws FGG_ERR_AUTH for an algorithm that takes no secret, or a longer one */
export function algorithmsOfSecret (stated: unknown, secret: Uint8Array): readonly string[] {
  const algorithms = checked(stated ?? ['HS256'], Object.keys(SECRET_BYTES), 'a secret')
  const bytes = Math.max(...algorithms.map(name => SECRET_BYTES[name as SecretAlgorithm]))
  if (secret.length < bytes) throw wrong(`\`secret\` must have ${bytes} bytes or more for ${algorithms.join(', ')}; it has ${secret.length}`)
  return algorithms
}

function checked (algorithms: unknown, known: readonly string[], what: string): readonly string[] {
  if (Array.isArray(algorithms) && algorithms.length > 0 && algorithms.every(name => known.includes(name))) return algorithms
  throw wrong(`\`algorithms\` must be a list of those for ${what}: ${known.join(', ')}`)
}

function wrong (problem: string): Error {
  return new configurationErrors.FGG_ERR_AUTH('jwt', problem)
}
