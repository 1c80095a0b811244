/** Deployments: classes and functions that answer requests, and how they are composed. */
import type { RequestContext } from './request-context.ts'

/** A class whose methods take `(request, context)`. */
export type DeploymentClass<Arguments extends unknown[] = never[]> = new (...args: Arguments) => object

/** Takes `(request, context)`; it is the method `__call__` of its deployment. */
export type DeploymentFunction = (request: never, context: RequestContext) => unknown

export interface DeploymentOptions {
  /** Its name within an application. Default that of the class or function. */
  name?: string | undefined
  /** How many requests each replica works on at once; others wait. Default no limit; 1 for replicas in threads. */
  maxOngoingRequests?: number | undefined
  /**
   * How many requests may wait; more are refused with RESOURCE_EXHAUSTED. Default -1: no limit.
   */
  maxQueuedRequests?: number | undefined
  /**
   * Replicas in threads of their own, for models that compute: each makes its own instance. It needs `module` and the
   * package piscina. Default: one instance in the thread of the server.
   */
  replicas?: number | undefined
  /** The module that exports the class under its name, so that threads can load it: `import.meta.url`. */
  module?: string | URL | undefined
}

/** What the constructor of a deployment takes: for each handle, the deployment behind it may be given. */
type Bindable<Arguments extends unknown[]> = { [I in keyof Arguments]: Arguments[I] | BoundDeployment }

export type AnyDeployment = DeploymentClass | DeploymentFunction

/** Something that answers requests, not made yet. */
export class Deployment<D extends AnyDeployment = AnyDeployment> {
  readonly target: D
  readonly options: DeploymentOptions

  /** @throws TypeError when it is no class or function, or an option is wrong */
  constructor (target: D, options: DeploymentOptions) {
    if (typeof target !== 'function') throw new TypeError('A deployment must be a class or a function')
    this.target = target
    this.options = checked(options)
    if (this.name === '') throw new TypeError('A deployment without a name needs the option `name`')
  }

  get name (): string {
    return this.options.name ?? this.target.name
  }

  /** The same with other options. */
  with (options: DeploymentOptions): Deployment<D> {
    return new Deployment(this.target, { ...this.options, ...options })
  }

  /**
   * Says what the constructor is given. A deployment among the arguments, bound itself, becomes a handle to it. One that is
   * bound once and given to several is shared by them.
   */
  bind (...args: D extends DeploymentClass<infer Arguments> ? Bindable<Arguments> : []): BoundDeployment {
    return new BoundDeployment(this, args)
  }
}

/** A deployment with its arguments: what `serve.run` makes an application of. */
export class BoundDeployment {
  readonly deployment: Pick<Deployment, 'name' | 'options' | 'target'>
  readonly args: readonly unknown[]

  /** @internal */
  constructor (deployment: Pick<Deployment, 'name' | 'options' | 'target'>, args: readonly unknown[]) {
    this.deployment = deployment
    this.args = args
  }
}

/**
 * Makes a class or a function a deployment.
 *
 * @throws TypeError when an option is wrong
 *
 * @example
 * const app = deployment(FruitMarket).bind(deployment(MangoStand).bind(), deployment(OrangeStand).bind())
 * await serve.run(app, { name: 'fruit', routePrefix: '/fruit' })
 */
export function deployment<D extends AnyDeployment> (target: D, options: DeploymentOptions = {}): Deployment<D> {
  return new Deployment(target, options)
}

function checked (options: DeploymentOptions): DeploymentOptions {
  const { maxOngoingRequests, maxQueuedRequests, replicas, module } = options
  const whole = (name: string, value: number | undefined, least: number): void => {
    if (value !== undefined && !(Number.isInteger(value) && value >= least)) throw new TypeError(`Option \`${name}\` of a deployment must be a whole number from ${least} on, not ${String(value)}`)
  }
  whole('maxOngoingRequests', maxOngoingRequests, 1)
  whole('maxQueuedRequests', maxQueuedRequests, -1)
  whole('replicas', replicas, 1)
  if (replicas !== undefined && module === undefined) throw new TypeError('Option `replicas` of a deployment needs `module`, the module that exports the class, such as import.meta.url')
  return { ...options }
}
