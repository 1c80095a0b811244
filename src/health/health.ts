/** The health of a gateway and of its services: its state, the checks, and what handlers say. */
import type { Logger } from '../call/logger.ts'
import { Check, type CheckResult, type HealthCheckOptions } from './checks.ts'
import { HealthStates, type HealthState } from './state.ts'

/** The names are those of grpc.health.v1. */
export type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN'

export interface HealthReport {
  /** SERVING when the state is `serving`, no check has failed and no handler says otherwise. */
  readonly status: ServingStatus
  readonly state: HealthState
  /** The checks that count for the service. They run in the state `serving`; else these are the last results. */
  readonly checks: readonly CheckResult[]
}

/** The health of a gateway, for its users: `gateway.health`. */
export interface GatewayHealth {
  readonly state: HealthState
  /**
   * What a probe would be told now. Checks run where their last result is too old.
   *
   * @param service the full name of a service; default the gateway as a whole
   */
  check (service?: string): Promise<HealthReport>
  /**
   * Says that a service cannot serve, whatever checks find, or takes that back. It lasts over restarts.
   *
   * @param service a full name; `''` for the gateway as a whole. Names that are none of its services are added, and can
   *   be asked for.
   *
   * @example
   * gateway.health.setStatus('bookstore.Bookstore', false)
   */
  setStatus (service: string, serving: boolean): void
}

const OVERALL = ''

export class Health implements GatewayHealth {
  readonly states = new HealthStates()
  /** Whether probes over HTTP may tell why a check failed. */
  readonly exposesErrors: boolean
  readonly #log: () => Logger
  readonly #checks = new Set<Check>()
  readonly #services = new Set([OVERALL])
  /** Those of which a handler has said so. */
  readonly #notServing = new Set<string>()
  /** Of watches. */
  readonly #listeners = new Set<() => void>()
  /** Those that wait for checks, and give up when the state changes. */
  readonly #waiting = new Set<() => void>()

  constructor (checks: Readonly<Record<string, HealthCheckOptions>>, log: () => Logger, exposesErrors: boolean) {
    this.#log = log
    this.exposesErrors = exposesErrors
    for (const [name, options] of Object.entries(checks)) this.addCheck(name, options)
    this.states.onChange((state, previous) => {
      this.#log().info({ state, previous }, `Health: ${state}`)
      for (const giveUp of this.#waiting) giveUp()
      this.#changed()
    })
  }

  get state (): HealthState {
    return this.states.current
  }

  /** All that have a status, the gateway as a whole among them. */
  get services (): readonly string[] {
    return [...this.#services]
  }

  addServices (names: readonly string[]): void {
    for (const name of names) this.#services.add(name)
  }

  /** @returns takes the check away */
  addCheck (name: string, options: HealthCheckOptions): () => void {
    const check = new Check(name, options, (result, previous) => {
      this.#logResult(result, previous)
      this.#changed()
    })
    this.#checks.add(check)
    if (this.#listeners.size > 0) this.#poll(check)
    return () => {
      check.stopPolling()
      this.#checks.delete(check)
      this.#changed()
    }
  }

  setStatus (service: string, serving: boolean): void {
    if (typeof service !== 'string' || typeof serving !== 'boolean') throw new TypeError('setStatus takes the full name of a service, and true or false')
    const isNew = !this.#services.has(service)
    const differs = serving === this.#notServing.has(service)
    this.#services.add(service)
    if (serving) this.#notServing.delete(service)
    else this.#notServing.add(service)
    if (differs) this.#log().info({ service, serving }, `Health of ${service || 'the gateway'}: ${serving ? 'SERVING' : 'NOT_SERVING'}, says setStatus`)
    if (differs || isNew) this.#changed()
  }

  async check (service: string = OVERALL): Promise<HealthReport> {
    if (!this.#services.has(service)) return { status: 'SERVICE_UNKNOWN', state: this.state, checks: [] }
    const checks = await this.#results([...this.#checks].filter(check => check.concerns(service)))
    const { state } = this
    const serves = state === 'serving' && !this.#notServing.has(service) && checks.every(({ status }) => status === 'ok')
    return { status: serves ? 'SERVING' : 'NOT_SERVING', state, checks }
  }

  /** The results that are good, or become so before the state changes; the last ones where the state is not `serving`. */
  #results (checks: readonly Check[]): Promise<readonly CheckResult[]> | readonly CheckResult[] {
    const last = (): CheckResult[] => checks.map(check => check.last).filter(result => result !== undefined)
    if (this.state !== 'serving') return last()
    return new Promise(resolve => {
      const giveUp = (): void => resolve(last())
      this.#waiting.add(giveUp)
      Promise.all(checks.map(check => check.result())).then(results => {
        this.#waiting.delete(giveUp)
        resolve(results)
      })
    })
  }

  /**
   * The status of a service now, and again after each change, until `signal` aborts. Of changes that come faster than
   * they are taken, the last one counts. Checks run as long as anyone watches.
   */
  async * watch (service: string, signal: AbortSignal): AsyncGenerator<ServingStatus, void, undefined> {
    let isDue = true
    let wake: (() => void) | undefined
    const listener = (): void => {
      isDue = true
      wake?.()
    }
    this.#addListener(listener)
    signal.addEventListener('abort', listener)
    try {
      let told: ServingStatus | undefined
      while (!signal.aborted) {
        isDue = false
        const { status } = await this.check(service)
        if (status !== told && !signal.aborted) yield told = status
        if (!isDue && !signal.aborted) await new Promise<void>(resolve => { wake = resolve })
      }
    } finally {
      signal.removeEventListener('abort', listener)
      this.#deleteListener(listener)
    }
  }

  #addListener (listener: () => void): void {
    if (this.#listeners.size === 0) for (const check of this.#checks) this.#poll(check)
    this.#listeners.add(listener)
  }

  #deleteListener (listener: () => void): void {
    this.#listeners.delete(listener)
    if (this.#listeners.size === 0) for (const check of this.#checks) check.stopPolling()
  }

  #poll (check: Check): void {
    check.poll(() => this.state === 'serving')
  }

  #changed (): void {
    for (const listener of this.#listeners) listener()
  }

  #logResult ({ name, status, error, durationMs }: CheckResult, previous: CheckResult | undefined): void {
    if (status !== 'ok') this.#log().warn({ err: error, check: name, durationMs }, `Health check ${name}: ${status}`)
    else if (previous !== undefined) this.#log().info({ check: name, durationMs }, `Health check ${name}: ok again`)
  }
}
