/** A place for one worker, which is filled again when its worker dies. */
import type { Logger } from '../call/logger.ts'
import type { FromWorker } from './messages.ts'
import { WorkerProcess } from './worker-process.ts'

/** How long it takes until a worker that has died is followed by another; doubled each time. */
const SHORTEST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 30_000
/** A worker that has lived so long was well. */
const WELL_MS = 30_000

export interface PlaceOptions {
  readonly log: () => Logger
  /** How long a worker may take to retire. */
  readonly retirementMs: number
  hear (message: FromWorker, from: WorkerProcess): void
  /** A worker of this place listens. */
  listens (port: number): void
}

export class Place {
  readonly #options: PlaceOptions
  /** The one that serves, or is to. */
  #worker: WorkerProcess | undefined
  /** Every process that has not ended, the one that comes and the one that goes included. */
  readonly #living = new Set<WorkerProcess>()
  #deaths = 0
  #timer: NodeJS.Timeout | undefined
  /** Counts what was tried to fill the place again: only the last counts. */
  #attempt = 0
  /** While the worker is replaced, its death is no reason to start another one. */
  #isReplacing = false
  #isOver = false

  constructor (options: PlaceOptions) {
    this.#options = options
  }

  /** Those that can answer questions. */
  get listening (): WorkerProcess[] {
    return [...this.#living].filter(worker => worker.listens)
  }

  /**
   * Starts the first worker.
   *
   * @throws Error when it does not come up
   */
  async start (): Promise<void> {
    this.#worker = await this.#startOne()
  }

  /**
   * Starts another worker, and lets the present one retire once the new one listens.
   *
   * @throws Error when the new one does not come up; the present one stays
   */
  async replace (): Promise<void> {
    if (this.#isOver) return
    this.#giveUpAttempt()
    this.#isReplacing = true
    try {
      const next = await this.#startOne()
      const before = this.#worker
      this.#worker = next
      this.#deaths = 0
      if (before !== undefined) await this.#retire(before, undefined)
    } finally {
      this.#isReplacing = false
      if (this.#worker === undefined || !this.#living.has(this.#worker)) this.#startLater()
    }
  }

  /** Lets every worker retire. There are no new ones. */
  async retire (graceMs: number | undefined): Promise<void> {
    this.#end()
    await Promise.all([...this.#living].map(worker => this.#retire(worker, graceMs)))
  }

  /** Ends every worker at once. */
  async kill (): Promise<void> {
    this.#end()
    for (const worker of this.#living) worker.kill()
    await Promise.all([...this.#living].map(({ ended }) => ended))
  }

  #end (): void {
    this.#isOver = true
    this.#giveUpAttempt()
  }

  #giveUpAttempt (): void {
    this.#attempt++
    clearTimeout(this.#timer)
    for (const worker of this.#living) if (!worker.listens) worker.kill()
  }

  async #startOne (): Promise<WorkerProcess> {
    const worker = new WorkerProcess(this.#options.hear)
    this.#living.add(worker)
    worker.ended.then(() => this.#living.delete(worker))
    const port = await worker.port
    this.#options.log().info({ worker: worker.pid }, 'Worker listening')
    this.#options.listens(port)
    const since = Date.now()
    worker.ended.then(how => {
      if (this.#isOver || this.#worker !== worker) return
      if (Date.now() - since >= WELL_MS) this.#deaths = 0
      this.#options.log().error({ worker: worker.pid, ended: how }, 'A worker has died')
      if (!this.#isReplacing) this.#startLater()
    })
    return worker
  }

  #startLater (): void {
    this.#worker = undefined
    if (this.#isOver) return
    const delay = Math.min(SHORTEST_DELAY_MS * 2 ** this.#deaths++, LONGEST_DELAY_MS)
    this.#options.log().info({ delayMs: delay }, 'Another worker will start')
    this.#timer = setTimeout(() => this.#startAgain(), delay)
  }

  async #startAgain (): Promise<void> {
    const attempt = this.#attempt
    try {
      const worker = await this.#startOne()
      if (attempt === this.#attempt) this.#worker = worker
      else worker.kill()
    } catch (error) {
      if (attempt !== this.#attempt) return
      this.#options.log().error({ err: error }, 'A worker could not start')
      this.#startLater()
    }
  }

  async #retire (worker: WorkerProcess, graceMs: number | undefined): Promise<void> {
    const { log, retirementMs } = this.#options
    if (await worker.retire(retirementMs, graceMs) === 'killed') log().warn({ worker: worker.pid }, 'A worker did not end in time and was killed')
  }
}
