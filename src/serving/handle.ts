/** Handles: how the methods of one deployment are called by another. */
import type { Logger } from '../call/logger.ts'
import { CALL, methodNamesOf } from './replica.ts'
import type { AnyDeployment } from './deployment.ts'
import { ContextOfModel, detachedContext, requestContext, type RequestContext } from './request-context.ts'
import type { RunningDeployment } from './running-deployment.ts'

export interface HandleOptions {
  /** The method returns a stream. Default false. */
  stream?: boolean | undefined
  /** The model to ask for. Default that of the request. */
  multiplexedModelId?: string | undefined
}

type Unary<F> = F extends (request: infer Request, ...rest: never[]) => infer Result ? (request: Request) => Promise<Awaited<Result>> : never

type ItemOf<S> = S extends AsyncIterable<infer T> | Iterable<infer T> ? T : never

type Streaming<F> = F extends (request: infer Request, ...rest: never[]) => infer Result ? (request: Request) => AsyncIterable<ItemOf<Awaited<Result>>> : never

type MethodsOf<T> = { [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] }

/** The methods of a deployment that return streams. */
export type StreamHandle<T> = T extends (...args: never[]) => unknown ? Streaming<T> : { readonly [K in keyof MethodsOf<T>]: Streaming<T[K]> }

/**
 * The methods of a deployment, each of which takes a request and returns a promise. The request that is being worked for
 * goes along: its deadline, cancellation, metadata and id.
 *
 * @typeParam T the class, or the type of the function, which makes a handle that is called itself
 */
export type DeploymentHandle<T> = (T extends (...args: never[]) => unknown ? Unary<T> : { readonly [K in keyof MethodsOf<T>]: Unary<T[K]> }) & {
  /** The same deployment, called in another way. */
  options (options: HandleOptions & { stream: true }): StreamHandle<T>
  options (options: HandleOptions): DeploymentHandle<T>
}

/** @param target what the deployment was made of */
export function handleOf (running: RunningDeployment, target: AnyDeployment, log: () => Logger, options: HandleOptions = {}): object {
  const context = (): RequestContext => {
    const current = requestContext() ?? detachedContext(log())
    return options.multiplexedModelId === undefined ? current : new ContextOfModel(current, options.multiplexedModelId)
  }
  const method = (name: string) => options.stream === true
    ? (request: unknown) => running.stream(name, request, context())
    : async (request: unknown) => await running.call(name, request, context())
  const methods = Object.fromEntries(methodNamesOf((target.prototype ?? {}) as object).map(name => [name, method(name)]))
  return Object.assign(method(CALL), methods, { options: (more: HandleOptions) => handleOf(running, target, log, { ...options, ...more }) })
}
