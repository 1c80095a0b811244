/** Medians and quartiles of the rounds, as text. */

/** One row in one round. */
export interface Sample {
  readonly perSecond: number
  /** CPU time of the server process for each of what is counted, in microseconds. */
  readonly cpu: number
}

/** The samples of a case: by round, then as its rows are. */
export type Round = readonly Sample[]

/** How two rows compare, by their letters. */
export interface Ratio {
  readonly ours: string
  readonly other: string
  /** Of speed, where more is better, or of time. */
  readonly of: 'speed' | 'time'
  /** `≥ 0.75` */
  readonly wanted?: string
}

export interface Table {
  readonly name: string
  /** What is counted: `req`. */
  readonly unit: string
  readonly rows: ReadonlyArray<{ readonly letter: string, readonly title: string }>
  readonly ratios: readonly Ratio[]
}

export function report ({ name, unit, rows, ratios }: Table, rounds: readonly Round[]): string {
  const lines = [`${name.padEnd(52)}${`${unit}/s`.padStart(10)}${'CPU µs'.padStart(10)}`]
  rows.forEach(({ letter, title }, i) => {
    const perSecond = median(rounds.map(round => round[i]!.perSecond))
    const cpu = median(rounds.map(round => round[i]!.cpu))
    lines.push(`  (${letter}) ${title.padEnd(46)}${perSecond.toFixed(0).padStart(10)}${cpu.toFixed(cpu < 10 ? 3 : 1).padStart(10)}`)
  })
  const at = (letter: string): number => rows.findIndex(row => row.letter === letter)
  for (const ratio of ratios) lines.push(ratioLine(ratio, rounds, at(ratio.ours), at(ratio.other)))
  return lines.join('\n')
}

function ratioLine ({ ours, other, of, wanted }: Ratio, rounds: readonly Round[], i: number, j: number): string {
  const speeds = rounds.map(round => round[i]!.perSecond / round[j]!.perSecond)
  const savings = rounds.map(round => round[j]!.cpu / round[i]!.cpu)
  const [byClock, byCpu] = [speeds, savings].map(ratios => spread(of === 'speed' ? ratios : ratios.map(ratio => 1 / ratio)))
  return `  (${ours})/(${other})  ${byClock}   by CPU time ${byCpu}${wanted === undefined ? '' : `   wanted ${wanted}`}`
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
