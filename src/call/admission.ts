/**
 * How many calls may run at once, of a gateway, of a service and of a method. Others wait in line, or are refused.
 * A call is counted from when it is let in until it is over.
 */
import { Metadata } from '@grpc/grpc-js'
import { GrpcError } from '../errors.ts'
import { status } from '../status.ts'

/** A call on its way through the limits of its method, then those of its service, then those of its gateway. */
export interface LimitedCall {
  /** How many limits it has passed, each of which counts it. */
  passed: number
  /** Whether it waits for the next one. */
  isWaiting: boolean
  /** Goes on to the next limit: it has waited, and is counted now. */
  goOn (): void
}

/** What becomes of a call. */
export type Admitted = true | 'waits' | GrpcError

export class CallLimit {
  readonly #most: number
  readonly #mostWaiting: number
  readonly #retryAfterMs: number
  /** In the order in which they have come. */
  readonly #waiting = new Set<LimitedCall>()
  #running = 0

  /**
   * @param most how many calls may run at once
   * @param mostWaiting how many may wait
   * @param retryAfterMs when a client that is refused may come again; 0 to say nothing about it
   */
  constructor (most: number, mostWaiting: number, retryAfterMs: number) {
    this.#most = most
    this.#mostWaiting = mostWaiting
    this.#retryAfterMs = retryAfterMs
  }

  /** How many calls it counts. */
  get running (): number {
    return this.#running
  }

  get waiting (): number {
    return this.#waiting.size
  }

  /** @param isKnown whether the call was let in by another limit after it had waited: then it is not refused any more */
  enter (call: LimitedCall, isKnown: boolean): Admitted {
    if (this.#running < this.#most) {
      this.#running++
      call.passed++
      return true
    }
    if (this.#waiting.size >= this.#mostWaiting && !isKnown) return this.#refusal()
    this.#waiting.add(call)
    call.isWaiting = true
    return 'waits'
  }

  /** A call that waits is gone. */
  giveUp (call: LimitedCall): void {
    this.#waiting.delete(call)
  }

  /** A call that it counts is over. Its place goes to the one that has waited longest. */
  leave (): void {
    this.#running--
    if (this.#waiting.size === 0) return
    const [next] = this.#waiting
    this.#waiting.delete(next!)
    this.#running++
    next!.passed++
    next!.isWaiting = false
    next!.goOn()
  }

  #refusal (): GrpcError {
    const details = `Request dropped due to backpressure (num_queued_requests=${this.#waiting.size}, max_queued_requests=${this.#mostWaiting}).`
    return new GrpcError(status.RESOURCE_EXHAUSTED, details, this.#retryAfterMs === 0 ? {} : retryHints(this.#retryAfterMs))
  }
}

/** The limits of one method, its own first. */
export class Admission {
  readonly #limits: readonly CallLimit[]

  constructor (limits: readonly CallLimit[]) {
    this.#limits = limits
  }

  /** Takes a call through the limits that are left. One that waits hears of it by `goOn`. */
  enter (call: LimitedCall): Admitted {
    const isKnown = call.passed > 0
    while (call.passed < this.#limits.length) {
      const admitted = this.#limits[call.passed]!.enter(call, isKnown)
      if (admitted === true) continue
      if (admitted !== 'waits') this.leave(call)
      return admitted
    }
    return true
  }

  /** The call is over, wherever it is; again has no effect. */
  leave (call: LimitedCall): void {
    if (call.isWaiting) {
      call.isWaiting = false
      this.#limits[call.passed]!.giveUp(call)
    }
    while (call.passed > 0) this.#limits[--call.passed]!.leave()
  }
}

/**
 * When to come again, for whoever asks: clients of HTTP, retry policies of gRPC, and programs.
 *
 * @see https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback
 */
function retryHints (ms: number): ConstructorParameters<typeof GrpcError>[2] {
  const metadata = new Metadata()
  metadata.set('retry-after', String(Math.ceil(ms / 1000)))
  metadata.set('grpc-retry-pushback-ms', String(ms))
  return { metadata, errorDetails: [{ '@type': 'google.rpc.RetryInfo', retryDelay: `${ms / 1000}s` }] }
}
