/** The connections of an app: asked to move on while it drains, and ended when it closes. */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { limitUntaken } from '../call/untaken.ts'
import { otherServers } from '../tls/app-servers.ts'
import { hasWaitingCalls } from './disconnect.ts'

/** How often it is looked for connections that have become idle, in milliseconds. */
const LOOK_MS = 100
/** How often it is looked at a session that is over before its connection is cut off. */
const MOST_LOOKS = 5
/** How long a client may take from its connection to its first byte, in milliseconds. */
const LONGEST_SILENCE_MS = 1000

interface KnownSession {
  readonly address: string
  /** How often it was looked at since it is over. */
  looks: number
}

type Server = FastifyInstance['server']

/** Node.js keeps the response that is being written here. */
type BusySocket = Socket & { readonly _httpMessage?: ServerResponse | null }

/**
 * Node.js closes idle connections of HTTP/1.1 once, when its server begins to close, those that have not sent anything
 * never, and those of HTTP/2 never: each keeps the server open until the client goes away. So would an HTTP/2 client
 * that does not read, or does not end its side.
 */
export class Connections {
  readonly #servers = new Set<Server>()
  /** When each was opened, in milliseconds of the clock. */
  readonly #sockets = new Map<Socket, number>()
  readonly #sessions = new Map<ServerHttp2Session, KnownSession>()
  /** Sessions do not give their sockets away, so these are known by address and port of the client. */
  readonly #socketsOfSessions = new Map<string, Socket>()
  /** How old one may become, in milliseconds; Infinity for no limit. */
  #mostAge = Infinity
  /** How long a client may take nothing, in milliseconds; Infinity for no limit. */
  #untakenMs = Infinity
  /** Who has asked for them to move on. */
  readonly #askers = new Set<object>()
  /** The response of each connection that says so. */
  readonly #last = new WeakMap<Socket, ServerResponse>()
  #timer: NodeJS.Timeout | undefined
  #closed: Promise<unknown> | undefined

  constructor (app: FastifyInstance) {
    this.#watch(app.server)
    // For `localhost`, Fastify listens with a server for each address.
    app.addHook('onListen', async () => { for (const server of otherServers(app)) this.#watch(server as Server) })
  }

  /**
   * Asks clients to use other connections: every response of HTTP/1.1 says `connection: close`, and HTTP/2 sessions that
   * are open now get GOAWAY. Requests are still answered.
   */
  moveOn (asker: object): void {
    this.#askers.add(asker)
    if (this.#askers.size > 1) return
    for (const server of this.#servers) server.prependListener('request', this.#tell)
    for (const socket of this.#sockets.keys()) this.#tellIn(socket)
    this.#goAway()
  }

  /** Takes `moveOn` back, once all who have asked for it do. What was told to go away still goes. */
  stay (asker: object): void {
    this.#askers.delete(asker)
    if (this.#askers.size > 0) return
    for (const server of this.#servers) server.removeListener('request', this.#tell)
  }

  /** Asks clients to use another connection when one is so old. Of several limits, the shortest counts. @param ms 0 for no limit */
  limitAge (ms: number): void {
    if (ms === 0) return
    if (this.#mostAge === Infinity) for (const server of this.#servers) server.prependListener('request', this.#tellIfOld)
    this.#mostAge = Math.min(this.#mostAge, ms)
  }

  /**
   * Ends streams and connections whose clients take nothing. Of several limits, the shortest counts.
   *
   * @param ms 0 for no limit
   */
  limitUntaken (ms: number): void {
    if (ms === 0 || ms >= this.#untakenMs) return
    this.#untakenMs = ms
    for (const server of this.#servers) limitUntaken(server, ms)
  }

  readonly #tellIfOld = (request: IncomingMessage, response: ServerResponse): void => {
    const opened = this.#sockets.get(request.socket)
    if (opened !== undefined && Date.now() - opened >= this.#mostAge) this.#tell(request, response)
  }

  /** Closes connections when they are idle, now and later. */
  close (): void {
    if (this.#timer !== undefined) return
    this.moveOn(this)
    this.#goAway()
    for (const socket of this.#sockets.keys()) endAfterResponse(socket)
    const timer = this.#timer = setInterval(() => this.#look(), LOOK_MS)
    this.closed().then(() => clearInterval(timer))
  }

  /** Resolves when none is left of an app that closes, or is about to. */
  closed (): Promise<unknown> {
    this.#closed ??= Promise.all([...this.#servers].filter(server => server.listening).map(server => new Promise(resolve => server.once('close', resolve))))
    return this.#closed
  }

  /** Cuts off all that are left. */
  destroy (): void {
    for (const socket of this.#sockets.keys()) socket.destroy()
  }

  #watch (server: Server): void {
    if (this.#servers.has(server)) return
    this.#servers.add(server)
    if (this.#untakenMs !== Infinity) limitUntaken(server, this.#untakenMs)
    if (this.#askers.size > 0) server.prependListener('request', this.#tell)
    if (this.#mostAge !== Infinity) server.prependListener('request', this.#tellIfOld)
    server.on('connection', (socket: Socket) => this.#add(socket))
    server.on('secureConnection', (socket: Socket) => this.#add(socket))
    server.on('session', (session: ServerHttp2Session) => {
      this.#sessions.set(session, { address: addressOf(session.socket), looks: 0 })
      session.once('close', () => this.#sessions.delete(session))
      if (this.#timer !== undefined) session.close()
      if (this.#mostAge === Infinity) return
      const timer = setTimeout(() => session.close(), this.#mostAge).unref()
      session.once('close', () => clearTimeout(timer))
    })
  }

  #add (socket: Socket): void {
    const address = addressOf(socket)
    this.#sockets.set(socket, Date.now())
    this.#socketsOfSessions.set(address, socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#socketsOfSessions.delete(address)
    })
  }

  /** When requests are pipelined, the first response that says so would be the last that is sent. */
  readonly #tell = ({ httpVersionMajor, socket }: IncomingMessage, response: ServerResponse): void => {
    if (httpVersionMajor >= 2) return
    const before = this.#last.get(socket)
    if (before?.headersSent === false) before.removeHeader('connection')
    response.setHeader('connection', 'close')
    this.#last.set(socket, response)
  }

  #tellIn (socket: BusySocket): void {
    const response = socket._httpMessage
    if (response == null || response.headersSent || hasWaitingCalls(socket)) return
    this.#tell(response.req, response)
  }

  /** Node.js refuses streams that are on their way then, which tells clients that they can be repeated. */
  #goAway (): void {
    for (const session of this.#sessions.keys()) session.close()
  }

  #look (): void {
    const now = Date.now()
    for (const server of this.#servers) (server as Partial<HttpServer>).closeIdleConnections?.()
    for (const [socket, opened] of this.#sockets) {
      if (socket.bytesRead === 0 && now - opened > LONGEST_SILENCE_MS) socket.destroy()
    }
    for (const [session, known] of this.#sessions) {
      if (session.destroyed && ++known.looks === MOST_LOOKS) this.#socketsOfSessions.get(known.address)?.destroy()
    }
  }
}

/** A response that has begun cannot say any more that it is the last. */
function endAfterResponse (socket: BusySocket): void {
  const response = socket._httpMessage
  if (response?.headersSent === true && !hasWaitingCalls(socket)) response.once('finish', () => socket.destroySoon())
}

function addressOf ({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress}:${remotePort}`
}
