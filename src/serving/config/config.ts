/** Configuration files in the form of Ray Serve's: what they say, checked. */
import { readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { Ajv, type ErrorObject } from 'ajv'
import { configurationErrors } from '../../errors.ts'
import { ConfigDocument, snakeCase } from './document.ts'
import { CONFIG_SCHEMA } from './schema.ts'

export interface TlsConfig {
  /** PEM files, from the folder of the configuration file. */
  readonly sslKeyfile?: string | null
  readonly sslCertfile?: string | null
  /** The authorities of client certificates, which are then needed. */
  readonly sslCaCerts?: string | null
}

export interface HttpConfig extends TlsConfig {
  readonly host?: string
  readonly port?: number
  readonly rootPath?: string
  readonly requestTimeoutS?: number | null
  readonly keepAliveTimeoutS?: number
}

export interface GrpcConfig extends TlsConfig {
  readonly port?: number
  readonly grpcServicerFunctions?: readonly string[]
  readonly requestTimeoutS?: number | null
  readonly reflection?: boolean
}

export interface LoggingConfig {
  readonly logLevel?: string | number
  readonly enableAccessLog?: boolean
}

export interface DeploymentConfig {
  readonly name: string
  readonly numReplicas?: number | null
  readonly maxOngoingRequests?: number
  readonly maxQueuedRequests?: number
}

export interface ApplicationConfig {
  readonly name?: string
  readonly routePrefix?: string | null
  readonly importPath: string
  readonly args?: Readonly<Record<string, unknown>> | null
  readonly deployments?: readonly DeploymentConfig[] | null
}

export interface ServeConfig {
  readonly httpOptions?: HttpConfig | null
  readonly grpcOptions?: GrpcConfig | null
  readonly loggingConfig?: LoggingConfig | null
  readonly applications: readonly ApplicationConfig[]
}

export interface ConfigFile {
  /** The folder of the file. */
  readonly folder: string
  readonly config: ServeConfig
  /** What is ignored, each with file, line and key. */
  readonly warnings: readonly string[]
  /** An error about a value: `/applications/0/importPath`. */
  error (pointer: string, sentence: string): Error
}

export const DEFAULT_NAME = 'default'
export const DEFAULT_PREFIX = '/'

/** @throws FGG_ERR_CONFIG, naming file, line and key of everything that is wrong, each in a line */
export function readConfig (file: string): ConfigFile {
  const { FGG_ERR_CONFIG } = configurationErrors
  const document = new ConfigDocument(readText(file), basename(file), CONFIG_SCHEMA)
  if (document.problems.length > 0) throw new FGG_ERR_CONFIG(document.problems.join('\n'))
  const validate = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true }).compile<ServeConfig>(CONFIG_SCHEMA)
  const { value } = document
  const problems = validate(value) ? duplicates(value, document) : validate.errors!.map(error => document.at(error.instancePath, sentenceOf(error)))
  if (problems.length > 0) throw new FGG_ERR_CONFIG(problems.join('\n'))
  return {
    folder: dirname(resolve(file)),
    config: value as ServeConfig,
    warnings: document.warnings,
    error: (pointer, sentence) => new FGG_ERR_CONFIG(document.at(pointer, sentence))
  }
}

function readText (file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new configurationErrors.FGG_ERR_CONFIG(`Cannot read ${file}: ${(error as Error).message}`)
  }
}

/** What is wrong, after the name of the value. */
function sentenceOf ({ keyword, params, message = 'is wrong', data }: ErrorObject): string {
  switch (keyword) {
    case 'required': return `lacks ${snakeCase(params.missingProperty as string)}`
    case 'enum': return `must be one of ${(params.allowedValues as unknown[]).join(', ')}, not ${shown(data)}`
    case 'type': return `must be ${[params.type].flat().join(' or ')}, not ${shown(data)}`
    default: return `${message}, not ${shown(data)}`
  }
}

function shown (data: unknown): string {
  if (data === undefined || data === null) return 'empty'
  return JSON.stringify(data).slice(0, 60)
}

/** In the words of Ray. */
function duplicates ({ applications }: ServeConfig, document: ConfigDocument): string[] {
  const names = new Set<string>()
  const prefixes = new Set<string>()
  return applications.flatMap(({ name = DEFAULT_NAME, routePrefix = DEFAULT_PREFIX }, i) => {
    const problems: string[] = []
    if (name === '') problems.push(document.line(`/applications/${i}/name`, 'Application names must be nonempty.'))
    if (names.has(name)) problems.push(document.line(`/applications/${i}/name`, `Found multiple configs for application "${name}". Please remove all duplicates.`))
    const prefix = routePrefix === '/' ? routePrefix : routePrefix?.replace(/\/+$/, '')
    if (prefix !== undefined && prefixes.has(prefix)) problems.push(document.line(`/applications/${i}/routePrefix`, `Found duplicate applications for route prefix "${prefix}". Please ensure each application's route_prefix is unique.`))
    names.add(name)
    if (prefix !== undefined) prefixes.add(prefix)
    return problems
  })
}
