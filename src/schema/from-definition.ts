/** Finds the model of a service from its grpc-js definition, whichever tool generated that. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import descriptor, { type IDescriptorProto, type IFileDescriptorProto } from 'protobufjs/ext/descriptor.js'
import { configurationErrors } from '../errors.ts'
import type { LoadedMethodDefinition } from './definition.ts'
import { nameFields } from './descriptor-set.ts'
import { filesFromProtoLoader } from './descriptors/from-proto-loader.ts'
import { rememberSource, type DescriptorSource } from './descriptors/sources.ts'
import { loadedService, loadServices, type ProtoSource } from './load.ts'
import { typedOptions } from './options.ts'
import { serviceFrom, type Options, type Service } from './service.ts'

/** What @grpc/proto-loader's method definitions carry beside grpc-js's own properties. */
interface ProtoLoaderMethod extends MethodDefinition<unknown, unknown> {
  readonly requestType?: { readonly fileDescriptorProtos?: readonly Uint8Array[] }
  readonly options?: Options
}

/**
 * Makes the function that describes definitions. It looks, in this order, at what `loadProto` remembers, at
 * `protos`, and at the descriptors that @grpc/proto-loader leaves in its definitions. The latter lack comments,
 * custom options of anything but methods, `json_name`, the names that fields had before they were made camelCase,
 * and all that proto2 and editions have beyond proto3, such as the presence of fields.
 *
 * @throws FGG_ERR_NO_SCHEMA when none of these knows the service
 */
export function serviceDescriber (protos?: ProtoSource, includeDirs?: readonly string[]): (definition: ServiceDefinition) => Service {
  const known = new Map<string, Service>()
  if (protos !== undefined) {
    for (const reflection of loadServices(protos, { includeDirs })) {
      const service = serviceFrom(reflection)
      known.set(service.fullName, service)
    }
  }
  return definition => {
    const fullName = serviceNameOf(definition)
    const service = loadedService(definition) ?? known.get(fullName) ?? rebuiltService(definition, fullName)
    if (service === undefined) throw new configurationErrors.FGG_ERR_NO_SCHEMA(fullName)
    return service
  }
}

/** `helloworld.Greeter`, from the path `/helloworld.Greeter/SayHello` of its first method. */
export function serviceNameOf (definition: ServiceDefinition): string {
  const path = Object.values(definition)[0]?.path
  const name = path === undefined ? undefined : /^\/([^/]+)\/[^/]+$/.exec(path)?.[1]
  if (name === undefined) {
    throw new configurationErrors.FGG_ERR_SERVICE(path === undefined
      ? 'A service definition has no methods. Pass a grpc-js ServiceDefinition, such as `loadProto(file).Greeter` or `grpc.loadPackageDefinition(…).Greeter.service`'
      : `A service definition has the method path ${path}, which is not of the form /package.Service/Method`)
  }
  return name
}

function rebuiltService (definition: ServiceDefinition, fullName: string): Service | undefined {
  const methods = new Map(Object.values(definition).map(method => [method.path.split('/')[2]!, method as ProtoLoaderMethod]))
  const files = [...methods.values()][0]?.requestType?.fileDescriptorProtos
  if (files === undefined) return undefined
  const root = protobuf.Root.fromDescriptor({ file: files.map(decodeFile) })
  rememberSource(root, protoLoaderSource(files, methods.values()))
  const reflection = root.lookupService(fullName)
  return serviceFrom(reflection, name => typedOptions(reflection, [methods.get(name)?.options ?? {}]))
}

interface ProtoLoaderSource extends DescriptorSource {
  /** By the paths of methods. */
  readonly methodOptions: Map<string, Options>
}

/** One for all definitions that were loaded together. Their services have different options. */
const protoLoaderSources = new WeakMap<readonly Uint8Array[], ProtoLoaderSource>()

function protoLoaderSource (files: readonly Uint8Array[], methods: Iterable<ProtoLoaderMethod>): DescriptorSource {
  const methodOptions = protoLoaderSources.get(files)?.methodOptions ?? new Map<string, Options>()
  const source = protoLoaderSources.get(files) ?? { isExact: false, methodOptions, files: () => filesFromProtoLoader(files.map(decodeFile), methodOptions) }
  protoLoaderSources.set(files, source)
  for (const { path, options = {} } of methods) methodOptions.set(path, options)
  return source
}

function decodeFile (bytes: Uint8Array): IFileDescriptorProto {
  const file = descriptor.FileDescriptorProto.decode(bytes) as IFileDescriptorProto
  for (const message of file.messageType ?? []) {
    mendMaps(message)
    if (file.package === 'google.protobuf' && message.name === 'Value') nameFields(message, protobuf.util.camelCase)
  }
  return file
}

/**
 * @grpc/proto-loader names the entry type of a map `labels` just `Labels`, which may be another type's name. Of what
 * it has from a descriptor set, it takes the types around entry types for entry types too.
 */
function mendMaps ({ field = [], nestedType = [] }: IDescriptorProto): void {
  for (const nested of nestedType) {
    mendMaps(nested)
    if (nested.options?.mapEntry !== true) continue
    if (nested.nestedType!.length > 0) nested.options.mapEntry = false
    const map = field.find(({ name, typeName }) => typeName === nested.name && protobuf.util.ucFirst(name!) === typeName)
    if (nested.options.mapEntry && map !== undefined) nested.name = map.typeName = `map$${nested.name}`
  }
}

/** The names under which an implementation may carry a method: `SayHello`, `sayHello`. */
export function methodNames (key: string, method: MethodDefinition<unknown, unknown>): string[] {
  const name = method.path.split('/')[2]!
  const originalName = (method as Partial<LoadedMethodDefinition>).originalName
  return [...new Set([name, key, originalName ?? key, name[0]!.toLowerCase() + name.slice(1)])]
}
