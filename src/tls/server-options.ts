/** What a TLS server of Node.js is made with for TLS options. */
import type { SecureContextOptions } from 'node:tls'
import type { TlsOptions } from './options.ts'
import type { Pems } from './pem.ts'

/** What stays as it is while the server runs. */
export interface TlsServerOptions {
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  /** In milliseconds. */
  readonly handshakeTimeout: number
}

const HANDSHAKE_MS = 10_000

export function serverOptionsOf ({ ca, requireClientCert = false, handshakeTimeoutMs = HANDSHAKE_MS }: TlsOptions): TlsServerOptions {
  return { requestCert: ca !== undefined, rejectUnauthorized: requireClientCert, handshakeTimeout: handshakeTimeoutMs }
}

/** What can be replaced. */
export function contextOf ({ minVersion = 'TLSv1.2' }: TlsOptions, pems: Pems): SecureContextOptions {
  return { ...pems, minVersion }
}
