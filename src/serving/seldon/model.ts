/** What answers classification requests: a function, a chain of them, or variations of those. */
import type { CallContext } from '../../call/context.ts'
import { fallback } from '../fallback.ts'
import { Variations, variations } from '../variations.ts'
import type { ClassificationRequest, ClassificationResult, PackedMessage } from './schema.ts'

/** One request for a prediction. */
export interface ModelRequest<Data = unknown> {
  /**
   * The message of the type that is registered for the client. Where none is, `{ values }`, or undefined for a request
   * without data.
   */
  readonly data: Data
  /** The id of the prediction. */
  readonly puid: string
  /** Who asks. */
  readonly client: string
  /** The label of the variation that was picked; `default` where there is one model only. */
  readonly variation: string
  /** The request in the form of `io.seldon.api.rpc`, for models elsewhere. */
  packed (): ClassificationRequest
}

export interface ModelReply {
  /** Default empty. */
  readonly modelName?: string | undefined
  /** Default none. */
  readonly predictions?: readonly ClassificationResult[] | undefined
  /** A message of the client's reply type, or one that is packed; an array of numbers where no type is registered. */
  readonly custom?: object | PackedMessage | readonly number[] | null | undefined
}

/** Without predictions and without `custom` it has no answer, and those after it in the chain are asked. */
export type Model<Data = unknown> = Bivariant<Data>['model']

/** So that a function may take the type of data that its clients register. */
interface Bivariant<Data> {
  model (request: ModelRequest<Data>, context: CallContext): ModelReply | undefined | Promise<ModelReply | undefined>
}

/** A model, or several: each is asked when those before it have failed or had no answer. */
export type ModelChain = Model | readonly Model[]

/** A chain, or variations of chains. */
export type Strategy = ModelChain | Variations<Model> | Variations<ModelChain>

export type Answering = (request: ModelRequest, context: CallContext) => Promise<ModelReply>

/** The label of what has no variations. */
const ONLY = 'default'

/** @throws FGG_ERR_VARIATIONS for an empty chain, or what is no function */
export function strategyOf (strategy: Strategy): Variations<Answering> {
  if (strategy instanceof Variations) return (strategy as Variations<ModelChain>).map(chainOf)
  return variations([{ label: ONLY, weight: 1, value: chainOf(strategy) }])
}

function chainOf (chain: ModelChain): Answering {
  return fallback<ModelRequest, ModelReply>(typeof chain === 'function' ? [chain] : chain, { isAnswer })
}

function isAnswer ({ predictions = [], custom }: ModelReply): boolean {
  return predictions.length > 0 || (custom !== undefined && custom !== null)
}
