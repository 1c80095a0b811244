/** How users register services: classes with a hook, their instances, and definitions with an object. */
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { FastifyRequest } from 'fastify'
import { configurationErrors } from '../errors.ts'
import { serviceNameOf } from '../schema/from-definition.ts'
import type { CallContext } from './context.ts'

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
  : M extends { responseStream: false } ? Message<T> : Message<T> | Streamed<T>

/** A method may return nothing where it has called `setCode`. */
type Message<T> = T | void | Promise<T | void>

type Streamed<T> = Iterable<T> | AsyncIterable<T> | Promise<Iterable<T> | AsyncIterable<T>>

/**
 * An object whose methods answer the RPCs of a definition: `(request, context)`, under the name of the RPC or
 * that name with a small first letter.
 */
export type ServiceImplementation<D> = string extends keyof D
  ? object
  : { [K in keyof D & string]?: ImplementationOf<D[K]> } & { [K in keyof D & string as Uncapitalize<K>]?: ImplementationOf<D[K]> }

export interface ServiceOptions<D = ServiceDefinition> {
  /**
   * Paths of RPCs over HTTP besides those by convention: `{ Predict: '/predict' }`, or a list of them. They come right
   * after the base path, without the `path` of the gateway.
   */
  routes?: { readonly [K in keyof D]?: string | NamedRoute | ReadonlyArray<string | NamedRoute> | undefined } | undefined
}

/** A path of an RPC over HTTP, and how it differs from others. */
export interface NamedRoute {
  readonly path: string
  /** How the messages of a unary RPC look there, where they are not ProtoJSON. */
  readonly form?: JsonForm | undefined
  /** What Fastify logs of a request to it. Default: as its logger says. */
  readonly loggedRequest?: ((request: FastifyRequest) => LoggedFields) | undefined
}

type LoggedFields = Record<string, unknown>

/** A form of JSON that is not ProtoJSON. */
export interface JsonForm {
  /**
   * @param text the body of the request; empty when it has none
   * @returns the request message as the handler gets it
   * @throws GrpcError INVALID_ARGUMENT
   */
  read (text: string): unknown
  /** @param message as the handler has returned it */
  write (message: unknown): string
}

/** What an `addToServer` hook registers its services with. */
export interface ServiceRegistrar {
  /** grpc-js's own contract: handlers take `(call, callback)`, or `(call)` where the response is a stream. */
  addService<D extends Definition<D>> (definition: D, handlers: object, options?: ServiceOptions<D>): void
  /** Methods take `(request, context)` and return a message, a promise of one, or an (async) iterable of them. */
  implement<D extends Definition<D>> (definition: D, instance: ServiceImplementation<D>, options?: ServiceOptions<D>): void
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
  readonly name: string
  readonly options: ServiceOptions

  /** @internal */
  constructor (definition: ServiceDefinition, implementation: object, name: string, options: ServiceOptions) {
    this.definition = definition
    this.implementation = implementation
    this.name = name
    this.options = options
  }
}

export interface ImplementOptions<D = ServiceDefinition> extends ServiceOptions<D> {
  /** The name in its routes: `POST /grpc/{name}/{method}`. Default: that of the proto service, `Greeter`. */
  name?: string | undefined
}

/**
 * A service from a definition and an object with its `(request, context)` methods.
 *
 * @example
 * new GrpcGateway({ services: [implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) })] })
 */
export function implement<D extends Definition<D>> (definition: D, implementation: ServiceImplementation<D>, { name, ...options }: ImplementOptions<D> = {}): ImplementedService {
  const service = definition as unknown as ServiceDefinition
  return new ImplementedService(service, implementation, name ?? shortName(service), options)
}

/** One call of `addService` or `implement`. */
export interface Registration {
  readonly style: 'grpc-js' | 'context'
  readonly definition: ServiceDefinition
  readonly implementation: object
  /** The class, or the proto service where there is none. */
  readonly owner: string
  readonly options: ServiceOptions
}

/**
 * Runs the `addToServer` hooks.
 *
 * @throws FGG_ERR_SERVICE for what is no service, and for a hook that registers nothing
 */
export function collectRegistrations (sources: readonly ServiceSource[]): Registration[] {
  return sources.flatMap(source => {
    if (source instanceof ImplementedService) {
      const { definition, implementation, name, options } = source
      return [{ style: 'context', definition, implementation, owner: name, options } as const]
    }
    const { owner, hook, instance } = serviceOf(source)
    const registrations: Registration[] = []
    const register = (style: Registration['style'], definition: unknown, implementation: object, options: ServiceOptions = {}): void => {
      const service = definition as ServiceDefinition
      registrations.push({ style, definition: service, implementation, owner: owner === '' ? shortName(service) : owner, options })
    }
    const pending: unknown = hook(instance, {
      addService: (definition, implementation, options) => register('grpc-js', definition, implementation, options),
      implement: (definition, implementation, options) => register('context', definition, implementation, options)
    })
    if (pending instanceof Promise) {
      pending.catch(() => {})
      throw new configurationErrors.FGG_ERR_SERVICE(`Service ${owner}: addToServer must not be async, because services are registered when the gateway is constructed`)
    }
    if (registrations.length === 0) throw new configurationErrors.FGG_ERR_SERVICE(`Service ${owner}: addToServer registered nothing. Call server.implement(definition, instance) or server.addService(definition, handlers)`)
    return registrations
  })
}

function shortName (definition: ServiceDefinition): string {
  return serviceNameOf(definition).split('.').at(-1)!
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
