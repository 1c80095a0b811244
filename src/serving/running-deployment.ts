/** A deployment of an application that runs: calls on their way to its replicas. */
import { Ongoing } from './ongoing.ts'
import type { Replica } from './replica.ts'
import { runInContext, streamInContext, type RequestContext } from './request-context.ts'

export class RunningDeployment {
  readonly name: string
  readonly ongoing: Ongoing
  readonly replica: Replica

  constructor (name: string, replica: Replica, ongoing: Ongoing) {
    this.name = name
    this.replica = replica
    this.ongoing = ongoing
  }

  /** @returns the one message of the method, or a promise of it */
  call (method: string, request: unknown, context: RequestContext): unknown {
    const entering = this.ongoing.enter(context)
    return entering === undefined ? this.#run(method, request, context) : entering.then(() => this.#run(method, request, context))
  }

  #run (method: string, request: unknown, context: RequestContext): unknown {
    let result: unknown
    try {
      result = runInContext(context, () => this.replica.call(method, request, context))
      if (isThenable(result)) return this.#whenSettled(method, result)
      refuseStream(method, result)
    } catch (error) {
      this.ongoing.leave()
      throw error
    }
    this.ongoing.leave()
    return result
  }

  async #whenSettled (method: string, promise: PromiseLike<unknown>): Promise<unknown> {
    try {
      const result = await promise
      refuseStream(method, result)
      return result
    } finally {
      this.ongoing.leave()
    }
  }

  /** The messages of a method that returns a stream. */
  async * stream (method: string, request: unknown, context: RequestContext): AsyncGenerator<unknown> {
    await this.ongoing.enter(context)
    try {
      const result = await runInContext(context, () => this.replica.call(method, request, context))
      if (!isStream(result)) throw new TypeError(`Method '${method}' of ${this.name} is called as a stream, but it did not return a generator or another iterable`)
      yield * streamInContext(context, result)
    } finally {
      this.ongoing.leave()
    }
  }
}

function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

function isStream (value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false
  return Symbol.asyncIterator in value || Symbol.iterator in value
}

function refuseStream (method: string, result: unknown): void {
  if (typeof result === 'object' && result !== null && Symbol.asyncIterator in result) {
    throw new TypeError(`Method '${method}' returned a generator. Call it by handle.options({ stream: true }), or declare its response a stream`)
  }
}
