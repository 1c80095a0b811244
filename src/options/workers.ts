/** The options of `listen` with `workers`. */
import { configurationErrors } from '../errors.ts'
import { isWhole } from './checks.ts'
import { checkMilliseconds } from './lifecycle.ts'
import { DEFAULT_GRACE_MS } from './signals.ts'

export interface WorkersOptions {
  /**
   * Serve by so many processes, which run the same script and share both ports; this process serves nothing itself, and
   * starts anew those that die. SIGHUP replaces them one by one. `undefined`: this process serves.
   */
  workers: number | undefined
  /** How long a worker that is to end asks its clients to go elsewhere, in milliseconds. Default 2,000. */
  drainMs?: number | undefined
  /** How long open calls may go on after that, in milliseconds; then they end with UNAVAILABLE. Default 9,000. */
  graceMs?: number | undefined
}

export interface CheckedWorkersOptions {
  readonly workers: number
  readonly drainMs: number
  readonly graceMs: number
}

const MOST_WORKERS = 1024
/** Other workers listen already, so only connections that are used now and then need time. */
const DEFAULT_DRAIN_MS = 2000

/** @throws FGG_ERR_LISTEN_OPTION; FGG_ERR_OPTION for the times */
export function workersWithDefaults ({ workers, drainMs = DEFAULT_DRAIN_MS, graceMs = DEFAULT_GRACE_MS }: WorkersOptions): CheckedWorkersOptions {
  if (!isWhole(workers, 1, MOST_WORKERS)) throw new configurationErrors.FGG_ERR_LISTEN_OPTION('workers', `must be a whole number, 1 to ${MOST_WORKERS}, such as os.availableParallelism()`)
  checkMilliseconds('drainMs', drainMs)
  checkMilliseconds('graceMs', graceMs)
  return { workers: workers!, drainMs, graceMs }
}
