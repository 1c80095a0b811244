/** Replicas in threads of their own, kept by piscina: it queues, and follows a thread that dies with another. */
import { MessageChannel } from 'node:worker_threads'
import type { Logger } from '../../call/logger.ts'
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'
import type { Replica } from '../replica.ts'
import type { RequestContext } from '../request-context.ts'
import type { FromReplica, Outcome, ReplicaSource, SentContext, Task, ToReplica } from './messages.ts'
import { receivedError, sentError } from './sent-error.ts'

export interface ThreadReplicasOptions {
  /** Of the deployment, for messages. */
  readonly name: string
  readonly exportName: string
  readonly module: string | URL
  readonly count: number
  /** How many requests each thread works on at once. */
  readonly atOnce: number
  readonly args: readonly unknown[]
  readonly log: () => Logger
}

/** The compiled file, or its source where that is run. */
const THREAD = new URL(`./replica-thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url).href

type Port = MessageChannel['port1']

/** The part of piscina's pool that is used here; its own types do not compile with exactOptionalPropertyTypes. */
interface Pool {
  run (task: Task, options: { transferList?: readonly Port[] }): Promise<unknown>
  on (event: 'error', listener: (error: unknown) => void): void
  destroy (): Promise<void>
}

type PoolClass = new (options: {
  filename: string
  minThreads: number
  maxThreads: number
  concurrentTasksPerWorker: number
  workerData: ReplicaSource
}) => Pool

/** Not a literal, for which types would be looked for. */
const PISCINA: string = 'piscina'

export class ThreadReplicas implements Replica {
  readonly count: number
  readonly #pool: Pool
  readonly #name: string

  private constructor (pool: Pool, { name, count, log }: ThreadReplicasOptions) {
    this.count = count
    this.#pool = pool
    this.#name = name
    pool.on('error', error => log().error({ err: error, deployment: name }, 'A thread of a deployment has failed'))
  }

  /** @throws what the constructor of the class throws; TypeError when arguments cannot be sent, or piscina is not installed */
  static async start (options: ThreadReplicasOptions): Promise<ThreadReplicas> {
    const { name, count, atOnce, module, exportName, args } = options
    const workerData: ReplicaSource = { module: String(module), exportName, args: cloned(name, args) }
    const PoolClass = await poolClass(name)
    const pool = new PoolClass({ filename: THREAD, minThreads: count, maxThreads: count, concurrentTasksPerWorker: atOnce, workerData })
    const replicas = new ThreadReplicas(pool, options)
    try {
      await Promise.all(Array.from({ length: count * atOnce }, async () => valueOf(await replicas.#work({}))))
    } catch (error) {
      await pool.destroy()
      throw error
    }
    return replicas
  }

  async call (method: string, request: unknown, context: RequestContext): Promise<unknown> {
    if (typeof request === 'object' && request !== null && Symbol.asyncIterator in request) {
      throw new GrpcError(status.UNIMPLEMENTED, `Replicas of ${this.#name} are threads, to which a stream of requests cannot be sent`)
    }
    const { port1: port, port2 } = new MessageChannel()
    const abort = (): void => port.postMessage({ aborted: sentError(context.signal.reason) } satisfies ToReplica)
    context.signal.addEventListener('abort', abort, { once: true })
    if (context.signal.aborted) abort()
    const end = (): void => {
      context.signal.removeEventListener('abort', abort)
      port.close()
    }
    const began = this.#streamOf(port, context, end)
    const outcome = this.#work({ method, request, context: sentContext(context), port: port2 })
    const value = outcome.then(valueOf)
    const first = await Promise.race([began, value.then(() => undefined)]).catch(error => {
      end()
      throw error
    })
    if (first !== undefined) {
      value.catch(() => {})
      return first(value)
    }
    end()
    return await value
  }

  async dispose (): Promise<void> {
    await this.#pool.destroy()
  }

  async #work (task: Task): Promise<Outcome> {
    try {
      return await this.#pool.run(task, task.port === undefined ? {} : { transferList: [task.port] }) as Outcome
    } catch (error) {
      if (error instanceof DOMException) throw new TypeError(`What was sent to the replicas of ${this.#name}, which are threads, cannot be cloned: ${error.message}`)
      throw new GrpcError(status.UNAVAILABLE, `A replica of ${this.#name} ended while it worked on the request`, { cause: error })
    }
  }

  /** Resolves when the method turns out to return a stream, to what makes it one here too. */
  #streamOf (port: Port, { log }: RequestContext, end: () => void): Promise<(outcome: Promise<unknown>) => AsyncGenerator<unknown>> {
    const items: Array<Extract<FromReplica, { item: unknown }>['item']> = []
    let wake: (() => void) | undefined
    const began = new Promise<(outcome: Promise<unknown>) => AsyncGenerator<unknown>>(resolve => {
      port.on('message', (message: FromReplica) => {
        if (message === 'stream') return resolve(stream)
        if ('log' in message) return log[message.log](message.fields, message.message)
        items.push(message.item)
        wake?.()
      })
    })

    async function * stream (outcome: Promise<unknown>): AsyncGenerator<unknown> {
      let isOver = false
      // The last item may still be on its way when the thread is done; one that has died sends none.
      const died = outcome.then(() => new Promise<never>(() => {}))
      died.catch(() => {})
      try {
        for (;;) {
          port.postMessage('next' satisfies ToReplica)
          if (items.length === 0) await Promise.race([new Promise<void>(resolve => { wake = resolve }), died])
          const item = items.shift()!
          if ('error' in item) {
            isOver = true
            throw receivedError(item.error)
          }
          isOver = item.done
          if (isOver) return
          yield item.value
        }
      } finally {
        if (!isOver) port.postMessage('return' satisfies ToReplica)
        end()
      }
    }

    return began
  }
}

function valueOf (outcome: Outcome): unknown {
  if ('error' in outcome) throw receivedError(outcome.error)
  return outcome.value
}

function sentContext ({ application, deadline, metadata, multiplexedModelId, principal, requestId }: RequestContext): SentContext {
  return { application, deadline, metadata: metadata.toHttp2Headers(), multiplexedModelId, principal, requestId }
}

function cloned (name: string, args: readonly unknown[]): readonly unknown[] {
  try {
    return structuredClone(args)
  } catch (cause) {
    throw new TypeError(`An argument of ${name} cannot be sent to threads, as \`replicas\` asks for: ${(cause as Error).message}`, { cause })
  }
}

async function poolClass (name: string): Promise<PoolClass> {
  try {
    return (await import(PISCINA) as { Piscina: PoolClass }).Piscina
  } catch (cause) {
    throw new TypeError(`The replicas of ${name} need the package piscina: npm install piscina`, { cause })
  }
}
