/** What is served: a configuration file, an application, or services on a plain gateway. */
import { resolve } from 'node:path'
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { FastifyInstance } from 'fastify'
import { ImplementedService, type ServiceSource } from '../../call/registration.ts'
import { GrpcGateway } from '../../gateway/gateway.ts'
import { serviceNameOf } from '../../schema/from-definition.ts'
import { builtApplication, type BuilderArguments } from '../../serving/config/applications.ts'
import { importModule, importPath, namedExport, type ImportPath, type ModuleExports } from '../../serving/config/modules.ts'
import { logging, serveConfig } from '../../serving/config/run.ts'
import { distinct, isDefinition, protoFileOf, servicesAt } from '../../serving/config/services.ts'
import { BoundDeployment } from '../../serving/deployment.ts'
import { Serve } from '../../serving/serve.ts'
import { CommandError, UsageError } from '../command.ts'
import { printWarning } from '../output.ts'
import { isConfigFile } from './config-file.ts'

export interface TargetOptions {
  readonly appDir: string | undefined
  readonly host: string | undefined
  readonly httpPort: number | undefined
  readonly grpcPort: number | undefined
  readonly reflection: boolean | undefined
  readonly name: string | undefined
  readonly routePrefix: string | undefined
  readonly protos: readonly string[]
  readonly services: readonly string[]
  readonly args: BuilderArguments
}

export interface Served {
  readonly gateway: GrpcGateway
  /** Where applications are served. */
  readonly serve: Serve | undefined
  readonly app: FastifyInstance
  /** What is to be watched beside the folder of the modules. */
  readonly files: readonly string[]
  readonly folder: string
}

const DEFAULT_HTTP_PORT = 8000

export async function serveTarget (target: string, options: TargetOptions): Promise<Served> {
  const { appDir } = options
  if (isConfigFile(target)) {
    const { serve, app, files } = await serveConfig(target, { ...options, logStream: process.stderr, warn: printWarning })
    return { gateway: serve.gateway, serve, app, files, folder: resolve(appDir ?? resolve(target, '..')) }
  }
  const folder = resolve(appDir ?? '.')
  const imported = importPath(target, folder)
  const exports = await importModule(imported)
  const services = servicesOf(exports, imported)
  const common = { folder, files: options.protos.map(file => resolve(folder, file)) }
  if (services !== undefined) return { ...common, ...await serveServices(services, options, folder) }
  const application = await builtApplication(applicationExport(exports, imported), options.args, target)
  return { ...common, ...await serveApplication(application, await definitionsOf(exports, options, folder, target), options) }
}

async function serveApplication (application: BoundDeployment, definitions: ServiceDefinition[], { host, httpPort, grpcPort, reflection, name, routePrefix }: TargetOptions): Promise<Omit<Served, 'files' | 'folder'>> {
  const serve = new Serve({ definitions, host, port: grpcPort, reflection, telemetry: { accessLog: true } })
  try {
    await serve.run(application, { name, routePrefix })
    const app = await serve.listen({ host: host ?? '127.0.0.1', port: httpPort ?? DEFAULT_HTTP_PORT, fastify: logging(null, process.stderr) })
    return { gateway: serve.gateway, serve, app }
  } catch (error) {
    await serve.shutdown({ graceMs: 0 })
    throw error
  }
}

async function serveServices (services: readonly ServiceSource[], { host, httpPort, grpcPort, reflection, name, routePrefix, protos, args }: TargetOptions, folder: string): Promise<Omit<Served, 'files' | 'folder'>> {
  if (name !== undefined || routePrefix !== undefined || Object.keys(args).length > 0) throw new UsageError('--name, --route-prefix and arguments are for applications, and the module has services of a gateway')
  const gateway = new GrpcGateway({ services, host, port: grpcPort, reflection, telemetry: { accessLog: true }, ...(protos.length === 0 ? {} : { protos: protos.map(file => resolve(folder, file)) }) })
  const app = await gateway.listen({ host: host ?? '127.0.0.1', port: httpPort ?? DEFAULT_HTTP_PORT, fastify: logging(null, process.stderr) })
  return { gateway, serve: undefined, app }
}

/** The services of a gateway, where the module or the export that is named has such; applications come first. */
function servicesOf (exports: ModuleExports, imported: ImportPath): readonly ServiceSource[] | undefined {
  if (imported.exportName !== undefined) {
    const named = namedExport(exports, imported)
    if (Array.isArray(named)) return named as ServiceSource[]
    return isService(named) ? [named as ServiceSource] : undefined
  }
  if (applicationsIn(exports).length > 0) return undefined
  if (Array.isArray(exports.services)) return exports.services as ServiceSource[]
  const services = Object.values(exports).filter(isService)
  return services.length === 0 ? undefined : [...new Set(services)] as ServiceSource[]
}

function isService (value: unknown): boolean {
  if (value instanceof ImplementedService) return true
  return typeof value === 'function' && typeof (value as { addToServer?: unknown }).addToServer === 'function'
}

function applicationsIn (exports: ModuleExports): Array<[name: string, application: unknown]> {
  return Object.entries(exports).filter(([, value]) => value instanceof BoundDeployment)
}

/** The export that is named; else the default one, else the only application. */
export function applicationExport (exports: ModuleExports, imported: ImportPath): unknown {
  if (imported.exportName !== undefined || Object.hasOwn(exports, 'default')) return namedExport(exports, imported)
  const applications = applicationsIn(exports)
  if (applications.length === 1) return applications[0]![1]
  throw new CommandError(applications.length === 0
    ? `${imported.text} exports nothing that can be served: no application, no services and no class with addToServer`
    : `${imported.text} exports several applications. Name one: ${applications.map(([name]) => `${imported.text}:${name}`).join(', ')}`)
}

/** Those of --proto; else what the module exports, as a list `definitions` or one by one. */
async function definitionsOf (exports: ModuleExports, { protos, services }: TargetOptions, folder: string, target: string): Promise<ServiceDefinition[]> {
  const found: ServiceDefinition[] = []
  for (const file of protos) {
    if (protoFileOf(file, folder) === undefined) throw new UsageError(`--proto must name a .proto file or a descriptor set, not ${file}`)
    found.push(...await servicesAt(file, folder))
  }
  if (protos.length === 0) found.push(...[exports.definitions, Object.values(exports)].flat().filter(isDefinition))
  const all = distinct(found)
  if (all.length === 0) throw new CommandError(`No service is known for ${target}. Name its .proto file by --proto, or export what loadProto returns for it`)
  return services.length === 0
    ? all
    : services.map(name => {
      const definition = all.find(definition => [serviceNameOf(definition), serviceNameOf(definition).split('.').at(-1)].includes(name))
      if (definition === undefined) throw new CommandError(`There is no service ${name}. There are: ${all.map(serviceNameOf).join(', ')}`)
      return definition
    })
}
