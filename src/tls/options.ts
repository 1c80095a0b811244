/** TLS of a server as users ask for it, and what can be wrong with that. */
import { configurationErrors } from '../errors.ts'

/** `key`, `cert` and `ca` are each the path of a PEM file, or its content. */
export interface TlsOptions {
  /** The server's private key. */
  key: string | Buffer
  /** The server's certificate, followed by those of its intermediate authorities. */
  cert: string | Buffer
  /** The authorities whose client certificates are accepted. `requireClientCert` says what becomes of other clients. */
  ca?: string | Buffer | undefined
  /**
   * True refuses clients without a certificate of `ca`: mutual TLS. False serves them too, without an identity: only a
   * certificate of `ca` comes into `context.authContext`. Must be given with `ca`; else clients are not asked for any.
   */
  requireClientCert?: boolean | undefined
  /** The oldest version of TLS that is spoken, whatever the default of the process. Default `TLSv1.2`. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  /** How long a client may take for its handshake, in milliseconds; then it is cut off. Default 10,000. */
  handshakeTimeoutMs?: number | undefined
  /**
   * Follow the files: connections that are made within a second of a change get the new certificate, open ones stay.
   * A change that cannot be used is logged, and the certificate in use is kept. Default true, for what is a path.
   */
  reload?: boolean | undefined
}

type Check = readonly [isRight: (value: unknown) => boolean, expected: string]

const PEM: Check = [value => Buffer.isBuffer(value) || (typeof value === 'string' && value !== ''), 'a path, a PEM string or a Buffer']
const BOOLEAN: Check = [value => typeof value === 'boolean', 'true or false']

const CHECKS: Readonly<Record<keyof TlsOptions, Check>> = {
  key: PEM,
  cert: PEM,
  ca: PEM,
  requireClientCert: BOOLEAN,
  minVersion: [value => value === 'TLSv1.2' || value === 'TLSv1.3', 'TLSv1.2 or TLSv1.3'],
  handshakeTimeoutMs: [value => typeof value === 'number' && value > 0 && value < 2 ** 31, 'milliseconds above 0'],
  reload: BOOLEAN
}

/** @throws FGG_ERR_TLS, naming the option */
export function checkTls (options: TlsOptions): void {
  const { FGG_ERR_TLS } = configurationErrors
  for (const [name, value] of Object.entries({ ...options, key: options.key, cert: options.cert })) {
    if (!Object.hasOwn(CHECKS, name)) throw new FGG_ERR_TLS(name, `does not exist. There are: ${Object.keys(CHECKS).join(', ')}`)
    if (value === undefined && name !== 'key' && name !== 'cert') continue
    const [isRight, expected] = CHECKS[name as keyof TlsOptions]
    if (!isRight(value)) throw new FGG_ERR_TLS(name, `must be ${expected}`)
  }
  const { ca, requireClientCert } = options
  if (requireClientCert !== undefined && ca === undefined) throw new FGG_ERR_TLS('ca', 'is needed with `requireClientCert`, to know whose certificates to accept')
  if (requireClientCert === undefined && ca !== undefined) throw new FGG_ERR_TLS('ca', 'needs `requireClientCert`: true to refuse clients without a certificate of these authorities, false to serve them too')
}
