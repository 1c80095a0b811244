/** Loads .proto files and descriptor sets. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ServiceDefinition } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { configurationErrors } from '../errors.ts'
import { defaultMessageOptions, definitionFrom, type MessageOptions } from './definition.ts'
import { rootFromDescriptorSet } from './descriptor-set.ts'
import { filesFromProtos } from './descriptors/from-proto-files.ts'
import { rememberSource } from './descriptors/sources.ts'
import { typeOptions } from './options.ts'
import { protoFinder } from './proto-files.ts'
import { serviceFrom, type Service } from './service.ts'

/** The path or file URL of a .proto file or of a descriptor set, or the bytes of a descriptor set. */
export type ProtoEntry = string | URL | Uint8Array

/** Where messages and services are defined. */
export type ProtoSource = ProtoEntry | readonly ProtoEntry[]

export interface LoadOptions extends MessageOptions {
  /** Folders in which imports, and relative paths, are looked for. Default none. */
  includeDirs?: readonly string[] | undefined
}

/** The service definitions of some files: each by its full name, and by its short name where that is unique. */
export type ProtoServices = Readonly<Record<string, ServiceDefinition>>

const services = new WeakMap<ServiceDefinition, Service>()

/** The model of a service whose definition `loadProto` made. */
export function loadedService (definition: ServiceDefinition): Service | undefined {
  return services.get(definition)
}

/**
 * Loads services from .proto files, or from descriptor sets. Imports of google/api, google/rpc, google/type
 * and google/protobuf files are found without being vendored.
 *
 * Handlers get plain objects: camelCase names, 64-bit integers and enums as strings, defaults and oneofs
 * filled in, unless `options` say otherwise. The definitions work with grpc-js and its clients too.
 *
 * @throws FGG_ERR_PROTO_NOT_FOUND, FGG_ERR_PROTO_SYNTAX, FGG_ERR_PROTO_DUPLICATE, each naming the file;
 *   FGG_ERR_UNKNOWN_SERVICE when a service is asked for that the files do not define
 *
 * @example
 * const { Greeter } = loadProto('protos/helloworld.proto')
 */
export function loadProto<T extends object = ProtoServices> (source: ProtoSource, options: LoadOptions = {}): T {
  const messageOptions = { ...defaultMessageOptions, ...options }
  const definitions = new Map<string, ServiceDefinition>()
  const fullNames = new Map<string, string[]>()
  for (const reflection of loadServices(source, messageOptions)) {
    const service = serviceFrom(reflection)
    const definition = definitionFrom(reflection, messageOptions)
    services.set(definition, service)
    definitions.set(service.fullName, definition)
    fullNames.set(service.name, [...fullNames.get(service.name) ?? [], service.fullName])
  }
  for (const [name, [fullName, ...others]] of fullNames) {
    if (others.length === 0 && !definitions.has(name)) definitions.set(name, definitions.get(fullName!)!)
  }
  return new Proxy(Object.fromEntries(definitions), {
    get (target, name, receiver) {
      if (typeof name === 'string' && !Object.hasOwn(target, name) && looksLikeService(name)) {
        throw unknownService(name, source, fullNames)
      }
      return Reflect.get(target, name, receiver)
    }
  }) as T
}

/** The `then` of an await and the `toJSON` of a print are no services. */
function looksLikeService (name: string): boolean {
  return /^[A-Z]|\./.test(name)
}

function unknownService (name: string, source: ProtoSource, fullNames: ReadonlyMap<string, string[]>): Error {
  const candidates = fullNames.get(name)
  const problem = candidates === undefined
    ? `${describe(source)} defines no service ${name}. It defines: ${[...fullNames.values()].flat().join(', ') || 'none'}`
    : `${name} is ambiguous in ${describe(source)}. Name one of: ${candidates.join(', ')}`
  return new configurationErrors.FGG_ERR_UNKNOWN_SERVICE(problem)
}

/** Every service of the source, once. Types are resolved. */
export function loadServices (source: ProtoSource, options: LoadOptions): protobuf.Service[] {
  const byName = new Map<string, protobuf.Service>()
  for (const root of loadRoots(source, options)) {
    for (const service of servicesIn(root)) {
      const twin = byName.get(service.fullName)
      if (twin !== undefined) {
        throw new configurationErrors.FGG_ERR_PROTO_DUPLICATE(`Service ${service.fullName.slice(1)} is defined twice: in ${twin.filename} and in ${service.filename}`)
      }
      byName.set(service.fullName, service)
    }
  }
  return [...byName.values()]
}

/** The reflection of all files of the source. Types are resolved. */
export function loadRoots (source: ProtoSource, options: LoadOptions): protobuf.Root[] {
  const find = protoFinder(options.includeDirs ?? [])
  const protoFiles: string[] = []
  const roots: protobuf.Root[] = []
  for (const entry of entriesOf(source)) {
    if (entry instanceof Uint8Array) {
      roots.push(rootFromDescriptorSet(entry, 'The descriptor set', options.keepCase === true))
    } else if (entry.endsWith('.proto')) {
      protoFiles.push(entry)
    } else {
      roots.push(rootFromDescriptorSet(readFileSync(find('', entry)), entry, options.keepCase === true))
    }
  }
  if (protoFiles.length > 0) {
    const root = rootFromProtoFiles(protoFiles, find, options.keepCase === true)
    rememberSource(root, { isExact: true, files: () => filesFromProtos(protoFiles, options.includeDirs ?? []) })
    roots.unshift(root)
  }
  return roots
}

function rootFromProtoFiles (files: readonly string[], find: (importer: string, file: string) => string, keepCase: boolean): protobuf.Root {
  const root = new protobuf.Root()
  root.resolvePath = find
  try {
    root.loadSync([...files], { keepCase, alternateCommentMode: true })
    root.resolveAll()
    typeOptions(root)
    return root
  } catch (error) {
    throw describeLoadError(error as Error & { code?: string }, files, root)
  }
}

function describeLoadError (error: Error & { code?: string }, files: readonly string[], root: protobuf.Root): Error {
  if (error.code?.startsWith('FGG_') === true) return error
  // Types are resolved when all files are read; until then, the last one is at fault.
  const file = /^(no such|unresolvable)/.test(error.message) ? files.join(', ') : root.files.at(-1)!
  const duplicate = /^duplicate name '(.+)' in (\w+ ?(.*))$/.exec(error.message)
  if (duplicate !== null) {
    const [, name, scope, scopeName] = duplicate
    const first = root.lookup(`${scopeName}.${name}`)?.filename ?? file
    return new configurationErrors.FGG_ERR_PROTO_DUPLICATE(`${name} is defined twice in ${scope}: in ${first} and in ${file}`)
  }
  return new configurationErrors.FGG_ERR_PROTO_SYNTAX(`Cannot load ${file}: ${error.message.replace(`${file}, `, '')}`)
}

function servicesIn (namespace: protobuf.NamespaceBase): protobuf.Service[] {
  return namespace.nestedArray.flatMap(object => {
    if (object instanceof protobuf.Service) return [object]
    return object instanceof protobuf.Namespace ? servicesIn(object) : []
  })
}

/** File URLs become paths. */
function entriesOf (source: ProtoSource): Array<string | Uint8Array> {
  const entries = Array.isArray(source) ? source as readonly ProtoEntry[] : [source as ProtoEntry]
  return entries.map(entry => entry instanceof URL ? fileURLToPath(entry) : entry)
}

function describe (source: ProtoSource): string {
  return entriesOf(source).map(entry => typeof entry === 'string' ? entry : 'the descriptor set').join(', ')
}
