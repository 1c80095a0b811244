/** Services ready to be called: implementations bound to their definitions and models. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import type protobuf from 'protobufjs'
import { configurationErrors, GrpcError } from '../errors.ts'
import { StatusDetails } from '../json/status-details.ts'
import { TypeRegistry } from '../json/type-registry.ts'
import { methodNames, serviceNameOf } from '../schema/from-definition.ts'
import type { Method, Service } from '../schema/service.ts'
import { status } from '../status.ts'
import type { Admission } from './admission.ts'
import type { BoundMethod, Gate, MethodHandler } from './bound-method.ts'
import type { CallTimes } from './call-times.ts'
import { errorStatuses, type ErrorPolicy, type ErrorStatuses } from './error-status.ts'
import { grpcJsHandler, type GrpcJsMethod } from './grpc-js-handlers.ts'
import { methodHandler, type ContextMethod } from './method-handlers.ts'
import type { Logger } from './logger.ts'
import type { OpenCalls } from './open-calls.ts'
import type { NamedRoute, Registration, ServiceOptions } from './registration.ts'

/** A method ready to be called, with its codecs. */
export interface ServedMethod extends BoundMethod {
  readonly definition: MethodDefinition<unknown, unknown>
  readonly implemented: boolean
  /** Its paths over HTTP that the service has named: `/predict`. */
  readonly routes: readonly NamedRoute[]
}

export interface ServedService {
  readonly service: Service
  readonly owner: string
  readonly methods: readonly ServedMethod[]
}

export interface BindingOptions {
  readonly describe: (definition: ServiceDefinition) => Service
  /** Where message types are looked for besides the files of the services. */
  readonly typeRoots: readonly protobuf.Root[]
  readonly errors: ErrorPolicy
  readonly openCalls: OpenCalls
  readonly builtIn: boolean
  /** What the calls of a method have to pass. */
  readonly gateOf: (method: Method) => Gate | undefined
  /** What limits them. */
  readonly admissionOf: (method: Method) => Admission
  readonly timesOf: (method: Method) => CallTimes
}

export interface ServedServices {
  readonly services: readonly ServedService[]
  /** The message types of all these services, and those that were named beside them. */
  readonly types: TypeRegistry
  readonly statusDetails: StatusDetails
  readonly errorStatus: ErrorStatuses
}

/** @throws FGG_ERR_DUPLICATE_SERVICE, and what `describe` throws */
export function bindServices (registrations: readonly Registration[], options: BindingOptions): ServedServices {
  const byName = new Map<string, Registration>()
  for (const registration of registrations) {
    const name = serviceNameOf(registration.definition)
    const other = byName.get(name)
    if (other !== undefined) throw new configurationErrors.FGG_ERR_DUPLICATE_SERVICE(name, other.owner, registration.owner)
    byName.set(name, registration)
  }
  const described = registrations.map(registration => ({ registration, service: options.describe(registration.definition) }))
  const roots = described.flatMap(({ service }) => service.methods.map(({ requestType }) => requestType.root))
  const types = new TypeRegistry([...roots, ...options.typeRoots])
  const statusDetails = new StatusDetails(types)
  const errorStatus = errorStatuses(options.errors, statusDetails)
  return {
    services: described.map(({ registration, service }) => bindService(registration, service, options, errorStatus)),
    types,
    statusDetails,
    errorStatus
  }
}

function bindService (
  { definition, implementation, style, owner, options }: Registration,
  service: Service,
  { errors, openCalls, builtIn, gateOf, admissionOf, timesOf }: BindingOptions,
  errorStatus: ErrorStatuses
): ServedService {
  const routes = ownRoutes(definition, owner, options)
  const models = new Map(service.methods.map(method => [method.path, method]))
  const methods = Object.entries(definition).map(([key, method]): ServedMethod => {
    const model = models.get(method.path)
    if (model === undefined) throw new configurationErrors.FGG_ERR_SERVICE(`${method.path} of the definition that ${owner} registers is not in the descriptors of ${service.fullName}. Load both from the same .proto files`)
    const found = findMethod(implementation, methodNames(key, method))
    const { requestStream, responseStream } = method
    return {
      method: model,
      definition: method,
      implemented: found !== undefined,
      routes: routes.get(key) ?? [],
      handler: found === undefined ? unimplemented(model) : handlerOf(found, style, requestStream, responseStream),
      requestStream,
      errorStatus,
      keepCode: errors.keepCode === true,
      openCalls,
      builtIn,
      gate: gateOf(model),
      admission: admissionOf(model),
      times: timesOf(model),
      isStream: model.kind !== 'unary'
    }
  })
  return { service, owner, methods }
}

/** A path that is the same in a URL and in a route. */
const PLAIN_PATH = /^(\/[\w.~-]+)+$/

/** The paths that a service names for its RPCs, by the keys of its definition. */
function ownRoutes (definition: ServiceDefinition, owner: string, { routes = {} }: ServiceOptions): Map<string, readonly NamedRoute[]> {
  return new Map(Object.entries(routes).map(([name, given = []]) => {
    const found = Object.entries(definition).find(([key, method]) => methodNames(key, method).includes(name))
    if (found === undefined) throw new configurationErrors.FGG_ERR_SERVICE(`${owner} names a route for ${name}, which is no method of ${serviceNameOf(definition)}`)
    const named = [given].flat().map((route): NamedRoute => typeof route === 'string' ? { path: route } : route as NamedRoute)
    for (const { path, form } of named) {
      if (form !== undefined && (found[1].requestStream || found[1].responseStream)) throw new configurationErrors.FGG_ERR_SERVICE(`${owner} names a form of JSON for ${name}, which streams. Only unary methods have forms`)
      if (!PLAIN_PATH.test(path)) throw new configurationErrors.FGG_ERR_SERVICE(`${owner} names the route ${path} for ${name}. Routes are paths like /v1/predict: they begin with a slash, do not end with one, and have no parameters`)
    }
    return [found[0], named]
  }))
}

function handlerOf (method: (...args: never[]) => unknown, style: Registration['style'], requestStream: boolean, responseStream: boolean): MethodHandler {
  return style === 'grpc-js'
    ? grpcJsHandler(method as GrpcJsMethod, requestStream, responseStream)
    : methodHandler(method as ContextMethod, requestStream, responseStream)
}

function unimplemented ({ path }: Method): MethodHandler {
  return () => { throw new GrpcError(status.UNIMPLEMENTED, `The server does not implement the method ${path}`) }
}

/** Finds a method that the user wrote; what every object inherits is none. */
function findMethod (implementation: object, names: readonly string[]): ((...args: never[]) => unknown) | undefined {
  for (const name of names) {
    const method = (implementation as Record<string, unknown>)[name]
    if (typeof method !== 'function' || method === (Object.prototype as unknown as Record<string, unknown>)[name]) continue
    if (name === 'constructor' && !Object.hasOwn(implementation, name)) continue
    return method.bind(implementation)
  }
  return undefined
}

export function warnOfMissingMethods (services: readonly ServedService[], log: Logger): void {
  for (const { service, owner, methods } of services) {
    const missing = methods.filter(method => !method.implemented).map(({ method }) => method.name)
    if (missing.length === 0) continue
    log.warn({ service: service.fullName, missing }, `${owner} does not implement ${missing.join(', ')} of ${service.fullName}: calls get UNIMPLEMENTED`)
  }
}
