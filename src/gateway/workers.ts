/** A gateway that is served by several processes. */
import type { Logger } from '../call/logger.ts'
import { Primary } from '../cluster/primary.ts'
import { listenAsWorker } from '../cluster/worker.ts'
import type { CheckedWorkersOptions } from '../options/workers.ts'
import { drainAndShutDown, type Endable } from './ending.ts'

/** For a worker to end, beside the time for its clients. */
const MARGIN_MS = 5000

/** The gateway of a worker. */
interface OfWorker extends Endable {
  readonly port: number
}

export function makePrimary ({ workers, drainMs, graceMs, signals }: CheckedWorkersOptions & { signals: boolean }, log: () => Logger): Primary {
  return new Primary({ workers, retirementMs: drainMs + graceMs + MARGIN_MS, signals, log })
}

/** In a worker. */
export async function serveAsWorker<T> (gateway: OfWorker, { drainMs, graceMs }: CheckedWorkersOptions, listen: () => Promise<T>, log: () => Logger): Promise<T> {
  return await listenAsWorker({
    listen,
    port: () => gateway.port,
    async retire (asked = graceMs) {
      try {
        await drainAndShutDown(gateway, { drainMs, graceMs: asked })
      } catch (error) {
        log().error({ err: error }, 'The shutdown failed')
      }
    }
  })
}
