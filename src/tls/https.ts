/** HTTPS of Fastify apps with the TLS options of a gateway, and certificates that follow their files. */
import type { SecureContextOptions } from 'node:tls'
import type { Logger } from '../call/logger.ts'
import { configurationErrors } from '../errors.ts'
import { otherServers } from './app-servers.ts'
import { Certificates } from './certificates.ts'
import { checkTls, type TlsOptions } from './options.ts'
import { readPems } from './pem.ts'
import { contextOf, serverOptionsOf, type TlsServerOptions } from './server-options.ts'

/** Options of a server of node:https, and of a secure one of node:http2. */
export type HttpsOptions = TlsServerOptions & SecureContextOptions

/** The part of a Fastify app that is used here, whatever its server. */
export interface SecureApp {
  readonly server: object
  readonly log: Logger
  addHook (name: 'onListen', hook: () => Promise<void>): unknown
  addHook (name: 'onClose', hook: () => Promise<void>): unknown
}

interface SecureServer {
  setSecureContext (context: SecureContextOptions): void
}

/**
 * What the `https` option of Fastify is for the TLS options of a gateway: TLS 1.2 at least, client certificates, and a
 * bound for handshakes.
 *
 * @throws FGG_ERR_TLS, naming the option, when a file cannot be read or holds no usable PEM
 *
 * @example
 * const tls = { key: 'server-key.pem', cert: 'server.pem' }
 * const app = Fastify({ https: httpsOptions(tls) })
 * reloadCertificates(app, tls)
 */
export function httpsOptions (tls: TlsOptions): HttpsOptions {
  checkTls(tls)
  return { ...serverOptionsOf(tls), ...contextOf(tls, readPems(tls)) }
}

/**
 * Lets an app that serves HTTPS follow the files of its certificates from when it listens until it is closed: new
 * connections get the new certificate within a second, open ones stay.
 *
 * @throws FGG_ERR_TLS when the options are wrong; FGG_ERR_STATE when the app does not serve HTTPS
 */
export function reloadCertificates (app: SecureApp, tls: TlsOptions): void {
  followCertificates(app, new Certificates(tls, () => app.log))
}

export function followCertificates (app: SecureApp, certificates: Certificates): void {
  if (!isSecure(app.server)) throw new configurationErrors.FGG_ERR_STATE('Certificates can be reloaded only of an app with HTTPS: Fastify({ https: httpsOptions(tls) })')
  let stop: (() => void) | undefined
  app.addHook('onListen', async () => {
    const servers = [app.server, ...otherServers(app)].filter(isSecure)
    const update = (context: SecureContextOptions): void => { for (const server of servers) server.setSecureContext(context) }
    stop = certificates.follow(update)
    update(certificates.context)
  })
  app.addHook('onClose', async () => stop?.())
}

function isSecure (server: object): server is SecureServer {
  return typeof (server as Partial<SecureServer>).setSecureContext === 'function'
}
