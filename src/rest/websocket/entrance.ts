/**
 * A call over a WebSocket before its connection is upgraded, where the method has a gate: until the call is let in, it
 * can be refused by an HTTP status, which clients understand better than the close of a socket.
 */
import { Metadata } from '@grpc/grpc-js'
import type { Status } from '../../call/invocation.ts'
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'

export class Entrance {
  /** Resolves when the connection is to be upgraded, and rejects when the call is refused. */
  readonly decision: Promise<void>
  /** What waits for the upgrade. */
  readonly #steps: Array<() => void> = []
  #isDecided = false
  #upgrade!: () => void
  #reject!: (error: GrpcError) => void

  constructor () {
    this.decision = new Promise((resolve, reject) => {
      this.#upgrade = resolve
      this.#reject = reject
    })
    this.decision.catch(() => {})
  }

  /** Does something once the connection is upgraded. */
  afterUpgrade (step: () => void): void {
    this.#steps.push(step)
  }

  /** Has the connection upgraded, and then does something. */
  upgrade (step: () => void): void {
    this.#steps.push(step)
    this.#isDecided = true
    this.#upgrade()
  }

  /** @returns false when it is too late for that */
  refuse ({ code, details, metadata }: Status): boolean {
    if (this.#isDecided || code === status.OK) return false
    this.#isDecided = true
    this.#reject(new GrpcError(code, String(details), { metadata: metadata ?? new Metadata() }))
    return true
  }

  /** The client is gone. */
  leave (): void {
    this.#steps.length = 0
    this.#reject(new GrpcError(status.CANCELLED, 'The client is gone'))
  }

  /** The connection is upgraded. @returns whether anything waited for that */
  open (): boolean {
    const steps = this.#steps.splice(0)
    for (const step of steps) step()
    return steps.length > 0
  }
}
