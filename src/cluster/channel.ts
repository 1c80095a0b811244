/** In a worker: the channel to its primary. */
import cluster from 'node:cluster'
import { sealed, type FromWorker } from './messages.ts'

/** Set in the workers of this package; those of other clusters do not have it. */
export const WORKER_VARIABLE = 'FASTIFY_GRPC_GATEWAY_WORKER'

/** Whether this process was started by a gateway that has `workers`. */
export function isWorker (): boolean {
  return cluster.isWorker && process.env[WORKER_VARIABLE] !== undefined
}

/** @returns when it is on its way; what cannot be sent, because the primary is gone, matters no more */
export function say (message: FromWorker): Promise<void> {
  return new Promise(resolve => {
    if (!process.connected) return resolve()
    process.send!(sealed(message), undefined, undefined, () => resolve())
  })
}
