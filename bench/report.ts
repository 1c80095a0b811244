/** Medians and quartiles of the rounds, as text. */
import type { Case, Row } from './cases.ts'

/** One row in one round. */
export interface Sample {
  readonly perSecond: number
  /** CPU time of the server process for each request, in microseconds. */
  readonly cpu: number
}

/** The samples of a case: by round, then as its rows are. */
export type Round = readonly Sample[]

export function report ({ name, rows }: Case, rounds: readonly Round[]): string {
  const lines = [`${name.padEnd(54)}${'req/s'.padStart(8)}${'CPU µs'.padStart(10)}`]
  rows.forEach(({ letter, title }, i) => {
    const perSecond = median(rounds.map(round => round[i]!.perSecond))
    const cpu = median(rounds.map(round => round[i]!.cpu))
    lines.push(`  (${letter}) ${title.padEnd(48)}${perSecond.toFixed(0).padStart(8)}${cpu.toFixed(1).padStart(10)}`)
  })
  rows.slice(1).forEach((row, i) => lines.push(ratioLine(rows[0], row, rounds, i + 1)))
  return lines.join('\n')
}

function ratioLine (ours: Row, other: Row, rounds: readonly Round[], i: number): string {
  const speeds = rounds.map(round => round[0]!.perSecond / round[i]!.perSecond)
  const savings = rounds.map(round => round[i]!.cpu / round[0]!.cpu)
  return `  (${ours.letter})/(${other.letter})  ${spread(speeds)}   by CPU time ${spread(savings)}`
}

/** `0.93 [0.91–0.95]`: the median, and the quartiles around it. */
export function spread (values: readonly number[]): string {
  const [q1, q2, q3] = [0.25, 0.5, 0.75].map(q => quantile(values, q).toFixed(2))
  return `${q2} [${q1}–${q3}]`
}

export function median (values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Between two values, in proportion. */
function quantile (values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const below = sorted[Math.floor(at)]!
  const above = sorted[Math.ceil(at)]!
  return below + (above - below) * (at - Math.floor(at))
}
