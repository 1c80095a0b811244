/** Rows are measured in turns, so that what else the machine does disturbs all of them alike. */
import type { Pace } from './command-line.ts'
import type { Round, Sample } from './report.ts'
import type { ServerProcess } from './server-process.ts'

/** A row with its server, which has given the right answer. */
export interface Running {
  readonly server: ServerProcess
  /** Puts the server under load. */
  load (seconds: number): Promise<{ readonly count: number, readonly perSecond: number }>
}

/**
 * One process may stay faster than the next one that runs the same code, so the servers are started anew now and then.
 *
 * @param cases each with the function that starts the servers of its rows
 */
export async function takeTurns<T> (cases: readonly T[], start: (one: T) => Promise<Running[]>, pace: Pace): Promise<Map<T, Round[]>> {
  const results = new Map<T, Round[]>(cases.map(one => [one, []]))
  for (let i = 0; i < pace.starts; i++) {
    for (const [one, samples] of results) samples.push(...await measureCase(await start(one), pace))
  }
  return results
}

async function measureCase (running: readonly Running[], { rounds, seconds, warmup }: Pace): Promise<Round[]> {
  for (const { load } of running) await load(warmup)
  const samples: Round[] = []
  for (let round = 0; round < rounds; round++) {
    const ofRound: Sample[] = []
    // Each second round goes backwards, so that no row always comes after the same one.
    const order = [...running.keys()]
    for (const i of round % 2 === 0 ? order : order.reverse()) ofRound[i] = await measure(running[i]!, seconds)
    samples.push(ofRound)
  }
  for (const { server } of running) server.stop()
  return samples
}

async function measure ({ server, load }: Running, seconds: number): Promise<Sample> {
  const before = await server.usage()
  const { count, perSecond } = await load(seconds)
  const after = await server.usage()
  return { perSecond, cpu: (after.cpu - before.cpu) / count }
}
