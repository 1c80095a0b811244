/** The primary process: it serves nothing, and sees to it that its workers do. */
import cluster from 'node:cluster'
import type { Logger } from '../call/logger.ts'
import { configurationErrors } from '../errors.ts'
import { useQuestions } from './ask.ts'
import type { FromWorker } from './messages.ts'
import { Place } from './place.ts'
import { Questions } from './questions.ts'
import { obeySignals } from './signals.ts'
import type { WorkerProcess } from './worker-process.ts'

export interface PrimaryOptions {
  /** How many workers. */
  readonly workers: number
  /** How long a worker may take to finish its calls and to end, in milliseconds. */
  readonly retirementMs: number
  /** Whether the process obeys SIGTERM, SIGINT and SIGHUP from the start to the shutdown. */
  readonly signals: boolean
  readonly log: () => Logger
}

/** All workers of a process share what they listen on, so it has one primary at most. */
let isTaken = false

export class Primary {
  readonly #log: () => Logger
  readonly #places: readonly Place[]
  readonly #questions: Questions
  readonly #signals: boolean
  #disobey: (() => void) | undefined
  #port: number | undefined
  #isOver = false
  #ended: Promise<void> | undefined
  /** The rolling restart that is under way, and the one that follows it. */
  #restart: Promise<void> | undefined
  #nextRestart: Promise<void> | undefined

  constructor ({ workers, retirementMs, signals, log }: PrimaryOptions) {
    this.#log = log
    this.#signals = signals
    this.#questions = new Questions(() => this.#places.flatMap(place => place.listening))
    const hear = (message: FromWorker, from: WorkerProcess): void => { this.#hear(message, from) }
    const listens = (port: number): void => { this.#port = port }
    this.#places = Array.from({ length: workers }, () => new Place({ log, retirementMs, hear, listens }))
  }

  /** The port of the gRPC servers, as the workers have told it. */
  get port (): number | undefined {
    return this.#port
  }

  /**
   * Starts the workers. When one does not come up the first time, all end.
   *
   * @throws FGG_ERR_WORKERS, which says why; FGG_ERR_STATE
   */
  async start (): Promise<void> {
    const { FGG_ERR_STATE, FGG_ERR_WORKERS } = configurationErrors
    if (isTaken) throw new FGG_ERR_STATE('Another gateway of this process has workers already: its workers can serve this one too, by `listen` without `workers`, or both gateways on one app')
    if (process.argv[1] === undefined && cluster.settings.exec === undefined) throw new FGG_ERR_STATE('Workers run the same script as this process, which has none: put the code into a file')
    isTaken = true
    useQuestions(this.#questions)
    if (this.#signals) this.#disobey = obeySignals({ shutdown: () => this.shutdown(), kill: () => this.kill(), restart: () => this.restart() })
    try {
      await Promise.all(this.#places.map(place => place.start()))
    } catch (error) {
      if (this.#ended !== undefined) await this.#ended
      else await this.#end(place => place.kill())
      throw new FGG_ERR_WORKERS((error as Error).message)
    }
  }

  /**
   * Replaces the workers one by one: a new one listens before an old one finishes its calls and ends. When a new one
   * does not come up, the restart ends there, and the old workers stay. While a restart is under way, another one is
   * queued, once.
   */
  restart (): Promise<void> {
    if (this.#restart === undefined) {
      this.#restart = this.#replaceAll().finally(() => { this.#restart = undefined })
      return this.#restart
    }
    this.#nextRestart ??= this.#restart.then(() => {
      this.#nextRestart = undefined
      return this.restart()
    })
    return this.#nextRestart
  }

  async #replaceAll (): Promise<void> {
    try {
      for (const place of this.#places) await place.replace()
      if (!this.#isOver) this.#log().info({}, 'The workers are restarted')
    } catch (error) {
      if (!this.#isOver) this.#log().error({ err: error }, 'A new worker could not start: the restart is given up, and the old workers stay')
    }
  }

  /**
   * Lets all workers finish their calls and end.
   *
   * @param graceMs how long open calls may go on, unless as `listen` was told
   */
  shutdown (graceMs?: number): Promise<void> {
    if (this.#ended !== undefined) return this.#ended
    this.#log().info({}, 'The workers end')
    return this.#end(place => place.retire(graceMs))
  }

  /** Ends all workers at once. */
  async kill (): Promise<void> {
    await Promise.all(this.#places.map(place => place.kill()))
  }

  #end (how: (place: Place) => Promise<void>): Promise<void> {
    this.#isOver = true
    this.#ended = Promise.all(this.#places.map(how)).then(() => {
      useQuestions(undefined)
      this.#disobey?.()
      this.#port = undefined
      isTaken = false
    })
    return this.#ended
  }

  async #hear (message: FromWorker, from: WorkerProcess): Promise<void> {
    if (message.kind === 'ask') {
      from.tell({ kind: 'answers', id: message.id, values: await this.#questions.ask(message.topic, message.timeoutMs) })
    } else if (message.kind === 'answer') {
      this.#questions.answered(message.id, from, 'value' in message ? [message.value] : [])
    }
  }
}
