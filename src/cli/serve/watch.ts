/** Starts a server in a process of its own, and anew on the same ports when its files change. */
import { fork, type ChildProcess } from 'node:child_process'
import { readdirSync, watch as watchFolder, type FSWatcher } from 'node:fs'
import { dirname, extname, join, resolve } from 'node:path'
import { printProgress } from '../output.ts'
import type { Listening } from './serve.ts'

/** What programs and their schemas are made of. */
const EXTENSIONS = new Set(['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts', '.json', '.proto', '.binpb', '.yaml', '.yml'])

/** Editors write a file in several steps. */
const SETTLE_MS = 100

/** Is set in the environment of the process that serves. */
export const WATCHED = 'FASTIFY_GRPC_GATEWAY_WATCHED'

/**
 * @param args of the command, without `--watch`
 * @param folder of its modules
 * @returns the exit code, when a signal has ended it
 */
export async function watch (args: readonly string[], folder: string): Promise<number> {
  const watcher = new FileWatcher()
  let ports: Pick<Listening, 'grpcPort' | 'httpPort'> | undefined
  let child: ChildProcess | undefined
  let isOver = false
  watcher.follow(folder, [])

  const start = (): void => {
    // The last value of an option counts.
    const again = ports === undefined ? [] : ['--grpc-port', String(ports.grpcPort), '--http-port', String(ports.httpPort)]
    const end = args.includes('--') ? args.indexOf('--') : args.length
    // Of a process group of its own: Ctrl-C reaches it by this process only.
    const started = child = fork(process.argv[1]!, args.toSpliced(end, 0, ...again), { stdio: 'inherit', detached: true, env: { ...process.env, [WATCHED]: '1' } })
    started.on('message', (message: Listening) => {
      ports = message
      watcher.follow(message.folder, message.files)
    })
    started.on('exit', code => {
      if (child === started) child = undefined
      if (!isOver) printProgress(`The server has ended${code === null ? '' : ` with exit code ${code}`}. Waiting for a change`)
    })
  }

  let restarting: Promise<void> | undefined
  watcher.onChange = file => {
    if (isOver) return
    restarting ??= stop(child).then(() => {
      restarting = undefined
      if (isOver) return
      printProgress(`${file} has changed`)
      start()
    })
  }

  const ended = new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        isOver = true
        resolve(stop(child))
      })
    }
  })
  start()
  await ended
  watcher.close()
  return 0
}

async function stop (child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  await exited
}

/** Watches the folders of a program, but for node_modules and hidden ones, and single files elsewhere. */
class FileWatcher {
  onChange: (file: string) => void = () => {}
  readonly #watchers = new Map<string, FSWatcher>()
  /** In folders of which not all is watched. */
  readonly #files = new Set<string>()
  readonly #folders = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  follow (folder: string, files: readonly string[]): void {
    this.#addTree(resolve(folder))
    for (const file of files) {
      this.#files.add(file)
      this.#watch(dirname(file))
    }
  }

  close (): void {
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
  }

  #addTree (folder: string): void {
    if (this.#folders.has(folder) || !this.#watch(folder)) return
    this.#folders.add(folder)
    try {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.')) this.#addTree(join(folder, entry.name))
      }
    } catch {
      // It is gone.
    }
  }

  #watch (folder: string): boolean {
    if (this.#watchers.has(folder)) return true
    try {
      const watcher = watchFolder(folder, (_event, name) => this.#changed(folder, name))
      watcher.on('error', () => this.#forget(folder))
      this.#watchers.set(folder, watcher)
      return true
    } catch {
      return false
    }
  }

  #forget (folder: string): void {
    this.#watchers.get(folder)?.close()
    this.#watchers.delete(folder)
    this.#folders.delete(folder)
  }

  #changed (folder: string, name: string | null): void {
    if (name === null) return
    const file = join(folder, name)
    if (!this.#files.has(file)) {
      if (!this.#folders.has(folder)) return
      if (extname(name) === '' && name !== 'node_modules' && !name.startsWith('.')) this.#addTree(file)
      if (!EXTENSIONS.has(extname(name))) return
    }
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.onChange(file), SETTLE_MS)
  }
}
