/** Variations: one of several models or handlers for each call, by weights, sticky keys or the client's choice. */
import { createHash } from 'node:crypto'
import type { CallContext } from '../call/context.ts'
import { configurationErrors, GrpcError } from '../errors.ts'
import { status } from '../status.ts'

export interface Variation<T> {
  /** Its name, each another. */
  readonly label: string
  /** Its share of calls is its weight by the sum of all: any positive number. */
  readonly weight: number
  readonly value: T
}

/** Where a text of a call is: the name of a metadata key, or a function. Nothing, and an empty text, stand for none. */
export type FromCall = string | ((context: CallContext) => string | undefined)

export interface VariationsOptions {
  /** Calls of the same key, such as a user's id, get the same variation, in every process. Default: by chance each time. */
  readonly stickyBy?: FromCall | undefined
  /** By which a client may choose a variation itself, such as the metadata `x-variation`. Default: it may not. */
  readonly chosenBy?: FromCall | undefined
  /** Of two experiments, gives one key different places. Default empty. */
  readonly salt?: string | undefined
  /** From 0 to less than 1. Default `Math.random`. */
  readonly random?: (() => number) | undefined
}

/** Made by `variations`. */
export class Variations<T> {
  readonly list: ReadonlyArray<Variation<T>>
  /** For each variation, the sum of weights up to its end, as a share of all. */
  readonly #ends: readonly number[]
  readonly #options: VariationsOptions

  /** @internal */
  constructor (list: ReadonlyArray<Variation<T>>, options: VariationsOptions) {
    this.list = [...list]
    this.#options = options
    // Weights near the largest double have no sum.
    const largest = Math.max(...list.map(({ weight }) => weight))
    const sums: number[] = []
    for (const { weight } of list) sums.push((sums.at(-1) ?? 0) + weight / largest)
    this.#ends = sums.map(sum => sum / sums.at(-1)!)
  }

  /**
   * The variation of a call: the one that the client has chosen, else that of its sticky key, else one by chance.
   *
   * @throws GrpcError INVALID_ARGUMENT for a choice that there is not
   */
  pick (context: CallContext): Variation<T> {
    const { chosenBy, stickyBy, random = Math.random } = this.#options
    const label = textOf(chosenBy, context)
    if (label !== '') return this.labelled(label)
    const key = textOf(stickyBy, context)
    return key === '' ? this.at(random()) : this.of(key)
  }

  /** The variation of a sticky key. */
  of (key: string): Variation<T> {
    return this.at(placeOf(`${this.#options.salt ?? ''}\0${key}`))
  }

  /** The same variations of something else. */
  map<U> (change: (value: T) => U): Variations<U> {
    return new Variations(this.list.map(({ label, weight, value }) => ({ label, weight, value: change(value) })), this.#options)
  }

  /** @throws GrpcError INVALID_ARGUMENT */
  labelled (label: string): Variation<T> {
    const found = this.list.find(variation => variation.label === label)
    if (found === undefined) throw new GrpcError(status.INVALID_ARGUMENT, `There is no variation ${JSON.stringify(label)}. There are: ${this.list.map(({ label }) => label).join(', ')}`)
    return found
  }

  /** @param place from 0 to less than 1 */
  at (place: number): Variation<T> {
    const found = this.#ends.findIndex(end => place < end)
    return this.list[found === -1 ? this.list.length - 1 : found]!
  }
}

/**
 * Several variations of one thing, such as two models that are compared.
 *
 * @throws FGG_ERR_VARIATIONS for none of them, for a weight that is not positive, and for a label that is given twice
 *
 * @example
 * const models = variations([{ label: 'old', weight: 9, value: oldModel }, { label: 'new', weight: 1, value: newModel }], { stickyBy: 'x-user' })
 * const { label, value: model } = models.pick(context)
 */
export function variations<T> (list: ReadonlyArray<Variation<T>>, options: VariationsOptions = {}): Variations<T> {
  if (!Array.isArray(list) || list.length === 0) throw wrong('needs a list of them')
  const labels = new Set<string>()
  for (const { label, weight } of list as ReadonlyArray<Variation<T>>) {
    if (typeof label !== 'string' || label === '') throw wrong('need labels')
    if (labels.has(label)) throw wrong(`has ${JSON.stringify(label)} twice`)
    if (!(Number.isFinite(weight) && weight > 0)) throw wrong(`must have positive weights, which that of ${JSON.stringify(label)} is not`)
    labels.add(label)
  }
  return new Variations(list, options)
}

function textOf (from: FromCall | undefined, context: CallContext): string {
  if (from === undefined) return ''
  return (typeof from === 'function' ? from(context) : context.metadata.get(from)[0]?.toString()) ?? ''
}

/** Bytes of a hash that make a number which a double holds exactly. */
const PLACE_BYTES = 6

/** Where a text lies from 0 to less than 1: anywhere, but always there. */
function placeOf (text: string): number {
  return createHash('sha256').update(text).digest().readUIntBE(0, PLACE_BYTES) / 2 ** (8 * PLACE_BYTES)
}

function wrong (problem: string): Error {
  return new configurationErrors.FGG_ERR_VARIATIONS(problem)
}
