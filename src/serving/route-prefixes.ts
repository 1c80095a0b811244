/** Paths over HTTP: the longest prefix of an application wins, and what follows it is the path of the gateway's route. */
import type { IncomingMessage } from 'node:http'
import type { Application } from './application.ts'
import { CALL } from './replica.ts'

/** The header, and the metadata, that name an application. */
export const APPLICATION = 'application'

/** What Fastify's `rewriteUrl` is given. */
type Request = Pick<IncomingMessage, 'url' | 'headers' | 'rawHeaders'>

export class RoutePrefixes {
  readonly #applications: () => readonly Application[]
  /** The path of the RPC that the bare prefix stands for. */
  readonly #callPath: string | undefined

  /** Before all paths of applications; empty for none. */
  readonly #rootPath: string

  /** @param services full names of the services and of their methods */
  constructor (applications: () => readonly Application[], services: ReadonlyArray<{ fullName: string, methods: readonly string[] }>, rootPath: string) {
    this.#rootPath = rootPath
    this.#applications = applications
    const withCall = services.filter(({ methods }) => methods.includes(CALL))
    this.#callPath = withCall.length === 1 ? `/${withCall[0]!.fullName}/${CALL}` : undefined
  }

  /** Names the application in a header, and takes its prefix away. */
  rewrite (request: Request): string {
    const url = this.#belowRoot(request.url ?? '/')
    const end = url.indexOf('?')
    const path = end === -1 ? url : url.slice(0, end)
    const application = this.#find(path)
    if (application === undefined) return url
    const prefix = application.routePrefix!
    const rest = prefix === '/' ? path : path.slice(prefix.length)
    const isNamed = prefix === '/' && (request.headers[APPLICATION] !== undefined || this.#applications().length === 1)
    if (!isNamed) nameApplication(request, application.name)
    const route = (rest === '' || rest === '/') && this.#callPath !== undefined ? this.#callPath : rest === '' ? '/' : rest
    return end === -1 ? route : route + url.slice(end)
  }

  /** Paths that do not lie below the root path stay as they are: probes do not know of it. */
  #belowRoot (url: string): string {
    const root = this.#rootPath
    if (root === '' || !(url.startsWith(root) && /^(?:[/?]|$)/.test(url.slice(root.length)))) return url
    const rest = url.slice(root.length)
    return rest.startsWith('/') ? rest : `/${rest}`
  }

  #find (path: string): Application | undefined {
    let longest: Application | undefined
    for (const application of this.#applications()) {
      const prefix = application.routePrefix
      if (prefix === null || !isWithin(path, prefix)) continue
      if (longest === undefined || prefix.length > longest.routePrefix!.length) longest = application
    }
    return longest
  }
}

/** In place of what the client may have named. */
function nameApplication ({ headers, rawHeaders }: Request, name: string): void {
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) if (rawHeaders[i]!.toLowerCase() === APPLICATION) rawHeaders.splice(i, 2)
  rawHeaders.push(APPLICATION, name)
  headers[APPLICATION] = name
}

/** By whole segments: `/route` is no prefix of `/routesuffix`. */
function isWithin (path: string, prefix: string): boolean {
  if (prefix === '/') return true
  return path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === '/')
}
