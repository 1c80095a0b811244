/** How a gateway that listens ends when the process is told to. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../call/logger.ts'
import { endOnSignal } from '../signals.ts'

/** For what follows the grace time. */
const MARGIN_MS = 2000

/** The part of a gateway that this needs. */
export interface Endable {
  drain (options: { minMs: number }): Promise<boolean>
  shutdown (options: { graceMs?: number }): Promise<void>
}

export interface EndingTimes {
  readonly drainMs: number
  readonly graceMs: number
}

/** Drains for `drainMs`, whether calls are open after that or not, and shuts down. */
export async function drainAndShutDown (gateway: Endable, { drainMs, graceMs }: EndingTimes): Promise<void> {
  const over = new AbortController()
  const { signal } = over
  // Who shuts the gateway down meanwhile ends the drain too.
  await Promise.race([sleep(drainMs, undefined, { signal }).catch(() => {}), gateway.drain({ minMs: drainMs })])
  over.abort()
  await gateway.shutdown({ graceMs })
}

/** @returns what takes it back */
export function endGatewayOnSignal (gateway: Endable, times: EndingTimes, log: () => Logger): () => void {
  const { drainMs, graceMs } = times
  return endOnSignal({
    limitMs: drainMs + graceMs + MARGIN_MS,
    async end (signal) {
      log().info({ signal, drainMs, graceMs }, 'The gateway drains and shuts down')
      await drainAndShutDown(gateway, times)
      log().info({ signal }, 'The gateway is shut down')
    },
    hurry: signal => log().warn({ signal }, 'A second signal ends the process at once'),
    late: () => log().error({}, 'The shutdown took too long and the process ends'),
    fail: error => log().error({ err: error }, 'The shutdown failed')
  })
}
