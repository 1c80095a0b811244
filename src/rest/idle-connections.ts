/** The connections of an app that is being closed, as far as they are idle. */
import type { FastifyInstance } from 'fastify'
import type { ServerHttp2Session } from 'node:http2'

/** How often it is looked for connections that have become idle, in milliseconds. */
const LOOK_MS = 100

/**
 * Node.js closes idle connections of HTTP/1.1 once, when its server begins to close, and those of HTTP/2 never: an open
 * stream that ends later would leave a connection that keeps the server open until the client goes away.
 */
export class IdleConnections {
  readonly #server: FastifyInstance['server']
  readonly #sessions = new Set<ServerHttp2Session>()
  #timer: NodeJS.Timeout | undefined

  constructor (server: FastifyInstance['server']) {
    this.#server = server
    server.on('session', (session: ServerHttp2Session) => {
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
    })
  }

  /** Closes connections when they are idle, now and later. */
  close (): void {
    for (const session of this.#sessions) session.close()
    this.#timer = setInterval(() => this.#server.closeIdleConnections?.(), LOOK_MS)
  }

  stop (): void {
    clearInterval(this.#timer)
  }
}
