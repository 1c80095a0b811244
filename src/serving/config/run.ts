/** Serves what a configuration file says. */
import { isAbsolute, resolve } from 'node:path'
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { appLogging } from '../../options/telemetry.ts'
import type { TlsOptions } from '../../tls/options.ts'
import type { BoundDeployment, DeploymentOptions } from '../deployment.ts'
import { deploymentNames } from '../deployment-names.ts'
import { Serve } from '../serve.ts'
import { builtApplication } from './applications.ts'
import { DEFAULT_NAME, DEFAULT_PREFIX, readConfig, type ApplicationConfig, type ConfigFile, type LoggingConfig, type TlsConfig } from './config.ts'
import { importModule, importPath, namedExport } from './modules.ts'
import { withOptions } from './overrides.ts'
import { distinct, protoFileOf, servicesAt } from './services.ts'

const DEFAULT_HOST = '0.0.0.0'
const DEFAULT_HTTP_PORT = 8000
const DEFAULT_GRPC_PORT = 9000
const DEFAULT_KEEP_ALIVE_S = 90

export interface ServeConfigOptions {
  /** From which import paths and .proto files are looked for. Default the folder of the file. */
  appDir?: string | undefined
  /** In place of that in `http_options`, for both servers. */
  host?: string | undefined
  /** In place of that in `http_options`. */
  httpPort?: number | undefined
  /** In place of that in `grpc_options`. */
  grpcPort?: number | undefined
  /** In place of that in `grpc_options`. */
  reflection?: boolean | undefined
  /** Where the log goes. Default stdout. */
  logStream?: { write (line: string): void } | undefined
  /** Is told of what is ignored in the file. Default `console.warn`. */
  warn?: ((warning: string) => void) | undefined
}

export interface ServedConfig {
  readonly serve: Serve
  /** The HTTP server, which listens. */
  readonly app: FastifyInstance
  /** The configuration and the schemas that it names. */
  readonly files: readonly string[]
}

/**
 * Runs the applications of a YAML file in the form of Ray Serve's, and listens once all of them run.
 *
 * @throws FGG_ERR_CONFIG, naming file, line and key; what the constructors of deployments throw
 *
 * @example
 * const { serve, app } = await serveConfig('config.yaml')
 */
export async function serveConfig (file: string, options: ServeConfigOptions = {}): Promise<ServedConfig> {
  const { appDir, warn = console.warn } = options
  const source = readConfig(file)
  for (const warning of source.warnings) warn(warning)
  const folder = appDir === undefined ? source.folder : resolve(appDir)
  const functions = source.config.grpcOptions?.grpcServicerFunctions ?? []
  const definitions = await definitionsOf(functions, folder, source)
  const applications = await loadApplications(folder, source)
  const serve = makeServe(definitions, source, options)
  try {
    for (const [i, { name = DEFAULT_NAME, routePrefix = DEFAULT_PREFIX }] of source.config.applications.entries()) {
      await placed(source, `/applications/${i}`, () => serve.run(applications[i]!, { name, routePrefix }))
    }
    const app = await listen(serve, source, options)
    return { serve, app, files: [resolve(file), ...functions.flatMap(path => protoFileOf(path, folder) ?? [])] }
  } catch (error) {
    await serve.shutdown({ graceMs: 0 })
    throw error
  }
}

function makeServe (definitions: readonly ServiceDefinition[], source: ConfigFile, { host, grpcPort, reflection }: ServeConfigOptions): Serve {
  const { httpOptions, grpcOptions, loggingConfig } = source.config
  const tls = tlsOf(grpcOptions ?? {}, '/grpcOptions', source)
  return new Serve({
    definitions,
    host: host ?? httpOptions?.host ?? DEFAULT_HOST,
    port: grpcPort ?? grpcOptions?.port ?? DEFAULT_GRPC_PORT,
    rootPath: httpOptions?.rootPath,
    reflection: reflection ?? grpcOptions?.reflection ?? false,
    telemetry: { accessLog: loggingConfig?.enableAccessLog ?? true },
    timeout: { grpc: { max: milliseconds(grpcOptions?.requestTimeoutS) }, http: { max: milliseconds(httpOptions?.requestTimeoutS) } },
    ...(tls === undefined ? {} : { tls })
  })
}

