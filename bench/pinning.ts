/** Keeps the server on one core and the load on another, so that neither takes the other's time. */
import { spawnSync } from 'node:child_process'

/** What goes before the command line of a process. */
export interface Pinning {
  readonly server: readonly string[]
  readonly load: readonly string[]
}

/** Undefined without `taskset`, which Linux has, or without a second core. */
export function findPinning (): Pinning | undefined {
  const [server, load] = [0, 1].map(core => ['taskset', '-c', String(core)]) as [string[], string[]]
  const works = [server, load].every(([command, ...args]) => spawnSync(command!, [...args, 'true']).status === 0)
  return works ? { server, load } : undefined
}

/** Moves this process to the core of the load. */
export function moveToLoad ({ load: [command, ...args] }: Pinning): void {
  spawnSync(command!, ['-a', '-p', ...args, String(process.pid)])
}
