/** The instance behind a deployment. */
import { GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import type { AnyDeployment, DeploymentClass } from './deployment.ts'
import type { RequestContext } from './request-context.ts'

/** What answers the requests of a deployment, in whatever thread. */
export interface Replica {
  /** How many work at once. */
  readonly count: number
  /** @returns what the method returns: a value, a stream, or a promise of one */
  call (method: string, request: unknown, context: RequestContext): unknown
  dispose (): Promise<void>
}

/** The method of a function. */
export const CALL = '__call__'

type Method = (request: unknown, context: RequestContext) => unknown

/** An instance in this thread. */
export class LocalReplica implements Replica {
  readonly count = 1
  readonly #instance: object
  readonly #methods: ReadonlyMap<string, Method>

  constructor (target: AnyDeployment, args: readonly unknown[]) {
    if (isClass(target)) {
      const instance = Reflect.construct(target, args) as object
      this.#instance = instance
      this.#methods = new Map(methodNamesOf(target.prototype as object).map(name => [name, (instance as Record<string, Method>)[name]!.bind(instance)]))
    } else {
      this.#instance = target
      this.#methods = new Map([[CALL, target as Method]])
    }
  }

  call (name: string, request: unknown, context: RequestContext): unknown {
    const method = this.#methods.get(name) ?? this.#methods.get(uncapitalized(name))
    if (method === undefined) throw noSuchMethod(name, [...this.#methods.keys()])
    return method(request, context)
  }

  /** Calls `Symbol.asyncDispose`, `Symbol.dispose`, `dispose` or `close` of the instance, whichever it has. */
  async dispose (): Promise<void> {
    const instance = this.#instance as Record<PropertyKey, unknown>
    for (const name of [Symbol.asyncDispose, Symbol.dispose, 'dispose', 'close']) {
      const method = instance[name]
      if (typeof method === 'function') return await (method as () => unknown).call(instance) as void
    }
  }
}

export function noSuchMethod (name: string, available: readonly string[]): GrpcError {
  return new GrpcError(status.UNIMPLEMENTED, `Tried to call a method '${name}' that does not exist. Available methods: [${available.map(method => `'${method}'`).join(', ')}]`)
}

/** `SayHello` may be written `sayHello`. */
function uncapitalized (name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1)
}

export function isClass (target: AnyDeployment): target is DeploymentClass {
  return /^class\b/.test(Function.prototype.toString.call(target))
}

/** Those of a prototype and of what it inherits from, but for what every object has. */
export function methodNamesOf (prototype: object): string[] {
  const names = new Set<string>()
  for (let object: object | null = prototype; object !== null && object !== Object.prototype; object = Object.getPrototypeOf(object) as object | null) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(object))) {
      if (name !== 'constructor' && typeof value === 'function') names.add(name)
    }
  }
  return [...names]
}
