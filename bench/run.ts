/** Compares the gateway with what one would write instead. See README.md. */
import { availableParallelism } from 'node:os'
import { cases, type Case } from './cases.ts'
import { readCommandLine } from './command-line.ts'
import { load, loadPrograms } from './load.ts'
import { messages } from './messages.ts'
import { findPinning } from './pinning.ts'
import { report } from './report.ts'
import { startServer } from './server-process.ts'
import { targetOf, verify } from './target.ts'
import { takeTurns, type Running } from './turns.ts'

const pinning = findPinning()

async function start ({ message, protocol, rows }: Case): Promise<Running[]> {
  const running: Running[] = []
  for (const row of rows) {
    const server = await startServer(row.server, [message], pinning)
    const target = targetOf(protocol, server.ports[protocol]!, messages[message])
    running.push({ server, load: seconds => load(protocol, target, seconds, pinning) })
    try {
      await verify(protocol, target, messages[message])
    } catch (error) {
      throw new Error(`The server ${row.server} answers ${message} wrong`, { cause: error })
    }
  }
  return running
}

const command = readCommandLine('bench', cases)
if (command !== undefined) {
  const { pace, selected } = command
  console.log([
    `Node ${process.version}, ${availableParallelism()} cores`,
    pinning === undefined ? 'nothing pinned' : 'server on core 0, load on core 1',
    `${loadPrograms.http.name} and ${loadPrograms.grpc.name}`,
    `${pace.starts} starts, ${pace.rounds} rounds of ${pace.seconds} s each`
  ].join('; '))
  for (const [{ name, rows }, rounds] of await takeTurns(selected, start, pace)) {
    const [{ letter: ours }, ...others] = rows
    const ratios = others.map(({ letter: other }) => ({ ours, other, of: 'speed' as const }))
    console.log(`\n${report({ name, unit: 'req', rows, ratios }, rounds)}`)
  }
}
