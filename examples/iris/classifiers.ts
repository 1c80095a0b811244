/** Two ways to tell species apart, each learnt from flowers. */
import { SPECIES, type Flower } from './flowers.ts'

/** For the measures of a flower, the probability of each species. */
export type Classifier = (measures: readonly number[]) => number[]

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Makes measures comparable: as many standard deviations above the mean of the training flowers. */
function scaler (training: readonly Flower[]): (measures: readonly number[]) => number[] {
  const columns = training[0]!.measures.map((_measure, i) => {
    const values = training.map(({ measures }) => measures[i]!)
    const mean = sum(values) / values.length
    return { mean, deviation: Math.sqrt(sum(values.map(value => (value - mean) ** 2)) / values.length) }
  })
  return measures => columns.map(({ mean, deviation }, i) => (measures[i]! - mean) / deviation)
}

const ROUNDS = 400
const RATE = 0.5

/** Multinomial logistic regression, by gradient descent. */
export function logisticRegression (training: readonly Flower[]): Classifier {
  const scale = scaler(training)
  const inputs = training.map(({ measures }) => [1, ...scale(measures)])
  const weights = SPECIES.map(() => inputs[0]!.map(() => 0))
  const probabilities = (input: readonly number[]): number[] => {
    const scores = weights.map(row => Math.exp(sum(row.map((weight, i) => weight * input[i]!))))
    return scores.map(score => score / sum(scores))
  }
  for (let round = 0; round < ROUNDS; round++) {
    const errors = inputs.map((input, n) => probabilities(input).map((p, species) => p - Number(training[n]!.species === species)))
    for (const [species, row] of weights.entries()) {
      for (const i of row.keys()) row[i]! -= RATE * sum(inputs.map((input, n) => errors[n]![species]! * input[i]!)) / inputs.length
    }
  }
  return measures => probabilities([1, ...scale(measures)])
}

const NEIGHBOURS = 9

/** The species of the training flowers that are most like it. */
export function nearestNeighbours (training: readonly Flower[]): Classifier {
  const scale = scaler(training)
  const known = training.map(({ measures, species }) => ({ place: scale(measures), species }))
  return measures => {
    const place = scale(measures)
    const nearest = known.map(flower => ({ ...flower, distance: Math.hypot(...flower.place.map((value, i) => value - place[i]!)) }))
      .sort((a, b) => a.distance - b.distance).slice(0, NEIGHBOURS)
    return SPECIES.map((_name, species) => nearest.filter(flower => flower.species === species).length / NEIGHBOURS)
  }
}

/** The share of flowers whose species is the most probable one. */
export function accuracy (classify: Classifier, flowers: readonly Flower[]): number {
  const right = flowers.filter(({ measures, species }) => {
    const probabilities = classify(measures)
    return probabilities.indexOf(Math.max(...probabilities)) === species
  })
  return right.length / flowers.length
}
