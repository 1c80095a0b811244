/** Server credentials for gRPC over TLS. */
import { ServerCredentials } from '@grpc/grpc-js'
import type { Certificates } from '../tls/certificates.ts'

/** grpc-js reads it for the credentials that it makes itself. */
const { GRPC_SSL_CIPHER_SUITES: ciphers } = process.env

/**
 * Follows certificates until it is released. grpc-js's own credentials that do so read one file after the other, drop
 * connections as long as one of them is missing, and leave the version of TLS to the process.
 */
export class TlsCredentials extends ServerCredentials {
  readonly release: () => void

  constructor (certificates: Certificates) {
    super({ ...certificates.serverOptions })
    const update = (): void => this.updateSecureContextOptions({ ...certificates.context, ...(ciphers === undefined ? {} : { ciphers }) })
    this.release = certificates.follow(update)
    update()
  }

  override _equals (other: ServerCredentials): boolean {
    return this === other
  }
}
