/** Server credentials for gRPC over TLS, from PEM files or their contents. */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { ServerCredentials } from '@grpc/grpc-js'
import { configurationErrors } from '../errors.ts'

/** Each is the path of a PEM file, or its content. */
export interface TlsOptions {
  /** The server's private key. */
  key: string | Buffer
  /** The server's certificate, followed by those of its intermediate authorities. */
  cert: string | Buffer
  /** The authorities whose client certificates are accepted. Goes with `requireClientCert`. */
  ca?: string | Buffer | undefined
  /** Refuse clients without a certificate of these authorities: mutual TLS. Default false. */
  requireClientCert?: boolean | undefined
}

/** @throws FGG_ERR_TLS, naming the option, when a file cannot be read or holds no usable PEM */
export function tlsCredentials ({ key, cert, ca, requireClientCert = false }: TlsOptions): ServerCredentials {
  if (requireClientCert && ca === undefined) throw new configurationErrors.FGG_ERR_TLS('ca', 'is needed with `requireClientCert`, to know whose certificates to accept')
  if (!requireClientCert && ca !== undefined) throw new configurationErrors.FGG_ERR_TLS('ca', 'has no effect without `requireClientCert: true`, because clients are not asked for certificates')
  const pair = { private_key: pem('key', key), cert_chain: pem('cert', cert) }
  const authorities = ca === undefined ? null : pem('ca', ca)
  try {
    // grpc-js would find out with the first connection, and tell nobody.
    createSecureContext({ key: pair.private_key, cert: pair.cert_chain, ...(authorities === null ? {} : { ca: authorities }) })
  } catch (error) {
    throw new configurationErrors.FGG_ERR_TLS('key', `key and certificate do not work together: ${(error as Error).message}`)
  }
  return ServerCredentials.createSsl(authorities, [pair], requireClientCert)
}

function pem (option: keyof TlsOptions, value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value
  if (typeof value !== 'string') throw new configurationErrors.FGG_ERR_TLS(option, 'must be a path, a PEM string or a Buffer')
  if (value.includes('-----BEGIN ')) return Buffer.from(value)
  try {
    return readFileSync(value)
  } catch (error) {
    throw new configurationErrors.FGG_ERR_TLS(option, `cannot read ${value}: ${(error as Error).message}`)
  }
}
