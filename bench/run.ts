/** Compares the gateway with what one would write instead. See README.md. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { cases, type Case } from './cases.ts'
import { load, loadPrograms } from './load.ts'
import { messages } from './messages.ts'
import { findPinning, type Pinning } from './pinning.ts'
import { report, type Round, type Sample } from './report.ts'
import { startServer, type ServerProcess } from './server-process.ts'
import { targetOf, verify, type Target } from './target.ts'

const USAGE = `Usage: npm run bench -- [options]

  --starts <n>     how often the servers are started anew (default 3)
  --rounds <n>     how often each server is measured between two starts (default 3)
  --seconds <n>    how long each time, in whole seconds (default 1)
  --warmup <n>     how long each server runs before that, in whole seconds (default 1)
  --only <case>    ${cases.map(({ name }) => name).join(', ')}, or a part of such a name; may be repeated
  --help           this text`

interface Options {
  readonly starts: number
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
}

/** A row of a case with its server. */
interface Running {
  readonly server: ServerProcess
  readonly target: Target
}

async function start ({ message, protocol, rows }: Case, pinning: Pinning | undefined): Promise<Running[]> {
  const running: Running[] = []
  for (const row of rows) {
    const server = await startServer(row.server, message, pinning)
    const target = targetOf(protocol, server.ports[protocol]!, messages[message])
    running.push({ server, target })
    try {
      await verify(protocol, target, messages[message])
    } catch (error) {
      throw new Error(`The server ${row.server} answers ${message} wrong`, { cause: error })
    }
  }
  return running
}

async function measure ({ protocol }: Case, { server, target }: Running, seconds: number, pinning: Pinning | undefined): Promise<Sample> {
  const before = await server.cpuTime()
  const { requests, perSecond } = await load(protocol, target, seconds, pinning)
  return { perSecond, cpu: (await server.cpuTime() - before) / requests }
}

/** One process may stay faster than the next one that runs the same code, so a case gets new ones now and then. */
async function measureCase (one: Case, { rounds, seconds, warmup }: Options, pinning: Pinning | undefined): Promise<Round[]> {
  const running = await start(one, pinning)
  for (const { target } of running) await load(one.protocol, target, warmup, pinning)
  const samples: Round[] = []
  for (let round = 0; round < rounds; round++) {
    const ofRound: Sample[] = []
    // Each second round goes backwards, so that no row always comes after the same one.
    const order = [...running.keys()]
    for (const i of round % 2 === 0 ? order : order.reverse()) ofRound[i] = await measure(one, running[i]!, seconds, pinning)
    samples.push(ofRound)
  }
  for (const { server } of running) server.stop()
  return samples
}

async function run (selected: readonly Case[], options: Options): Promise<void> {
  const pinning = findPinning()
  console.log([
    `Node ${process.version}, ${availableParallelism()} cores`,
    pinning === undefined ? 'nothing pinned' : 'server on core 0, load on core 1',
    `${loadPrograms.http.name} and ${loadPrograms.grpc.name}`,
    `${options.starts} starts, ${options.rounds} rounds of ${options.seconds} s each`
  ].join('; '))
  const results = new Map<Case, Round[]>(selected.map(one => [one, []]))
  for (let i = 0; i < options.starts; i++) {
    for (const [one, samples] of results) samples.push(...await measureCase(one, options, pinning))
  }
  for (const [one, samples] of results) console.log(`\n${report(one, samples)}`)
}

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
const options: Options = {
  starts: Number(numbers.starts),
  rounds: Number(numbers.rounds),
  seconds: Number(numbers.seconds),
  warmup: Number(numbers.warmup)
}
const selected = cases.filter(({ name }) => only.some(part => name.includes(part)))
const usable = selected.length > 0 && Object.values(options).every(n => Number.isInteger(n) && n > 0)
if (help || !usable) {
  console.log(USAGE)
  process.exitCode = help ? 0 : 1
} else {
  await run(selected, options)
}
