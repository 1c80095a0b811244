/**
 * How long the calls of a client as it should be take while the server is under attack, next to a quiet time just
 * before. The attacker is a process of its own; on two cores it takes time of both others, which counts here.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { attacks, type Target } from './attacks.ts'
import { goodClient, type Report } from './good-client.ts'
import { startTarget } from './target.ts'

const { values: { seconds, only } } = parseArgs({ options: { seconds: { type: 'string', default: '4' }, only: { type: 'string', default: '' } } })
const PAUSE_MS = 5
/** What connects many clients is not measured, but what they do then. */
const BEGINNING_MS = 3000

async function during (target: Target, ms: number): Promise<Report> {
  const client = goodClient(target, PAUSE_MS)
  await sleep(ms)
  return await client.stop()
}

function quantile (latencies: readonly number[], part: number): number {
  return latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * part)]!
}

const server = await startTarget()
await during(server.target, 2000)
const { rss } = await server.state()
const rows: Array<Record<string, string | number>> = []
let isBad = false
for (const { name } of attacks.filter(({ name }) => name.includes(only))) {
  const quiet = await during(server.target, Number(seconds) * 1000)
  const attacker = fork(new URL('attacker.ts', import.meta.url), [name, JSON.stringify(server.target)], { execArgv: ['--import', 'tsx'] })
  await once(attacker, 'message')
  await sleep(BEGINNING_MS)
  const attacked = await during(server.target, Number(seconds) * 1000)
  attacker.kill('SIGKILL')
  await once(attacker, 'exit')
  const ratio = quantile(attacked.latencies, 0.5) / quantile(quiet.latencies, 0.5)
  const state = await server.state()
  isBad ||= ratio > 3 || attacked.failures.length > 0 || state.isHarmed
  rows.push({
    attack: name,
    'quiet, median ms': quantile(quiet.latencies, 0.5).toFixed(2),
    attacked: quantile(attacked.latencies, 0.5).toFixed(2),
    ratio: ratio.toFixed(2),
    'p99, ratio': (quantile(attacked.latencies, 0.99) / quantile(quiet.latencies, 0.99)).toFixed(1),
    calls: attacked.latencies.length,
    failed: attacked.failures.length,
    'MiB more': (state.rss - rss).toFixed(0)
  })
}
await server.stop()
console.table(rows)
process.exitCode = isBad ? 1 : 0
