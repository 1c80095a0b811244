/** The applications that are deployed, and which of them a call is for. */
import type { Logger } from '../call/logger.ts'
import { configurationErrors, GrpcError } from '../errors.ts'
import { status } from '../status.ts'
import { Application } from './application.ts'
import { BoundDeployment } from './deployment.ts'

export interface RunOptions {
  /** Default `default`. An application of the same name is replaced, once this one is made. */
  name?: string | undefined
  /** What its paths over HTTP begin with; `null` for none. Default `/`. */
  routePrefix?: string | null | undefined
}

export type ApplicationState = 'DEPLOYING' | 'RUNNING' | 'DEPLOY_FAILED' | 'DELETING'

export interface DeploymentStatus {
  readonly replicas: number
  /** Requests that are being worked on. */
  readonly ongoing: number
  /** Requests that wait. */
  readonly queued: number
}

export interface ApplicationStatus {
  readonly status: ApplicationState
  readonly routePrefix: string | null
  /** Why it could not be deployed. */
  readonly message: string
  readonly deployments: Readonly<Record<string, DeploymentStatus>>
}

/** What is known of a name. */
interface Entry {
  state: ApplicationState
  routePrefix: string | null
  message: string
  application: Application | undefined
}

const PING = 'Ping /ray.serve.RayServeAPIService/ListApplications for available applications.'

export class Applications {
  /** In the order in which they were deployed. */
  readonly #entries = new Map<string, Entry>()
  #serving: readonly Application[] = []
  readonly #closing = new Set<Promise<void>>()
  /** Whether one was ever deployed. */
  hasRoutes = false
  readonly #isStrict: boolean
  readonly #graceMs: number
  readonly #log: () => Logger

  /**
   * @param isStrict whether a wrong name finds nothing even if there is only one application
   * @param graceMs how long a replaced application may work on what it has begun
   */
  constructor (isStrict: boolean, graceMs: number, log: () => Logger) {
    this.#isStrict = isStrict
    this.#graceMs = graceMs
    this.#log = log
  }

  /** Those that serve. */
  get serving (): readonly Application[] {
    return this.#serving
  }

  #changed (): void {
    this.#serving = [...this.#entries.values()].flatMap(({ application }) => application ?? [])
  }

  /**
   * Makes the instances of an application; from then on calls go to it. One that it replaces finishes what it has begun.
   *
   * @throws FGG_ERR_APPLICATION when its name or prefix is wrong or taken; what a constructor throws
   */
  async run (bound: BoundDeployment, { name = 'default', routePrefix = '/' }: RunOptions): Promise<void> {
    const { FGG_ERR_APPLICATION } = configurationErrors
    if (!(bound instanceof BoundDeployment)) throw new FGG_ERR_APPLICATION('An application is what deployment(…).bind(…) returns')
    if (typeof name !== 'string' || name === '') throw new FGG_ERR_APPLICATION('Application names must be nonempty.')
    const prefix = checkedPrefix(routePrefix)
    for (const [other, entry] of this.#entries) {
      if (other !== name && prefix !== null && entry.routePrefix === prefix) throw new FGG_ERR_APPLICATION(`Found duplicate applications for route prefix "${prefix}". Please ensure each application's route_prefix is unique.`)
    }
    const previous = this.#entries.get(name)
    if (previous?.state === 'DEPLOYING') throw new FGG_ERR_APPLICATION(`Application '${name}' is being deployed already`)
    const entry: Entry = previous ?? { state: 'DEPLOYING', routePrefix: prefix, message: '', application: undefined }
    entry.state = 'DEPLOYING'
    this.#entries.set(name, entry)
    try {
      const application = await Application.deploy(bound, { name, routePrefix: prefix }, this.#log)
      const old = entry.application
      entry.application = application
      entry.routePrefix = prefix
      entry.message = ''
      entry.state = 'RUNNING'
      this.hasRoutes = true
      this.#changed()
      if (old !== undefined) this.#close(old)
      // Deleted meanwhile.
      if (this.#entries.get(name) !== entry) await this.#close(application)
    } catch (error) {
      // The one before goes on.
      entry.state = entry.application === undefined ? 'DEPLOY_FAILED' : 'RUNNING'
      entry.message = error instanceof Error ? error.message : String(error)
      throw error
    }
  }

  /** Takes an application away, and waits for what it has begun. @returns whether there was one */
  async delete (name: string): Promise<boolean> {
    const entry = this.#entries.get(name)
    if (entry === undefined) return false
    this.#entries.delete(name)
    entry.state = 'DELETING'
    this.#changed()
    if (entry.application !== undefined) await this.#close(entry.application)
    return true
  }

  async deleteAll (): Promise<void> {
    await Promise.all([...this.#entries.keys()].map(name => this.delete(name)))
    await Promise.all(this.#closing)
  }

  status (): Record<string, ApplicationStatus> {
    return Object.fromEntries([...this.#entries].map(([name, { state, routePrefix, message, application }]) => [name, {
      status: state,
      routePrefix,
      message,
      deployments: Object.fromEntries((application?.deployments ?? []).map(({ name, replica, ongoing }) => [name, { replicas: replica.count, ongoing: ongoing.running, queued: ongoing.queued }]))
    }]))
  }

  /**
   * The application that a call names by its metadata `application`; the only one there is when it names none.
   *
   * @throws GrpcError NOT_FOUND
   */
  named (name: string): Application {
    const found = this.#entries.get(name)?.application
    if (found !== undefined) return found
    const serving = this.serving
    if (serving.length === 1 && (name === '' || !this.#isStrict)) return serving[0]!
    throw new GrpcError(status.NOT_FOUND, name === '' ? `Application metadata not set. ${PING}` : `Application '${name}' not found. ${PING}`)
  }

  #close (application: Application): Promise<void> {
    const closing = application.close(this.#graceMs).finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
    return closing
  }
}

/** @returns without a slash at its end, but for that of the root */
function checkedPrefix (prefix: string | null): string | null {
  if (prefix === null) return null
  if (typeof prefix !== 'string' || !/^\/[\w/.~%-]*$/.test(prefix)) throw new configurationErrors.FGG_ERR_APPLICATION(`Route prefixes must be plain paths that start with '/': got ${String(prefix)}`)
  return prefix === '/' ? prefix : prefix.replace(/\/+$/, '')
}
