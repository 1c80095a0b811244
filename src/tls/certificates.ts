/** The certificates of a server, as long as it runs: they follow their files. */
import { X509Certificate } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { SecureContextOptions } from 'node:tls'
import type { Logger } from '../call/logger.ts'
import { checkTls, type TlsOptions } from './options.ts'
import { pathOf, readPems, readPemsLater, samePems, type Pems } from './pem.ts'
import { contextOf, serverOptionsOf, type TlsServerOptions } from './server-options.ts'

/**
 * How often the files are looked at, in milliseconds. Notifications of the file system are not relied on: they miss
 * what happens on network file systems, and behind the symbolic links of Kubernetes secrets.
 */
const LOOK_MS = 250

type Listener = (context: SecureContextOptions) => void

export class Certificates {
  readonly #options: TlsOptions
  readonly #log: () => Logger
  readonly #paths: readonly string[]
  readonly #listeners = new Set<Listener>()
  #pems: Pems
  #timer: NodeJS.Timeout | undefined
  #isLooking = false
  /** What was seen of the files when they were last read. */
  #seen: string | undefined
  /** Whether to read them at the next look, whatever is seen. */
  #again = false
  /** Why the files could not be used at the last look, and whether that is logged. */
  #problem: { readonly message: string, logged: boolean } | undefined

  /** @throws FGG_ERR_TLS, naming the option, when a file cannot be read or holds no usable PEM */
  constructor (options: TlsOptions, log: () => Logger) {
    checkTls(options)
    const { key, cert, ca, reload = true } = options
    this.#options = options
    this.#log = log
    this.#paths = reload ? [key, cert, ca].flatMap(value => value === undefined ? [] : pathOf(value) ?? []) : []
    this.#pems = readPems(options)
  }

  /** What the server is made with, beside the context. */
  get serverOptions (): TlsServerOptions {
    return serverOptionsOf(this.#options)
  }

  /** What it offers to the next connection. */
  get context (): SecureContextOptions {
    return contextOf(this.#options, this.#pems)
  }

  /**
   * Follows the files: `context` is up to date from now on.
   *
   * @param listener is told of each new context
   * @returns ends this
   */
  follow (listener: Listener): () => void {
    if (this.#listeners.size === 0 && this.#paths.length > 0) {
      this.#catchUp()
      this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
    }
    this.#listeners.add(listener)
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) clearInterval(this.#timer)
    }
  }

  /** The files may be others than when they were read. */
  #catchUp (): void {
    try {
      this.#adopt(readPems(this.#options))
    } catch (error) {
      this.#keep(error as Error)
    }
  }

  async #look (): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      const seen = (await Promise.all(this.#paths.map(stateOf))).join()
      const isNew = seen !== this.#seen
      if (!isNew && !this.#again) return
      // A file that is written twice within one tick of the file system's clock looks the same, so it is read twice.
      this.#again = isNew
      this.#seen = seen
      this.#adopt(await readPemsLater(this.#options))
    } catch (error) {
      this.#again = true
      this.#keep(error as Error)
    } finally {
      this.#isLooking = false
    }
  }

  #adopt (pems: Pems): void {
    this.#problem = undefined
    if (samePems(pems, this.#pems)) return
    this.#pems = pems
    const { context } = this
    for (const listener of this.#listeners) listener(context)
    const { subject, validTo, fingerprint256 } = new X509Certificate(pems.cert)
    this.#log().info({ subject, validTo, fingerprint256 }, 'TLS certificates reloaded')
  }

  /** Files that are being replaced do not fit for a moment. When they do not fit at the next look either, it is logged. */
  #keep ({ message }: Error): void {
    if (this.#problem?.message !== message) {
      this.#problem = { message, logged: false }
    } else if (!this.#problem.logged) {
      this.#problem.logged = true
      this.#log().warn({ problem: message }, 'TLS certificates cannot be reloaded; those in use are kept')
    }
  }
}

/** Changes with the file that a path leads to, whatever symbolic links are between. */
async function stateOf (path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}
