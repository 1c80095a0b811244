/** Signals that end the process in order: one handler for all gateways in it. */
import closeWithGrace from 'close-with-grace'

export interface Ending {
  /** The longest time that `end` may take, in milliseconds; then the process ends with exit code 1. */
  readonly limitMs: number
  end (signal: string): Promise<void>
  /** Another signal has come while the process ends; it ends at once, with exit code 1. */
  hurry (signal: string): void
  /** It has taken longer than `limitMs`. */
  late (): void
  /** `end` has failed: exit code 1. */
  fail (error: unknown): void
}

/** What is left alone: errors that nobody catches end the process as they do without a gateway. */
const SKIP: closeWithGrace.AllEvents[] = ['SIGHUP', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2', 'uncaughtException', 'unhandledRejection', 'beforeExit']

const endings = new Set<Ending>()
let uninstall: (() => void) | undefined
let isEnding = false

/**
 * From now on, SIGTERM, SIGINT and SIGQUIT end the process, with exit code 0, when all endings are done.
 *
 * @returns what takes it back
 */
export function endOnSignal (ending: Ending): () => void {
  endings.add(ending)
  install()
  return () => {
    endings.delete(ending)
    install()
  }
}

/** Anew with each ending, because the limit is the longest of all. */
function install (): void {
  if (isEnding) return
  uninstall?.()
  uninstall = undefined
  if (endings.size === 0) return
  const all = [...endings]
  uninstall = closeWithGrace({
    skip: SKIP,
    delay: Math.max(...all.map(({ limitMs }) => limitMs)),
    logger: { error: error => { for (const { fail } of all) fail(error) } },
    onSecondSignal: signal => { for (const { hurry } of all) hurry(signal) },
    onTimeout: () => { for (const { late } of all) late() }
  }, async ({ signal }) => {
    isEnding = true
    await Promise.all(all.map(({ end }) => end(signal!)))
  }).uninstall
}
