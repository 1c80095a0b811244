/** What the benchmarks take from their command lines. */
import { parseArgs } from 'node:util'

/** How often and how long servers are measured. */
export interface Pace {
  /** How often the servers are started anew. */
  readonly starts: number
  /** How often each server is measured between two starts. */
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
}

/**
 * Prints the usage, instead of returning, when that is asked for or when the arguments are wrong.
 *
 * @param script how npm knows the benchmark
 * @param cases those that `--only` can select
 */
export function readCommandLine<T extends { readonly name: string }> (script: string, cases: readonly T[]): { pace: Pace, selected: readonly T[] } | undefined {
  const { values: { only, help, ...numbers } } = parseArgs({
    options: {
      starts: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '1' },
      warmup: { type: 'string', default: '1' },
      only: { type: 'string', multiple: true, default: [''] },
      help: { type: 'boolean', default: false }
    }
  })
  const pace: Pace = {
    starts: Number(numbers.starts),
    rounds: Number(numbers.rounds),
    seconds: Number(numbers.seconds),
    warmup: Number(numbers.warmup)
  }
  const selected = cases.filter(({ name }) => only.some(part => name.includes(part)))
  const usable = selected.length > 0 && Object.values(pace).every(n => Number.isInteger(n) && n > 0)
  if (!help && usable) return { pace, selected }
  console.log(`Usage: npm run ${script} -- [options]

  --starts <n>     how often the servers are started anew (default 3)
  --rounds <n>     how often each server is measured between two starts (default 3)
  --seconds <n>    how long each time, in whole seconds (default 1)
  --warmup <n>     how long each server runs before that, in whole seconds (default 1)
  --only <case>    ${cases.map(({ name }) => name).join(', ')}, or a part of such a name; may be repeated
  --help           this text`)
  process.exitCode = help ? 0 : 1
  return undefined
}
