/** Services by what Ray calls servicer functions: `fruit.proto:fruit.FruitService`, or an export of a module. */
import { resolve } from 'node:path'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { configurationErrors } from '../../errors.ts'
import { serviceNameOf } from '../../schema/from-definition.ts'
import { loadProto } from '../../schema/load.ts'
import { importModule, importPath, namedExport } from './modules.ts'

/** Files that hold schemas, followed by the name of a service. */
const PROTO_PATH = /^(.+\.(?:proto|binpb|pb|desc|protoset))(?::(.+))?$/

/** @returns the path of the schema file, where one is named and not a module */
export function protoFileOf (path: string, folder: string): string | undefined {
  const file = PROTO_PATH.exec(path)?.[1]
  return file === undefined ? undefined : resolve(folder, file)
}

/**
 * The service of a path; of a file alone, all its services.
 *
 * @param folder from which the file is looked for
 * @throws FGG_ERR_CONFIG, naming the path
 */
export async function servicesAt (path: string, folder: string): Promise<ServiceDefinition[]> {
  const { FGG_ERR_CONFIG } = configurationErrors
  let found: unknown
  try {
    const [, file, service] = PROTO_PATH.exec(path) ?? []
    found = file === undefined ? await exportAt(path, folder) : fromProto(resolve(folder, file), service)
  } catch (error) {
    throw new FGG_ERR_CONFIG(`${path} can't be imported! Please make sure there are no typo in those functions. Or you might want to rebuild service definitions if .proto file is changed. ${(error as Error).message}`)
  }
  const definitions = Array.isArray(found) ? found : [found]
  if (!definitions.every(isDefinition)) throw new FGG_ERR_CONFIG(`${path} is not a service definition! Please make sure it names a .proto file and a service, as in fruit.proto:fruit.FruitService, or an export that loadProto has made`)
  return definitions
}

async function exportAt (path: string, folder: string): Promise<unknown> {
  const imported = importPath(path, folder)
  return namedExport(await importModule(imported), imported)
}

function fromProto (file: string, service: string | undefined): unknown {
  const services = loadProto(file)
  return service === undefined ? distinct(Object.values(services)) : services[service]
}

/** Each once, though a module or `loadProto` may name it twice. */
export function distinct (definitions: readonly ServiceDefinition[]): ServiceDefinition[] {
  return [...new Map(definitions.map(definition => [serviceNameOf(definition), definition])).values()]
}

/** Whether it is what grpc-js, @grpc/proto-loader or `loadProto` calls a service definition. */
export function isDefinition (value: unknown): value is ServiceDefinition {
  if (typeof value !== 'object' || value === null) return false
  const methods = Object.values(value) as Array<Partial<ServiceDefinition[string]> | null>
  return methods.length > 0 && methods.every(method => typeof method === 'object' && typeof method?.path === 'string' && typeof method.requestDeserialize === 'function')
}
