/** Checks that users give: each runs within a time limit, once at a time, and its result is good for a while. */

/**
 * Looks whether something that handlers need works. A throw, a rejection or `false` means that it does not.
 * `signal` aborts when the time limit has passed.
 */
export type HealthCheck = (signal: AbortSignal) => unknown

export interface HealthCheckOptions {
  check: HealthCheck
  /** How long the check may take, in milliseconds; then it counts as failed. Default 1000. */
  timeoutMs?: number | undefined
  /** How long a result is good for, in milliseconds; 0 to run the check for every probe. Default 1000. */
  cacheMs?: number | undefined
  /**
   * Full names of the services that need what is checked; `''` stands for the gateway as a whole. Default all of them,
   * and the gateway as a whole.
   */
  services?: readonly string[] | undefined
}

export interface CheckResult {
  readonly name: string
  readonly status: 'ok' | 'failed' | 'timeout'
  /** How long the check took, in milliseconds. */
  readonly durationMs: number
  /** Whether this is the result of an earlier probe. */
  readonly cached: boolean
  /** What the check threw; undefined when it is ok. */
  readonly error: unknown
}

const DEFAULT_TIMEOUT_MS = 1000
const DEFAULT_CACHE_MS = 1000
/** How often a check runs for those who watch, where results are good for less. */
const SHORTEST_INTERVAL_MS = 100
/** The same where results are good for nothing but one probe. */
const UNCACHED_INTERVAL_MS = 1000

type Outcome = Pick<CheckResult, 'status' | 'error'>

export class Check {
  readonly name: string
  readonly #check: HealthCheck
  readonly #timeoutMs: number
  readonly #cacheMs: number
  readonly #services: ReadonlySet<string> | undefined
  readonly #changed: (result: CheckResult, previous: CheckResult | undefined) => void
  #last: CheckResult | undefined
  #freshUntil = 0
  #running: Promise<CheckResult> | undefined
  #timer: NodeJS.Timeout | undefined

  /** @param changed hears of each result whose status is not that of the one before */
  constructor (name: string, { check, timeoutMs = DEFAULT_TIMEOUT_MS, cacheMs = DEFAULT_CACHE_MS, services }: HealthCheckOptions, changed: (result: CheckResult, previous: CheckResult | undefined) => void) {
    this.name = name
    this.#check = check
    this.#timeoutMs = timeoutMs
    this.#cacheMs = cacheMs
    this.#services = services === undefined ? undefined : new Set(services)
    this.#changed = changed
  }

  /** Whether it counts for a service, or for the gateway as a whole, whose name is empty. */
  concerns (service: string): boolean {
    return this.#services?.has(service) ?? true
  }

  /** The last result, however old. */
  get last (): CheckResult | undefined {
    return this.#last && { ...this.#last, cached: true }
  }

  /** A result that is good, else that of the run which is under way, else of a new one. It never rejects. */
  async result (): Promise<CheckResult> {
    return performance.now() < this.#freshUntil ? this.last! : await this.#run()
  }

  /** Runs the check as often as its result goes bad, while `isWanted`. */
  poll (isWanted: () => boolean): void {
    const interval = this.#cacheMs === 0 ? UNCACHED_INTERVAL_MS : Math.max(this.#cacheMs, SHORTEST_INTERVAL_MS)
    const timer = setTimeout(async () => {
      if (isWanted()) await this.#run()
      // Until then it may have been stopped, or started anew.
      if (this.#timer === timer) this.poll(isWanted)
    }, interval)
    this.#timer = timer.unref()
  }

  stopPolling (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #run (): Promise<CheckResult> {
    this.#running ??= this.#newRun()
    return this.#running
  }

  async #newRun (): Promise<CheckResult> {
    const start = performance.now()
    const outcome = await this.#outcome()
    const end = performance.now()
    const result = { name: this.name, ...outcome, durationMs: Math.round(end - start), cached: false }
    const previous = this.#last
    this.#last = result
    this.#freshUntil = end + this.#cacheMs
    this.#running = undefined
    if (result.status !== previous?.status) this.#changed(result, previous)
    return result
  }

  #outcome (): Promise<Outcome> {
    return new Promise(resolve => {
      const abort = new AbortController()
      const timer = setTimeout(() => {
        const error = new Error(`No answer within ${this.#timeoutMs} ms`)
        resolve({ status: 'timeout', error })
        abort.abort(error)
      }, this.#timeoutMs).unref()
      outcomeOf(this.#check, abort.signal).then(outcome => {
        clearTimeout(timer)
        resolve(outcome)
      })
    })
  }
}

async function outcomeOf (check: HealthCheck, signal: AbortSignal): Promise<Outcome> {
  try {
    if (await check(signal) === false) throw new Error('The check returned false')
    return { status: 'ok', error: undefined }
  } catch (error) {
    return { status: 'failed', error }
  }
}
