/** The signals that a primary process obeys. */

export interface Obedience {
  /** SIGTERM, SIGINT and SIGQUIT: finish all calls. The process ends when that is done. */
  shutdown (): Promise<void>
  /** A second one of these: the process ends when that is done. */
  kill (): Promise<void>
  /** SIGHUP. */
  restart (): Promise<void>
}

/** @returns what ends the obedience */
export function obeySignals ({ shutdown, kill, restart }: Obedience): () => void {
  let isEnding = false
  const end = async (): Promise<void> => {
    const isSecond = isEnding
    isEnding = true
    await (isSecond ? kill() : shutdown())
    process.exit(isSecond ? 1 : 0)
  }
  process.on('SIGTERM', end).on('SIGINT', end).on('SIGQUIT', end).on('SIGHUP', restart)
  return () => { process.off('SIGTERM', end).off('SIGINT', end).off('SIGQUIT', end).off('SIGHUP', restart) }
}
