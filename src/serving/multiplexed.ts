/** Many models in one process, of which the lately used are in memory. */
import { currentCall, type CurrentCall } from '../call/current-call.ts'
import { consoleLogger, type Logger } from '../call/logger.ts'
import { configurationErrors, GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import { ModelCache } from './model-cache.ts'
import { multiplexedModelId } from './request-context.ts'

export interface MultiplexedOptions {
  /**
   * How many models are kept in memory, those that are in use among them; -1 for no limit. While more than that are in
   * use at once, there are more, because none is taken away from who uses it. Default 3.
   */
  maxNumModelsPerReplica?: number | undefined
  /** Hears of models that fail to be disposed of. Default: errors go to stderr. */
  logger?: Logger | undefined
}

/** Gives models by their ids. Made by {@link multiplexed}. */
export interface Multiplexed<Model> extends AsyncDisposable {
  /**
   * The model of an id, loaded if it has to be. Within a call it is in use until the handler has finished; elsewhere,
   * only while it is loaded: see {@link Multiplexed.use}.
   *
   * @param modelId default: that of the call, as its client gave it
   * @throws what the loader has thrown; GrpcError INVALID_ARGUMENT for an empty id, TypeError for what is no string
   */
  (modelId?: string): Promise<Model>
  /** Runs `work` with the model of an id, which is in use until the promise that it returns is settled. */
  use<Result> (modelId: string, work: (model: Model) => Result | Promise<Result>): Promise<Result>
  /** The ids of the models that are in memory, in the order in which they were last asked for, the latest last. */
  readonly loaded: readonly string[]
  /** Disposes of every model, and gives no more: those that are in use as soon as they no longer are. */
  dispose (): Promise<void>
}

/**
 * Keeps a few of many models in memory. A model that is asked for is loaded once, however many calls wait for it; models
 * of other ids load at the same time. When it is there, those that were not asked for longest and are not in use are
 * disposed of, by their `[Symbol.asyncDispose]()`, `[Symbol.dispose]()` or `dispose()`.
 *
 * @param loader makes the model of an id. When it fails, its error ends the calls that wait; the next call tries anew
 * @throws FGG_ERR_MULTIPLEXED for options that are wrong
 *
 * @example
 * const models = multiplexed(id => Model.load(`models/${id}.json`), { maxNumModelsPerReplica: 10 })
 * // in a handler
 * const model = await models(context.multiplexedModelId)
 */
export function multiplexed<Model> (loader: (modelId: string) => Model | Promise<Model>, { maxNumModelsPerReplica = 3, logger = consoleLogger }: MultiplexedOptions = {}): Multiplexed<Model> {
  if (typeof loader !== 'function') throw new configurationErrors.FGG_ERR_MULTIPLEXED('The loader must be a function that takes the id of a model')
  if (!Number.isSafeInteger(maxNumModelsPerReplica) || (maxNumModelsPerReplica < 1 && maxNumModelsPerReplica !== -1)) {
    throw new configurationErrors.FGG_ERR_MULTIPLEXED('Option `maxNumModelsPerReplica` must be a positive integer, or -1 for no limit')
  }
  const cache = new ModelCache<Model>({
    load: loader,
    unload: (model, id) => disposeOf(model, error => logger.error({ err: error, modelId: id }, 'A model failed to be disposed of')),
    max: maxNumModelsPerReplica === -1 ? Infinity : maxNumModelsPerReplica
  })
  /** The models that each call has in use. */
  const held = new WeakMap<CurrentCall, Set<string>>()

  function hold (call: CurrentCall, modelId: string, release: () => void): void {
    const ids = held.get(call) ?? new Set()
    if (ids.has(modelId)) return release()
    held.set(call, ids.add(modelId))
    call.whenFinished(release)
  }

  async function get (modelId = multiplexedModelId()): Promise<Model> {
    checkId(modelId)
    const call = currentCall()
    const { model, release } = await cache.acquire(modelId)
    if (call === undefined) release()
    else hold(call, modelId, release)
    return model
  }

  async function use<Result> (modelId: string, work: (model: Model) => Result | Promise<Result>): Promise<Result> {
    checkId(modelId)
    const { model, release } = await cache.acquire(modelId)
    try {
      return await work(model)
    } finally {
      release()
    }
  }

  const dispose = (): Promise<void> => cache.close()
  return Object.defineProperty(
    Object.assign(get, { use, dispose, [Symbol.asyncDispose]: dispose }),
    'loaded', { get: () => cache.ids, enumerable: true }
  ) as unknown as Multiplexed<Model>
}

function checkId (modelId: unknown): void {
  if (typeof modelId !== 'string') throw new TypeError('The model ID must be a string.')
  if (modelId === '') throw new GrpcError(status.INVALID_ARGUMENT, 'The model ID cannot be empty.')
}

type Disposing = Partial<Record<typeof Symbol.asyncDispose | typeof Symbol.dispose | 'dispose', () => unknown>>

async function disposeOf (model: unknown, failed: (error: unknown) => void): Promise<void> {
  if (model === null || (typeof model !== 'object' && typeof model !== 'function')) return
  const disposing = model as Disposing
  try {
    await (disposing[Symbol.asyncDispose] ?? disposing[Symbol.dispose] ?? disposing.dispose)?.call(model)
  } catch (error) {
    failed(error)
  }
}
