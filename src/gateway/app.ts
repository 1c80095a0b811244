/** The Fastify app that `listen` makes. */
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Logger } from '../call/logger.ts'
import { configurationErrors } from '../errors.ts'
import { isObject } from '../options/checks.ts'
import type { Limits } from '../options/limits.ts'
import { Certificates } from '../tls/certificates.ts'
import { followCertificates } from '../tls/https.ts'
import type { TlsOptions } from '../tls/options.ts'
import { SinglePort } from './single-port.ts'

/** How often Node.js looks for requests whose headers take too long, in milliseconds. */
const LONGEST_CHECKING_MS = 30_000
const SHORTEST_CHECKING_MS = 100

/** Of the app, beside its routes. */
export interface AppOptions {
  /** Options of the Fastify app that is made, such as `logger` and `http2`. */
  fastify?: FastifyServerOptions & { http?: object, https?: object, http2?: boolean } | undefined
  /**
   * Serve HTTPS: `true` with the `tls` of the gateway, or with TLS options of its own. With `fastify: { http2: true }`
   * clients that can speak HTTP/2 do so, others HTTP/1.1. Default false; with `singlePort`, whether the gateway has `tls`.
   */
  tls?: boolean | TlsOptions | undefined
  /**
   * Serve gRPC on the port of the app too, in place of a port of its own, and HTTP/2 beside HTTP/1.1. Over TLS clients
   * choose by ALPN, in clear text by how they begin. Default false.
   */
  singlePort?: boolean | undefined
}

interface LimitedAppOptions extends AppOptions {
  readonly limits: Limits
}

export interface App {
  readonly app: FastifyInstance
  /** Where gRPC is to be served too. */
  readonly singlePort: SinglePort | undefined
}

/** @throws FGG_ERR_LISTEN_OPTION; FGG_ERR_TLS */
export function makeApp (options: LimitedAppOptions, ofGateway: Certificates | undefined, log: () => Logger): App {
  const certificates = certificatesOf(options, ofGateway, log)
  const https = certificates && { ...certificates.serverOptions, ...certificates.context }
  const singlePort = options.singlePort === true ? new SinglePort(https) : undefined
  const { fastify = {}, limits } = options
  const limited = serverOptions(limits)
  const ownHttps = https === undefined ? fastify.https : { ...https, allowHTTP1: true }
  const app = Fastify({
    logger: { level: 'warn' },
    ...connectionTimes(limits),
    ...fastify,
    http: { ...limited, ...fastify.http },
    ...(ownHttps === undefined ? {} : { https: { ...limited, ...ownHttps } }),
    ...(singlePort === undefined ? {} : { http2: true, serverFactory: singlePort.serverFactory })
  } as FastifyServerOptions)
  if (certificates !== undefined) followCertificates(app, certificates)
  singlePort?.endWith(app)
  return { app, singlePort }
}

/** Of Node.js, for HTTP/1.1 and for HTTP/2. */
function serverOptions ({ requestMs, headerBytes, streamsPerConnection }: Limits): object {
  return {
    headersTimeout: requestMs,
    // Bodies have their own limit: those that stream may take longer.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(LONGEST_CHECKING_MS, Math.max(requestMs / 4, SHORTEST_CHECKING_MS)),
    maxHeaderSize: headerBytes,
    settings: { maxHeaderListSize: headerBytes, ...(streamsPerConnection === 0 ? {} : { maxConcurrentStreams: streamsPerConnection }) }
  }
}

/** Of Fastify. */
function connectionTimes ({ connectionIdleMs }: Limits): FastifyServerOptions & { http2SessionTimeout: number } {
  return { keepAliveTimeout: connectionIdleMs, http2SessionTimeout: connectionIdleMs }
}

function certificatesOf ({ tls, fastify, singlePort = false }: AppOptions, ofGateway: Certificates | undefined, log: () => Logger): Certificates | undefined {
  const { FGG_ERR_LISTEN_OPTION } = configurationErrors
  if (tls === undefined || tls === false) return singlePort ? ofGateway : undefined
  if (tls !== true && isObject(tls) !== undefined) throw new FGG_ERR_LISTEN_OPTION('tls', 'must be true, false or TLS options')
  if (fastify?.https !== undefined) throw new FGG_ERR_LISTEN_OPTION('tls', 'cannot be given together with `fastify.https`')
  if (tls !== true) return new Certificates(tls, log)
  if (ofGateway === undefined) throw new FGG_ERR_LISTEN_OPTION('tls', 'is true, yet the gateway has no `tls` whose certificates it could use')
  return ofGateway
}
