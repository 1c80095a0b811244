/** The life of a gateway: start, drain and stop of its servers, and the calls that are open meanwhile. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Logger } from '../call/logger.ts'
import { OpenCalls } from '../call/open-calls.ts'
import type { GrpcServer } from '../grpc/server.ts'
import type { HealthStates } from '../health/state.ts'
import { ClosingConnections } from '../rest/closing-connections.ts'
import type { Connections } from '../rest/connections.ts'
import { Drain } from './drain.ts'

/**
 * `idle` before the first start: HTTP is served already, so that apps can be tested without ports. `draining` while
 * everything is served and clients are asked to go elsewhere. `stopping` while what has come is finished, `stopped` from
 * then to the next start.
 */
export type State = 'idle' | 'serving' | 'draining' | 'stopping' | 'stopped'

/** How long ended calls may take to tell their clients. */
const FLUSH_MS = 500
/** So many connections may wait to be accepted, of which Node.js accepts one with each turn of the event loop. */
const BACKLOG = 511
/** Of a connection that is accepted, until its first request is read. */
const TURNS_TO_READ = 3

/** An app with routes of the gateway. */
interface App {
  readonly connections: Connections
  isClosing: boolean
}

/** The app that `listen` has made. */
export interface OwnApp {
  readonly server: object
  close (): Promise<void>
}

export class Lifecycle {
  /** Calls of the user's services. */
  readonly openCalls: OpenCalls
  /** Of built-in services: no shutdown waits for them. */
  readonly builtInCalls = new OpenCalls()
  readonly closings = new ClosingConnections()
  /** Known by their HTTP servers. */
  readonly #apps = new Map<object, App>()
  readonly #makeServer: () => GrpcServer
  readonly #health: HealthStates
  readonly #log: () => Logger
  #phase: Exclude<State, 'draining'> = 'idle'
  /** Whether everything listens that was asked to. */
  #listens = false
  #drain: Drain | undefined
  #server: GrpcServer | undefined
  #port: number | undefined
  /** Starts and stops that have been asked for. */
  #transition: Promise<unknown> = Promise.resolve()
  /** Ends the wait of a stop that is under way. */
  #giveUp: (() => void) | undefined
  #isImpatient = false

  constructor (makeServer: () => GrpcServer, health: HealthStates, log: () => Logger, lookMs: number) {
    this.openCalls = new OpenCalls(lookMs)
    this.#makeServer = makeServer
    this.#health = health
    this.#log = log
  }

  get state (): State {
    return this.#drain !== undefined && (this.#phase === 'idle' || this.#phase === 'serving') ? 'draining' : this.#phase
  }

  /** The port that the gRPC server is bound to; undefined while there is none. */
  get port (): number | undefined {
    return this.#port
  }

  /**
   * Whether new calls may begin on an app. While it closes, those of its open connections are served till the end; an app
   * that stays open would never end with them.
   */
  acceptsCalls (app: object): boolean {
    return this.#phase === 'idle' || this.#phase === 'serving' || (this.#phase === 'stopping' && this.#apps.get(app)?.isClosing === true)
  }

