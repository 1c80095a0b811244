/**
 * Restarts two workers one by one, again and again, under constant load on both protocols, and prints how many calls
 * failed: `npm run rolling-restart -- [restarts]`. Exits with 1 when one did.
 */
import { startLoad, type Tally } from './load.ts'
import { startServer } from './process.ts'

/** Of what went wrong. */
const MOST_SHOWN = 20

const restarts = Number(process.argv[2] ?? 10)
const server = startServer({ workers: 2 })
try {
  await server.started()
  const load = startLoad(server.ports())
  const start = performance.now()
  for (let i = 0; i < restarts; i++) await server.restart()
  await load.stop()
  const seconds = (performance.now() - start) / 1000
  console.log(`Node ${process.version}; 2 workers, ${restarts} rolling restarts, ${server.workers().length} worker processes, ${seconds.toFixed(0)} s\n`)
  console.log(`${''.padEnd(22)}${['calls', 'failed', 'p50 ms', 'p99 ms', 'max ms'].map(name => name.padStart(9)).join('')}`)
  for (const [name, tally] of Object.entries(load.tallies)) console.log(row(name, tally))
  const tallies = Object.values(load.tallies)
  const total: Tally = { calls: 0, failures: tallies.flatMap(({ failures }) => failures), latencies: tallies.flatMap(({ latencies }) => latencies) }
  for (const { calls } of tallies) total.calls += calls
  console.log(row('all', total))
  for (const failure of total.failures.slice(0, MOST_SHOWN)) console.log(failure)
  if (total.failures.length > 0) console.log(server.errors(), ...server.lines.map(line => `\n${JSON.stringify(line)}`))
  server.child.kill('SIGTERM')
  const code = await server.ended
  console.log(`\nThe primary ended with ${code}`)
  if (total.failures.length > 0 || code !== 0) process.exitCode = 1
} finally {
  await server.kill()
}

function row (name: string, { calls, failures, latencies }: Tally): string {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number): string => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(0)
  return `${name.padEnd(22)}${[calls, failures.length, at(0.5), at(0.99), at(1)].map(value => String(value).padStart(9)).join('')}`
}
