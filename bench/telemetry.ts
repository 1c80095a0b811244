/** Compares the gateway with and without telemetry, and with and without limits. See README.md. */
import { availableParallelism } from 'node:os'
import type { Protocol } from './cases.ts'
import { readCommandLine } from './command-line.ts'
import { load, loadPrograms } from './load.ts'
import { messages } from './messages.ts'
import { findPinning } from './pinning.ts'
import { report, type Ratio } from './report.ts'
import { startServer } from './server-process.ts'
import { targetOf, verify } from './target.ts'
import { takeTurns, type Running } from './turns.ts'
import { variants, type VariantName } from './variants.ts'

interface TelemetryCase {
  readonly name: string
  readonly protocol: Protocol
}

const cases: readonly TelemetryCase[] = [{ name: 'http', protocol: 'http' }, { name: 'grpc', protocol: 'grpc' }]

const names = Object.keys(variants) as VariantName[]
const rows = names.map((name, i) => ({ letter: String.fromCharCode('a'.charCodeAt(0) + i), title: variants[name].title }))
const letterOf = (name: VariantName): string => rows[names.indexOf(name)]!.letter

const WANTED = '≥ 0.9'
/** What is not telemetry, or not of the gateway. */
const OTHERS: readonly VariantName[] = ['off', 'again', 'sampled-by-hand', 'traced-by-hand', 'unlimited']

const ratios: readonly Ratio[] = [
  ...names.filter(name => name !== 'off' && name !== 'unlimited').map((name): Ratio => (
    { ours: letterOf(name), other: letterOf('off'), of: 'speed', ...OTHERS.includes(name) ? {} : { wanted: WANTED } }
  )),
  { ours: letterOf('sampled'), other: letterOf('sampled-by-hand'), of: 'speed' },
  { ours: letterOf('traced'), other: letterOf('traced-by-hand'), of: 'speed' },
  { ours: letterOf('off'), other: letterOf('unlimited'), of: 'speed' }
]

const message = messages.hello
const pinning = findPinning()

async function start ({ protocol }: TelemetryCase): Promise<Running[]> {
  const running: Running[] = []
  for (const name of names) {
    const server = await startServer('telemetry', ['hello', name], pinning)
    const target = targetOf(protocol, server.ports[protocol]!, message)
    running.push({ server, load: seconds => load(protocol, target, seconds, pinning) })
    try {
      await verify(protocol, target, message)
    } catch (error) {
      throw new Error(`The gateway answers wrong with ${variants[name].title}`, { cause: error })
    }
  }
  return running
}

const command = readCommandLine('bench:telemetry', cases)
if (command !== undefined) {
  const { pace, selected } = command
  console.log([
    `Node ${process.version}, ${availableParallelism()} cores`,
    pinning === undefined ? 'nothing pinned' : 'server on core 0, load on core 1',
    `${loadPrograms.http.name} and ${loadPrograms.grpc.name}`,
    `${pace.starts} starts, ${pace.rounds} rounds of ${pace.seconds} s each`
  ].join('; '))
  for (const [{ name }, rounds] of await takeTurns(selected, start, pace)) {
    console.log(`\n${report({ name, unit: 'req', rows, ratios }, rounds)}`)
  }
}
