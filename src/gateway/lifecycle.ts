/** The life of a gateway: starts and stops of its gRPC server, one after the other, and the calls that are open meanwhile. */
import { setImmediate } from 'node:timers/promises'
import type { Logger } from '../call/logger.ts'
import { OpenCalls } from '../call/open-calls.ts'
import type { GrpcServer } from '../grpc/server.ts'
import type { HealthStates } from '../health/state.ts'
import { ClosingConnections } from '../rest/closing-connections.ts'

/**
 * `idle` before the first start: HTTP is served already, so that apps can be tested without ports. `draining` while
 * open calls may still end, `stopped` from then to the next start.
 */
export type State = 'idle' | 'serving' | 'draining' | 'stopped'

/** How long ended calls may take to tell their clients. */
const FLUSH_MS = 500

export class Lifecycle {
  readonly openCalls: OpenCalls
  /** Of built-in services: no shutdown waits for them. */
  readonly builtInCalls = new OpenCalls()
  readonly closings = new ClosingConnections()
  readonly #makeServer: () => GrpcServer
  readonly #health: HealthStates
  readonly #log: () => Logger
  #state: State = 'idle'
  #server: GrpcServer | undefined
  #port: number | undefined
  /** Starts and stops that have been asked for. */
  #transition: Promise<unknown> = Promise.resolve()
  /** Ends the wait of a stop that is under way. */
  #giveUp: (() => void) | undefined

  constructor (makeServer: () => GrpcServer, health: HealthStates, log: () => Logger, lookMs: number) {
    this.openCalls = new OpenCalls(lookMs)
    this.#makeServer = makeServer
    this.#health = health
    this.#log = log
  }

  get state (): State {
    return this.#state
  }

  /** The port that the gRPC server is bound to; undefined while there is none. */
  get port (): number | undefined {
    return this.#port
  }

  /** Whether new calls may begin. */
  get acceptsCalls (): boolean {
    return this.#state === 'idle' || this.#state === 'serving'
  }

  /** Runs after what has been asked for before. */
  inTurn<T> (step: () => Promise<T>): Promise<T> {
    const result = this.#transition.then(step)
    this.#transition = result.catch(() => {})
    return result
  }

  /** @returns false when it is started already */
  async start (): Promise<boolean> {
    if (this.#state === 'serving') return false
    const server = this.#makeServer()
    this.#port = await server.bind()
    this.openCalls.open()
    this.builtInCalls.open()
    this.#server = server
    this.#state = 'serving'
    return true
  }

  /** Takes no new calls, and waits for open ones until they are over or `giveUp` is called; then ends them. */
  async stop (): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'draining'
    const patience = new Promise<boolean>(resolve => { this.#giveUp = () => resolve(false) })
    this.#health.set('draining')
    // Those who watch get to know before the connections do.
    if (this.builtInCalls.size > 0) await setImmediate()
    this.builtInCalls.shutDown()
    const over = Promise.all([this.#server?.close(), this.openCalls.idle().then(() => this.closings.idle())]).then(() => true)
    if (!await Promise.race([over, patience])) {
      if (this.openCalls.size > 0) this.#log().warn({ calls: this.openCalls.size }, 'Calls outlasted the grace time of the shutdown and are ended')
      this.openCalls.shutDown()
      if (!await settlesWithin(over, FLUSH_MS)) {
        this.#server?.destroy()
        this.closings.destroy()
      }
    }
    // Those that interceptors still hold back find it closed.
    this.openCalls.shutDown()
    this.#giveUp = undefined
    this.#server = undefined
    this.#port = undefined
    this.#state = 'stopped'
    this.#health.set('notServing')
  }

  /** Ends the wait of a stop that is under way. */
  giveUp (): void {
    this.#giveUp?.()
  }
}

async function settlesWithin (promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<boolean>(resolve => { timer = setTimeout(resolve, ms, false) })
  try {
    return await Promise.race([promise.then(() => true), timeout])
  } finally {
    clearTimeout(timer)
  }
}
