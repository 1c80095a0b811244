/** Connections that still carry the end of a call, after the call is over: a shutdown waits for them, and then ends them. */

export class ClosingConnections {
  readonly #open = new Set<() => void>()
  #whenIdle: Array<() => void> = []

  /**
   * @param destroy ends the connection, or its part in it
   * @returns what to call when it has ended by itself
   */
  add (destroy: () => void): () => void {
    this.#open.add(destroy)
    return () => {
      this.#open.delete(destroy)
      if (this.#open.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve()
    }
  }

  /** Resolves when there are none. */
  idle (): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise(resolve => this.#whenIdle.push(resolve))
  }

  /** Ends all of them. */
  destroy (): void {
    for (const destroy of [...this.#open]) destroy()
  }
}
