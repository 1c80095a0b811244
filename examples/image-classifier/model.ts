/** The model: what it learns, how well, and the deployment that computes with it, in threads. */
import { deployment, type Deployment } from '../../src/serving/index.ts'
import { FEATURES, featuresOf } from './features.ts'
import { probabilitiesOf, train, type Network, type Sample } from './network.ts'
import { chanceOf, examplesOf, SHAPES, type Example } from './shapes.ts'

const SEED = 1
const LEARNED = 2000
const HELD_OUT = 1000

export interface Trained {
  readonly network: Network
  /** The part of the pictures that it has not learned from and recognizes. */
  readonly accuracy: number
}

/** Takes about a second. */
export function trainedModel (): Trained {
  const chance = chanceOf(SEED)
  const [learned, heldOut] = [LEARNED, HELD_OUT].map(count => examplesOf(count, chance).map(sampleOf)) as [Sample[], Sample[]]
  const network = train(learned, { inputs: FEATURES, hidden: 24, classes: SHAPES.length, epochs: 10, rate: 0.05 }, chance)
  const right = heldOut.filter(({ input, label }) => mostLikely(probabilitiesOf(network, input)) === label)
  return { network, accuracy: right.length / heldOut.length }
}

function sampleOf ({ picture, shape }: Example): Sample {
  return { input: featuresOf(picture), label: SHAPES.indexOf(shape) }
}

function mostLikely (probabilities: Float32Array): number {
  return probabilities.indexOf(Math.max(...probabilities))
}

export class ShapeModel {
  readonly #network: Network

  constructor (network: Network) {
    this.#network = network
  }

  /** @returns the probability of each shape, in the order of `SHAPES` */
  probabilities ({ features }: { features: Float32Array }): Float32Array {
    return probabilitiesOf(this.#network, features)
  }
}

export const shapeModel: Deployment<typeof ShapeModel> = deployment(ShapeModel, { replicas: 2, module: import.meta.url })
