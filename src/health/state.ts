/** What a gateway is doing, in the words of its health: one state, whichever protocol asks for it. */

/**
 * - `starting` until everything listens that was asked to
 * - `serving`
 * - `draining` from the announcement that it is to end; open calls go on, and others may still come
 * - `notServing` when it is shut down
 */
export type HealthState = 'starting' | 'serving' | 'draining' | 'notServing'

/**
 * The state machine. Whoever starts, drains and stops the gateway calls `set`, before anything else that clients could
 * notice, so that they hear of it from their probes first.
 */
export class HealthStates {
  #current: HealthState = 'starting'
  readonly #listeners = new Set<(state: HealthState, previous: HealthState) => void>()

  get current (): HealthState {
    return this.#current
  }

  /** Tells the listeners, unless it is the state already. */
  set (state: HealthState): void {
    const previous = this.#current
    if (state === previous) return
    this.#current = state
    for (const listener of this.#listeners) listener(state, previous)
  }

  onChange (listener: (state: HealthState, previous: HealthState) => void): void {
    this.#listeners.add(listener)
  }
}
