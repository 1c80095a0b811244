/** The options of `listen` that say how signals end the process. */
import { configurationErrors } from '../errors.ts'
import { isBoolean } from './checks.ts'
import { checkMilliseconds } from './lifecycle.ts'

export interface SignalOptions {
  /**
   * At SIGTERM, SIGINT or SIGQUIT drain, shut down, and end the process with exit code 0; at a second one end it at once,
   * with exit code 1. One handler serves all gateways of the process, and is gone when they are shut down. Default true.
   */
  signals?: boolean | undefined
  /** How long the gateway drains at a signal, in milliseconds, so that load balancers notice. Default 0. */
  drainMs?: number | undefined
  /** How long open calls may go on after that, in milliseconds; then they end with UNAVAILABLE. Default 9,000. */
  graceMs?: number | undefined
}

/** Less than the 10 s after which docker stop gives up. */
export const DEFAULT_GRACE_MS = 9000

export interface CheckedSignalOptions {
  readonly signals: boolean
  readonly drainMs: number
  readonly graceMs: number
}

/** @throws FGG_ERR_LISTEN_OPTION; FGG_ERR_OPTION for the times */
export function signalsWithDefaults ({ signals = true, drainMs = 0, graceMs = DEFAULT_GRACE_MS }: SignalOptions): CheckedSignalOptions {
  const problem = isBoolean(signals)
  if (problem !== undefined) throw new configurationErrors.FGG_ERR_LISTEN_OPTION('signals', problem)
  checkMilliseconds('drainMs', drainMs)
  checkMilliseconds('graceMs', graceMs)
  return { signals, drainMs, graceMs }
}
