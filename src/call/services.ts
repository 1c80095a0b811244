/** Binds what users give as services to definitions and models, whichever way they registered. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { configurationErrors, GrpcError } from '../errors.ts'
import { TypeRegistry } from '../json/status-details.ts'
import { methodNames, serviceNameOf } from '../schema/from-definition.ts'
import type { Method, Service } from '../schema/service.ts'
import { status } from '../status.ts'
import type { CallContext } from './context.ts'
import { errorStatuses, type ErrorOptions, type ErrorStatus } from './error-status.ts'
import { grpcJsHandler, type GrpcJsMethod } from './grpc-js-handlers.ts'
import type { BoundMethod, MethodHandler } from './invocation.ts'
import { methodHandler, type ContextMethod } from './method-handlers.ts'
import type { OpenCalls } from './open-calls.ts'

/** A grpc-js `ServiceDefinition`, whatever its generics. */
export type Definition<D> = {
  readonly [K in keyof D]: {
    path: string
    requestStream: boolean
    responseStream: boolean
    requestDeserialize: (bytes: Buffer) => unknown
    responseSerialize: (message: never) => Buffer
  }
}

/** The method of an implementation for one method of a grpc-js definition. */
type ImplementationOf<M> = M extends {
  requestDeserialize: (bytes: Buffer) => infer Request
  responseSerialize: (message: infer Response) => Buffer
}
  ? (request: RequestOf<M, Request>, context: CallContext) => ResponseOf<M, Response>
  : never

type RequestOf<M, T> = M extends { requestStream: true } ? AsyncIterable<T> : M extends { requestStream: false } ? T : T & AsyncIterable<T>

type ResponseOf<M, T> = M extends { responseStream: true }
  ? Streamed<T>
  : M extends { responseStream: false } ? T | Promise<T> : T | Promise<T> | Streamed<T>

type Streamed<T> = Iterable<T> | AsyncIterable<T> | Promise<Iterable<T> | AsyncIterable<T>>

/**
 * An object whose methods answer the RPCs of a definition: `(request, context)`, under the name of the RPC or
 * that name with a small first letter.
 */
export type ServiceImplementation<D> = string extends keyof D
  ? object
  : { [K in keyof D & string]?: ImplementationOf<D[K]> } & { [K in keyof D & string as Uncapitalize<K>]?: ImplementationOf<D[K]> }

/** What an `addToServer` hook registers its services with. */
export interface ServiceRegistrar {
  /** grpc-js's own contract: handlers take `(call, callback)`, or `(call)` where the response is a stream. */
  addService<D extends Definition<D>> (definition: D, handlers: object): void
  /** Methods take `(request, context)` and return a message, a promise of one, or an (async) iterable of them. */
  implement<D extends Definition<D>> (definition: D, instance: ServiceImplementation<D>): void
}

/** A class with the hook; the gateway makes its instance. */
export interface ServiceClass<T extends object = object> {
  new (): T
  addToServer (instance: T, server: ServiceRegistrar): void
}

/** A service class, an instance of one, or what `implement` returns. */
export type ServiceSource = ServiceClass<never> | object

/** A service made without a class, to be given to `services`. */
export class ImplementedService {
  readonly definition: ServiceDefinition
  readonly implementation: object

  /** @internal */
  constructor (definition: ServiceDefinition, implementation: object) {
    this.definition = definition
    this.implementation = implementation
  }
}

/**
 * A service from a definition and an object with its `(request, context)` methods.
 *
 * @example
 * new GrpcGateway({ services: [implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) })] })
 */
export function implement<D extends Definition<D>> (definition: D, implementation: ServiceImplementation<D>): ImplementedService {
  return new ImplementedService(definition as unknown as ServiceDefinition, implementation)
}

/** One call of `addService` or `implement`. */
export interface Registration {
  readonly style: 'grpc-js' | 'context'
  readonly definition: ServiceDefinition
  readonly implementation: object
  /** The class, or the proto service where there is none. */
  readonly owner: string
}

/**
 * Runs the `addToServer` hooks.
 *
 * @throws FGG_ERR_SERVICE for what is no service, and for a hook that registers nothing
 */
export function collectRegistrations (sources: readonly ServiceSource[]): Registration[] {
  return sources.flatMap(source => {
    if (source instanceof ImplementedService) {
      const { definition, implementation } = source
      return [{ style: 'context', definition, implementation, owner: serviceNameOf(definition).split('.').at(-1)! } as const]
    }
    const { owner, hook, instance } = serviceOf(source)
    const registrations: Registration[] = []
    const register = (style: Registration['style'], definition: unknown, implementation: object): void => {
      registrations.push({ style, definition: definition as ServiceDefinition, implementation, owner })
    }
    const pending: unknown = hook(instance, {
      addService: (definition, implementation) => register('grpc-js', definition, implementation),
      implement: (definition, implementation) => register('context', definition, implementation)
    })
    if (pending instanceof Promise) {
      pending.catch(() => {})
      throw new configurationErrors.FGG_ERR_SERVICE(`Service ${owner}: addToServer must not be async, because services are registered when the gateway is constructed`)
    }
    if (registrations.length === 0) throw new configurationErrors.FGG_ERR_SERVICE(`Service ${owner}: addToServer registered nothing. Call server.implement(definition, instance) or server.addService(definition, handlers)`)
    return registrations
  })
}

interface Hooked { owner: string, instance: object, hook: (instance: object, server: ServiceRegistrar) => void }

function serviceOf (source: unknown): Hooked {
  const isClass = typeof source === 'function'
  const constructor = (isClass ? source : (source as object | null)?.constructor) as Partial<ServiceClass> & { name?: string } | undefined
  const owner = constructor?.name ?? String(source)
  if (typeof constructor?.addToServer !== 'function') {
    throw new configurationErrors.FGG_ERR_SERVICE(`Service ${owner} must have a static addToServer(instance, server) method. For an object without a class, use implement(definition, object)`)
  }
  return {
    owner,
    instance: isClass ? new (source as ServiceClass)() : source as object,
    hook: constructor.addToServer.bind(constructor) as Hooked['hook']
  }
}

/** A method ready to be called, with its codecs. */
export interface ServedMethod extends BoundMethod {
  readonly definition: MethodDefinition<unknown, unknown>
  readonly implemented: boolean
}

export interface ServedService {
  readonly service: Service
  readonly owner: string
  readonly methods: readonly ServedMethod[]
}

export interface BindingOptions {
  readonly describe: (definition: ServiceDefinition) => Service
  readonly errors: ErrorOptions
  readonly openCalls: OpenCalls
}

export interface ServedServices {
  readonly services: readonly ServedService[]
  /** The message types of all these services. */
  readonly types: TypeRegistry
  readonly errorStatus: (error: unknown) => ErrorStatus
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
  const types = new TypeRegistry(described.flatMap(({ service }) => service.methods.map(({ requestType }) => requestType.root)))
  const errorStatus = errorStatuses(options.errors, types)
  return {
    services: described.map(({ registration, service }) => bindService(registration, service, options, errorStatus)),
    types,
    errorStatus
  }
}

function bindService (
  { definition, implementation, style, owner }: Registration,
  service: Service,
  { errors, openCalls }: BindingOptions,
  errorStatus: (error: unknown) => ErrorStatus
): ServedService {
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
      handler: found === undefined ? unimplemented(model) : handlerOf(found, style, requestStream, responseStream),
      requestStream,
      errorStatus,
      keepCode: errors.keepCode === true,
      openCalls
    }
  })
  return { service, owner, methods }
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