async function listen (serve: Serve, source: ConfigFile, { host, httpPort, logStream }: ServeConfigOptions): Promise<FastifyInstance> {
  const { httpOptions, loggingConfig } = source.config
  return await serve.listen({
    host: host ?? httpOptions?.host ?? DEFAULT_HOST,
    port: httpPort ?? httpOptions?.port ?? DEFAULT_HTTP_PORT,
    tls: tlsOf(httpOptions ?? {}, '/httpOptions', source),
    fastify: { ...logging(loggingConfig, logStream), keepAliveTimeout: milliseconds(httpOptions?.keepAliveTimeoutS ?? DEFAULT_KEEP_ALIVE_S) }
  })
}

/** Negative seconds are none, as in Ray. */
function milliseconds (seconds: number | null | undefined): number {
  return Math.max(0, (seconds ?? 0) * 1000)
}

const LEVELS: Readonly<Record<string, string>> = { DEBUG: 'debug', INFO: 'info', WARNING: 'warn', ERROR: 'error', CRITICAL: 'fatal', 10: 'debug', 20: 'info', 30: 'warn', 40: 'error', 50: 'fatal' }

/** Requests have the lines of the access log, not those of Fastify. */
export function logging (config?: LoggingConfig | null, stream?: ServeConfigOptions['logStream']): FastifyServerOptions {
  return { ...appLogging({ accessLog: true }), logger: { level: LEVELS[config?.logLevel ?? 'INFO']!, ...(stream === undefined ? {} : { stream }) } }
}

function tlsOf ({ sslKeyfile, sslCertfile, sslCaCerts }: TlsConfig, pointer: string, { folder, error }: ConfigFile): TlsOptions | undefined {
  if (sslKeyfile == null && sslCertfile == null) return undefined
  if (sslKeyfile == null || sslCertfile == null) throw error(pointer, 'needs both ssl_keyfile and ssl_certfile, or neither')
  const path = (file: string): string => isAbsolute(file) ? file : resolve(folder, file)
  return {
    key: path(sslKeyfile),
    cert: path(sslCertfile),
    ...(sslCaCerts == null ? {} : { ca: path(sslCaCerts), requireClientCert: true })
  }
}

async function definitionsOf (functions: readonly string[], folder: string, source: ConfigFile): Promise<ServiceDefinition[]> {
  const found: ServiceDefinition[] = []
  for (const [i, path] of functions.entries()) found.push(...await placed(source, `/grpcOptions/grpcServicerFunctions/${i}`, () => servicesAt(path, folder)))
  return distinct(found)
}

async function loadApplications (folder: string, source: ConfigFile): Promise<BoundDeployment[]> {
  const applications: BoundDeployment[] = []
  for (const [i, application] of source.config.applications.entries()) {
    const pointer = `/applications/${i}`
    const bound = await placed(source, `${pointer}/importPath`, async () => {
      const imported = importPath(application.importPath, folder)
      return await builtApplication(namedExport(await importModule(imported), imported), application.args ?? {}, application.importPath)
    })
    applications.push(overridden(bound, application, pointer, source))
  }
  return applications
}

function overridden (bound: BoundDeployment, { name = DEFAULT_NAME, deployments }: ApplicationConfig, pointer: string, source: ConfigFile): BoundDeployment {
  const byName = new Map([...deploymentNames(bound)].map(([{ deployment }, name]) => [name, deployment]))
  const options = (deployments ?? []).map(({ name: deployment, numReplicas, maxOngoingRequests, maxQueuedRequests }, i): [string, DeploymentOptions] => {
    const at = `${pointer}/deployments/${i}`
    const own = byName.get(deployment)?.options
    if (own === undefined) throw source.error(`${at}/name`, `names the deployment ${deployment}, which application "${name}" does not have. It has: ${[...byName.keys()].join(', ')}`)
    const replicas = numReplicas ?? 1
    if (replicas > 1 && own.module === undefined) throw source.error(`${at}/numReplicas`, `asks for ${replicas} replicas. They are threads, which must know where to load the class from: deployment(${deployment}, { module: import.meta.url })`)
    return [deployment, {
      ...(numReplicas == null || (replicas === 1 && own.replicas === undefined) ? {} : { replicas }),
      ...(maxOngoingRequests === undefined ? {} : { maxOngoingRequests }),
      ...(maxQueuedRequests === undefined ? {} : { maxQueuedRequests })
    }]
  })
  return options.length === 0 ? bound : withOptions(bound, new Map(options))
}

/** What goes wrong is said of the value at fault. */
async function placed<T> ({ error }: ConfigFile, pointer: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw Object.assign(error(pointer, `is wrong: ${(cause as Error).message}`), { cause })
  }
}
