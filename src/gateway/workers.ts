/** A gateway that is served by several processes. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../call/logger.ts'
import { Primary } from '../cluster/primary.ts'
import { listenAsWorker } from '../cluster/worker.ts'
import type { CheckedWorkersOptions } from '../options/workers.ts'

/** For a worker to end, beside the time for its clients. */
const MARGIN_MS = 5000

/** The gateway of a worker. */
interface OfWorker {
  readonly port: number
  drain (): Promise<boolean>
  shutdown (options: { graceMs: number }): Promise<void>
}

export function makePrimary ({ workers, drainMs, graceMs }: CheckedWorkersOptions, log: () => Logger): Primary {
  return new Primary({ workers, retirementMs: drainMs + graceMs + MARGIN_MS, signals: true, log })
}

/** In a worker. */
export async function serveAsWorker<T> (gateway: OfWorker, { drainMs, graceMs }: CheckedWorkersOptions, listen: () => Promise<T>, log: () => Logger): Promise<T> {
  return await listenAsWorker({
    listen,
    port: () => gateway.port,
    async retire (asked = graceMs) {
      try {
        gateway.drain()
        await sleep(drainMs)
        await gateway.shutdown({ graceMs: asked })
      } catch (error) {
        log().error({ err: error }, 'The shutdown failed')
      }
    }
  })
}
