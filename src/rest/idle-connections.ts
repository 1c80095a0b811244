/** The connections of an app that is being closed, as far as they are idle. */
import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** How often it is looked for connections that have become idle, in milliseconds. */
const LOOK_MS = 100
/** How often it is looked at a session that is over before its connection is cut off. */
const MOST_LOOKS = 5

interface Session {
  readonly session: ServerHttp2Session
  readonly address: string
  looks: number
}

/**
 * Node.js closes idle connections of HTTP/1.1 once, when its server begins to close, and those of HTTP/2 never: an open
 * stream that ends later would leave a connection that keeps the server open until the client goes away. So would an
 * HTTP/2 client that does not read, or does not end its side.
 */
export class IdleConnections {
  readonly #server: FastifyInstance['server']
  /** Sessions do not give their sockets away, so they are known by address and port of the client. */
  readonly #sockets = new Map<string, Socket>()
  readonly #sessions = new Set<Session>()
  #timer: NodeJS.Timeout | undefined

  constructor (server: FastifyInstance['server']) {
    this.#server = server
    if ('updateSettings' in server) this.#watch()
  }

  /** Closes connections when they are idle, now and later. */
  close (): void {
    for (const { session } of this.#sessions) session.close()
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  stop (): void {
    clearInterval(this.#timer)
  }

  #watch (): void {
    this.#server.on('connection', (socket: Socket) => {
      const address = addressOf(socket)
      this.#sockets.set(address, socket)
      socket.once('close', () => this.#sockets.delete(address))
    })
    this.#server.on('session', (session: ServerHttp2Session) => {
      const known = { session, address: addressOf(session.socket), looks: 0 }
      this.#sessions.add(known)
      session.once('close', () => this.#sessions.delete(known))
    })
  }

  #look (): void {
    this.#server.closeIdleConnections?.()
    for (const known of this.#sessions) {
      if (known.session.destroyed && ++known.looks === MOST_LOOKS) this.#sockets.get(known.address)?.destroy()
    }
  }
}

function addressOf ({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress}:${remotePort}`
}
