/** Hostile clients get what they deserve, the server stays as it was, and others are served meanwhile. */
import t from 'tap'
import { attacks } from './hostile/attacks.ts'
import { goodClient } from './hostile/good-client.ts'
import { startTarget } from './hostile/target.ts'

/** What the memory of the server may have grown by after an attack, in MiB. */
const MOST_GROWTH = 150

const HOLD_MS = 1000

t.test('an attack', async t => {
  const server = await startTarget()
  t.teardown(() => server.stop())
  const warmup = goodClient(server.target, 0)
  await new Promise(resolve => setTimeout(resolve, 500))
  t.strictSame((await warmup.stop()).failures, [], 'serves before')
  const before = await server.state()

  for (const { name, run, expected } of attacks) {
    t.test(name, async t => {
      const client = goodClient(server.target, 5)
      const outcome = await run(server.target, HOLD_MS)
      const { failures, latencies } = await client.stop()
      t.match(outcome, expected, 'gets what it deserves')
      t.strictSame(failures, [], 'others are served meanwhile')
      t.ok(latencies.length >= 2)
      const { rss, isHarmed } = await server.state()
      t.notOk(isHarmed, 'nothing is injected or polluted')
      t.ok(rss < before.rss + MOST_GROWTH, `memory is bounded: ${rss.toFixed(0)} MiB after ${before.rss.toFixed(0)}`)
    })
  }
})
