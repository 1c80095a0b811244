/** The Fastify app that `listen` makes. */
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Logger } from '../call/logger.ts'
import { configurationErrors } from '../errors.ts'
import { Certificates } from '../tls/certificates.ts'
import { isObject } from '../options/checks.ts'
import { followCertificates } from '../tls/https.ts'
import type { TlsOptions } from '../tls/options.ts'

/** Of the app, beside its routes. */
export interface AppOptions {
  /** Options of the Fastify app that is made, such as `logger` and `http2`. */
  fastify?: FastifyServerOptions & { https?: object, http2?: boolean } | undefined
  /**
   * Serve HTTPS: `true` with the `tls` of the gateway, or with TLS options of its own. With `fastify: { http2: true }`
   * clients that can speak HTTP/2 do so, others HTTP/1.1. Default false.
   */
  tls?: boolean | TlsOptions | undefined
}

/** @throws FGG_ERR_LISTEN_OPTION; FGG_ERR_TLS */
export function makeApp (options: AppOptions, ofGateway: Certificates | undefined, log: () => Logger): FastifyInstance {
  const certificates = certificatesOf(options, ofGateway, log)
  const fastify: AppOptions['fastify'] = { logger: { level: 'warn' }, ...options.fastify }
  if (certificates === undefined) return Fastify(fastify as FastifyServerOptions)
  const https = { ...certificates.serverOptions, ...certificates.context, ...(fastify.http2 === true ? { allowHTTP1: true } : {}) }
  const app = Fastify({ ...fastify, https } as FastifyServerOptions)
  followCertificates(app, certificates)
  return app
}

function certificatesOf ({ tls = false, fastify }: AppOptions, ofGateway: Certificates | undefined, log: () => Logger): Certificates | undefined {
  const { FGG_ERR_LISTEN_OPTION } = configurationErrors
  if (tls === false) return undefined
  if (tls !== true && isObject(tls) !== undefined) throw new FGG_ERR_LISTEN_OPTION('tls', 'must be true, false or TLS options')
  if (fastify?.https !== undefined) throw new FGG_ERR_LISTEN_OPTION('tls', 'cannot be given together with `fastify.https`')
  if (typeof tls === 'object') return new Certificates(tls, log)
  if (ofGateway === undefined) throw new FGG_ERR_LISTEN_OPTION('tls', 'is true, yet the gateway has no `tls` whose certificates it could use')
  return ofGateway
}
