/** Clients known by their TLS certificates, which the server has verified when they connected. */
import type { PeerCertificate } from 'node:tls'
import { configurationErrors, GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import type { Authenticator } from './access.ts'
import { challengeError } from './challenge.ts'
import { subjectAltNames } from './subject-alt-names.ts'

/** Whom a client certificate was issued to. */
export interface CertificateIdentity {
  readonly type: 'certificate'
  /** The first of `names`. */
  readonly subject: string
  /** Everything that the certificate is issued to, each with its kind: `URI:spiffe://prod/billing`, `DNS:billing.internal`, `CN:billing`. */
  readonly names: readonly string[]
  /** `subject.CN`; undefined when there is none, or several. */
  readonly commonName: string | undefined
  /** Subject alternative names that are URIs, of which SPIFFE ids are. */
  readonly uris: readonly string[]
  /** Subject alternative names that are host names. */
  readonly dnsNames: readonly string[]
  /** SHA-256 of the certificate, in hexadecimal with colons. */
  readonly fingerprint256: string
  /** Certificates have none. */
  readonly scopes: readonly string[]
}

export interface MtlsIdentityOptions {
  /** Who may call: names with their kind, as `names` has them, or `SHA256:` and a fingerprint. Default everybody with a certificate that the server trusts. */
  readonly allow?: readonly string[] | undefined
}

const KINDS = ['URI', 'DNS', 'CN', 'SHA256']

/** No scheme is registered for client certificates, but HTTP wants one with every 401. */
const CHALLENGE = 'ClientCertificate realm="api"'

/**
 * Authenticates by the client certificate of the connection: of the gRPC server with `tls.requireClientCert`, of HTTPS
 * with `requestCert`. Without one that the server has verified, calls end with UNAUTHENTICATED; with one that is not
 * allowed, with PERMISSION_DENIED.
 *
 * @throws FGG_ERR_AUTH for what is no name with its kind
 */
export function mtlsIdentity ({ allow }: MtlsIdentityOptions = {}): Authenticator<CertificateIdentity> {
  const allowed = allow === undefined ? undefined : new Set(allow.map(checkedName))
  return ({ authContext }) => {
    const certificate = authContext.sslPeerCertificate
    if (certificate === undefined) throw challengeError(status.UNAUTHENTICATED, 'A client certificate is required', [CHALLENGE])
    // It was valid when the connection began, which may be long ago.
    if (!(Date.parse(certificate.valid_to) > Date.now())) throw challengeError(status.UNAUTHENTICATED, 'The client certificate has expired', [CHALLENGE])
    const identity = identityOf(certificate)
    if (identity === undefined) throw challengeError(status.UNAUTHENTICATED, 'The client certificate names nobody', [CHALLENGE])
    if (allowed !== undefined && ![...identity.names, `SHA256:${identity.fingerprint256}`].some(name => allowed.has(name))) {
      throw new GrpcError(status.PERMISSION_DENIED, 'The client certificate is not one of those that may call')
    }
    return identity
  }
}

function checkedName (name: unknown): string {
  const kind = typeof name === 'string' ? KINDS.find(kind => name.startsWith(`${kind}:`) && name.length > kind.length + 1) : undefined
  if (kind === undefined) throw new configurationErrors.FGG_ERR_AUTH('mtlsIdentity', `\`allow\` must list names that begin with ${KINDS.map(kind => `${kind}:`).join(', ')}, not ${String(name)}`)
  return kind === 'SHA256' ? (name as string).toUpperCase() : name as string
}

/** Undefined for a certificate that names nobody. */
function identityOf ({ subject, subjectaltname, fingerprint256 }: PeerCertificate): CertificateIdentity | undefined {
  const alternatives = subjectAltNames(subjectaltname)
  const uris = alternatives.filter(({ kind }) => kind === 'URI').map(({ value }) => value)
  const dnsNames = alternatives.filter(({ kind }) => kind === 'DNS').map(({ value }) => value)
  // Node.js makes a list of several.
  const commonName: unknown = subject?.CN
  const named = typeof commonName === 'string' && commonName !== '' ? commonName : undefined
  const names = [...uris.map(uri => `URI:${uri}`), ...dnsNames.map(name => `DNS:${name}`), ...named === undefined ? [] : [`CN:${named}`]]
  if (names.length === 0) return undefined
  return { type: 'certificate', subject: names[0]!, names, commonName: named, uris, dnsNames, fingerprint256, scopes: [] }
}
