/** In a worker: it tells its primary how its start went, and ends when it is told to. */
import cluster from 'node:cluster'
import { answerQuestion, resolveQuestion } from './ask.ts'
import { say } from './channel.ts'
import { opened, type FromPrimary } from './messages.ts'

export interface WorkerOptions<T> {
  listen (): Promise<T>
  /** The port of the gRPC server. */
  port (): number
  /** Finishes what is open and closes the servers. Never rejects. */
  retire (graceMs: number | undefined): Promise<void>
}

/** Listens, as a worker. */
export async function listenAsWorker<T> ({ listen, port, retire }: WorkerOptions<T>): Promise<T> {
  let leaving: Promise<void> | undefined
  const end = (graceMs?: number): void => { leaving ??= retire(graceMs).then(() => leave()) }
  process.on('message', (sent: unknown) => {
    const message = opened<FromPrimary>(sent)
    if (message?.kind === 'question') answerQuestion(message.id, message.topic)
    else if (message?.kind === 'answers') resolveQuestion(message.id, message.values)
    else if (message?.kind === 'retire') end(message.graceMs)
  })
  // A terminal sends its signals to the primary and to every worker.
  process.on('SIGHUP', () => {}).on('SIGINT', () => end()).on('SIGQUIT', () => end()).on('SIGTERM', () => end())
  try {
    const result = await listen()
    await say({ kind: 'listening', port: port() })
    return result
  } catch (error) {
    await say({ kind: 'failed', problem: error instanceof Error ? error.message : String(error) })
    throw error
  }
}

/**
 * Ends this process. Connections that are on their way from the primary are given back to it before, so that it passes
 * them on to other workers.
 */
function leave (): void {
  process.once('disconnect', () => process.exit(0))
  cluster.worker!.disconnect()
}
