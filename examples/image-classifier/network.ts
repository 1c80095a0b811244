/** A neural network of one hidden layer: its weights, what it makes of an input, and how it learns. */
import type { Chance } from './shapes.ts'

/** Of each neuron as many weights as it has inputs, and a bias at last. */
export interface Network { readonly hidden: readonly Float32Array[], readonly output: readonly Float32Array[] }

/** An input, and the number of its class. */
export interface Sample { readonly input: Float32Array, readonly label: number }

/** Of each class, together 1. */
export function probabilitiesOf (network: Network, input: Float32Array): Float32Array {
  return softmax(layer(network.output, hiddenOf(network, input)))
}

export interface TrainOptions { inputs: number, hidden: number, classes: number, epochs: number, rate: number }

/** Learns by stochastic gradient descent of the cross entropy, with a rate that falls to zero. */
export function train (samples: readonly Sample[], { inputs, hidden, classes, epochs, rate }: TrainOptions, chance: Chance): Network {
  const network: Network = { hidden: neurons(hidden, inputs, chance), output: neurons(classes, hidden, chance) }
  const steps = epochs * samples.length
  for (let step = 0; step < steps; step++) {
    const sample = samples[Math.floor(chance() * samples.length)]!
    learn(network, sample, rate * (1 - step / steps))
  }
  return network
}

function learn (network: Network, { input, label }: Sample, rate: number): void {
  const hidden = hiddenOf(network, input)
  const errors = softmax(layer(network.output, hidden)).map((probability, i) => probability - (i === label ? 1 : 0))
  const hiddenErrors = hidden.map((activity, i) => activity === 0 ? 0 : network.output.reduce((sum, weights, j) => sum + weights[i]! * errors[j]!, 0))
  correct(network.output, hidden, errors, rate)
  correct(network.hidden, input, hiddenErrors, rate)
}

function correct (layer: readonly Float32Array[], input: Float32Array, errors: Float32Array, rate: number): void {
  for (const [i, weights] of layer.entries()) {
    const step = rate * errors[i]!
    if (step === 0) continue
    for (let j = 0; j < input.length; j++) weights[j]! -= step * input[j]!
    weights[input.length]! -= step
  }
}

function hiddenOf ({ hidden }: Network, input: Float32Array): Float32Array {
  return layer(hidden, input).map(sum => Math.max(0, sum))
}

function layer (neurons: readonly Float32Array[], input: Float32Array): Float32Array {
  return Float32Array.from(neurons, weights => {
    let sum = weights[input.length]!
    for (let i = 0; i < input.length; i++) sum += weights[i]! * input[i]!
    return sum
  })
}

function softmax (sums: Float32Array): Float32Array {
  const most = Math.max(...sums)
  const powers = sums.map(sum => Math.exp(sum - most))
  const total = powers.reduce((sum, power) => sum + power, 0)
  return powers.map(power => power / total)
}

function neurons (count: number, inputs: number, chance: Chance): Float32Array[] {
  const spread = Math.sqrt(6 / inputs)
  return Array.from({ length: count }, () => Float32Array.from({ length: inputs + 1 }, (_, i) => i === inputs ? 0 : (2 * chance() - 1) * spread))
}