  /** An app has routes of the gateway. */
  mount (app: object, connections: Connections): void {
    if (this.#apps.has(app)) return
    this.#apps.set(app, { connections, isClosing: false })
    if (this.#drain !== undefined) connections.moveOn(this)
  }

  /** An app closes, or is about to. */
  appCloses (app: object): void {
    const known = this.#apps.get(app)
    if (known !== undefined) known.isClosing = true
  }

  /** An app is closed. */
  unmount (app: object): void {
    this.#apps.delete(app)
  }

  /** Runs after what has been asked for before. */
  inTurn<T> (step: () => Promise<T>): Promise<T> {
    const result = this.#transition.then(step)
    this.#transition = result.catch(() => {})
    return result
  }

  /**
   * @param open lets the server listen, and resolves to the port
   * @returns false when it is started already
   */
  async start (open: (server: GrpcServer) => Promise<number> = server => server.bind()): Promise<boolean> {
    if (this.#phase === 'serving') return false
    const server = this.#makeServer()
    try {
      this.#port = await open(server)
    } catch (error) {
      server.destroy()
      throw error
    }
    this.openCalls.open()
    this.builtInCalls.open()
    this.#server = server
    this.#phase = 'serving'
    return true
  }

  /** Everything listens that was asked to, so that probes may be told. */
  listens (): void {
    if (this.#phase !== 'serving') return
    this.#listens = true
    if (this.#drain === undefined) this.#health.set('serving')
  }

  /**
   * Asks clients to go elsewhere, and goes on to serve them.
   *
   * @returns when that has gone on for `minMs` and no call is open; false when it was taken back
   */
  async drain (minMs: number): Promise<boolean> {
    if (this.#phase === 'stopped') return true
    if (this.#drain === undefined) {
      this.#drain = new Drain()
      this.#health.set('draining')
      this.#moveOn()
    }
    return await this.#drain.done(minMs, this.openCalls)
  }

  undrain (): void {
    const drain = this.#drain
    if (drain === undefined || this.#phase === 'stopping') return
    this.#drain = undefined
    for (const { connections } of this.#apps.values()) connections.stay(this)
    this.#health.set(this.#listens ? 'serving' : 'starting')
    drain.end(false)
  }

  #moveOn (): void {
    for (const { connections } of this.#apps.values()) connections.moveOn(this)
    this.#server?.moveOn()
  }

  /**
   * Takes no new connections, and waits for open calls until they are over, `deadline` is reached or `giveUp` is called;
   * then ends them.
   *
   * @param deadline in milliseconds of the clock
   * @returns false when it is stopped already
   */
  async stop (deadline: number, own?: OwnApp): Promise<boolean> {
    if (this.#phase === 'stopped') {
      await own?.close()
      return false
    }
    const patience = new Promise<boolean>(resolve => {
      this.#giveUp = () => {
        this.#isImpatient = true
        resolve(false)
      }
    })
    const timer = setTimeout(() => this.giveUp(), Math.max(0, deadline - Date.now()))
    this.#phase = 'stopping'
    this.#health.set('draining')
    this.#moveOn()
    await this.#readWhatCame()
    const over = Promise.all([this.#server?.close(), own?.close(), this.#callsOver(), this.#appsClosed()]).then(() => true)
    try {
      if (!await Promise.race([over, patience])) await this.#end(over, own)
    } finally {
      clearTimeout(timer)
      this.#stopped()
    }
    return true
  }

  /** What clients had sent before is read, so that it counts as open. */
  async #readWhatCame (): Promise<void> {
    for (let i = 0; i < BACKLOG + TURNS_TO_READ && !this.#isImpatient; i++) await turn()
  }

  /** What the gateway itself has to say is said to the end of the others. */
  async #callsOver (): Promise<void> {
    await this.openCalls.idle()
    this.builtInCalls.shutDown()
    await this.closings.idle()
  }

  async #appsClosed (): Promise<void> {
    await Promise.all([...this.#apps.values()].filter(({ isClosing }) => isClosing).map(({ connections }) => connections.closed()))
  }

  /** Ends what is still open. */
  async #end (over: Promise<boolean>, own: OwnApp | undefined): Promise<void> {
    if (this.openCalls.size > 0) this.#log().warn({ calls: this.openCalls.size }, 'Calls outlasted the grace time of the shutdown and are ended')
    this.openCalls.shutDown()
    this.builtInCalls.shutDown()
    if (await settlesWithin(over, FLUSH_MS)) return
    this.#server?.destroy()
    this.closings.destroy()
    if (own === undefined) return
    this.#apps.get(own.server)?.connections.destroy()
    await own.close()
  }

  #stopped (): void {
    // Those that interceptors still hold back find it closed.
    this.openCalls.shutDown()
    this.builtInCalls.shutDown()
    for (const { connections } of this.#apps.values()) connections.stay(this)
    this.#drain?.end(true)
    this.#drain = undefined
    this.#giveUp = undefined
    this.#isImpatient = false
    this.#server = undefined
    this.#port = undefined
    this.#listens = false
    this.#phase = 'stopped'
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
