/** A worker as its primary sees it, from its start to its end. */
import cluster, { type Worker } from 'node:cluster'
import { WORKER_VARIABLE } from './channel.ts'
import { opened, sealed, type FromPrimary, type FromWorker } from './messages.ts'

/** How long a worker may take until it listens, in milliseconds. */
const LONGEST_START_MS = 60_000
/** How long a worker that has failed may take to say so on its standard error. */
const LAST_WORDS_MS = 1000

/** What became of the word to retire. */
export type Retirement = 'ended' | 'killed'

export class WorkerProcess {
  /** The port of its gRPC server, once it listens; rejected when it fails or ends before. */
  readonly port: Promise<number>
  /** How it has ended: `exit code 1`, `SIGKILL`. */
  readonly ended: Promise<string>
  readonly #worker: Worker
  #listens = false
  /** Why it cannot listen, as it has said. */
  #problem: string | undefined

  /** @param hear what it says, apart from its start */
  constructor (hear: (message: FromWorker, from: WorkerProcess) => void) {
    const worker = this.#worker = cluster.fork({ [WORKER_VARIABLE]: '1' })
    this.ended = new Promise(resolve => {
      worker.once('exit', (code: number | null, signal: string | null) => resolve(signal ?? `exit code ${code}`))
      // A process that could not even be made has no exit.
      worker.on('error', error => { if (worker.process.pid === undefined) resolve(error.message) })
    })
    this.port = new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#problem = `it does not listen within ${LONGEST_START_MS / 1000} s`
        this.kill()
      }, LONGEST_START_MS)
      worker.on('message', (sent: unknown) => {
        const message = opened<FromWorker>(sent)
        if (message?.kind === 'listening') {
          clearTimeout(late)
          this.#listens = true
          resolve(message.port)
        } else if (message?.kind === 'failed') {
          this.#problem = message.problem
          setTimeout(() => this.kill(), LAST_WORDS_MS).unref()
        } else if (message !== undefined) {
          hear(message, this)
        }
      })
      this.ended.then(how => {
        clearTimeout(late)
        reject(new Error(this.#problem ?? `it has ended with ${how} before it listened`))
      })
    })
    this.port.catch(() => {})
  }

  get pid (): number | undefined {
    return this.#worker.process.pid
  }

  /** Whether it has come so far. */
  get listens (): boolean {
    return this.#listens
  }

  tell (message: FromPrimary): void {
    if (this.#worker.isConnected()) this.#worker.send(sealed(message), () => {})
  }

  /**
   * Asks it to finish its calls and to end. One that does not listen yet has none.
   *
   * @param longestMs how long that may take; then it is killed
   */
  async retire (longestMs: number, graceMs: number | undefined): Promise<Retirement> {
    if (!this.#listens) this.kill()
    let outcome: Retirement = 'ended'
    this.tell({ kind: 'retire', graceMs })
    const timer = setTimeout(() => {
      outcome = 'killed'
      this.kill()
    }, longestMs)
    await this.ended
    clearTimeout(timer)
    return outcome
  }

  kill (): void {
    this.#worker.process.kill('SIGKILL')
  }
}
