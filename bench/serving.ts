/** What routing to an application and composing deployments cost, and what replicas in threads gain. See README.md. */
import { availableParallelism } from 'node:os'
import type { Protocol } from './cases.ts'
import { readCommandLine } from './command-line.ts'
import { load } from './load.ts'
import { messages } from './messages.ts'
import { findPinning } from './pinning.ts'
import { report, type Ratio, type Table } from './report.ts'
import { startServer, type ServerName } from './server-process.ts'
import { targetOf, verify } from './target.ts'
import { takeTurns, type Running } from './turns.ts'

interface Row {
  readonly letter: string
  readonly title: string
  readonly server: ServerName
  /** Of the server's command line. */
  readonly form?: string
}

interface ServingCase {
  readonly name: string
  readonly protocol: Protocol
  readonly rows: readonly Row[]
  readonly ratios: readonly Ratio[]
  /** Whether the server has one core to itself, and the load the other. */
  readonly isPinned: boolean
}

const routed: Omit<ServingCase, 'name' | 'protocol'> = {
  rows: [
    { letter: 'a', title: 'plain gateway', server: 'gateway' },
    { letter: 'b', title: 'application', server: 'applications', form: 'alone' },
    { letter: 'c', title: 'application, one composed hop', server: 'applications', form: 'composed' }
  ],
  ratios: [{ ours: 'b', other: 'a', of: 'speed' }, { ours: 'c', other: 'a', of: 'speed', wanted: '≥ 0.8' }],
  isPinned: true
}

const cases: readonly ServingCase[] = [
  { name: 'http', protocol: 'http', ...routed },
  { name: 'grpc', protocol: 'grpc', ...routed },
  {
    name: 'threads',
    protocol: 'http',
    rows: [
      { letter: 'd', title: 'a model of 10 ms in one thread', server: 'applications', form: 'one-thread' },
      { letter: 'e', title: 'in four threads', server: 'applications', form: 'four-threads' }
    ],
    ratios: [{ ours: 'e', other: 'd', of: 'speed', wanted: '≥ 1.8' }],
    isPinned: false
  }
]

const message = messages.hello
const found = findPinning()

async function start ({ protocol, rows, isPinned }: ServingCase): Promise<Running[]> {
  const pinning = isPinned ? found : undefined
  return await Promise.all(rows.map(async ({ server: name, form }) => {
    const server = await startServer(name, form === undefined ? ['hello'] : ['hello', form], pinning)
    const target = targetOf(protocol, server.ports[protocol]!, message)
    await verify(protocol, target, message)
    return { server, load: (seconds: number) => load(protocol, target, seconds, pinning) }
  }))
}

const command = readCommandLine('bench:serving', cases)
if (command !== undefined) {
  const { pace, selected } = command
  console.log(`Node ${process.version}, ${availableParallelism()} cores; ${pace.starts} starts, ${pace.rounds} rounds of ${pace.seconds} s each`)
  for (const [{ name, rows, ratios }, rounds] of await takeTurns(selected, start, pace)) {
    const table: Table = { name, unit: 'req', rows, ratios }
    console.log(`\n${report(table, rounds)}`)
  }
}
