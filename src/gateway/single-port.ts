/**
 * One port for gRPC and for REST by HTTP/1.1 and HTTP/2. The HTTP/1.1 server of the app listens, and keeps the connections
 * of HTTP/1.1; those of HTTP/2 go to the gRPC server, which keeps the streams of gRPC and gives the others to the app.
 * Over TLS, ALPN says which connection is which; in clear text its first bytes do.
 */
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttp2Server, type Http2Server } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyListenOptions, FastifyServerOptions } from 'fastify'
import type { GrpcServer } from '../grpc/server.ts'
import type { HttpsOptions } from '../tls/https.ts'
import { detectHttp2 } from './preface.ts'

/** How long a client may take, in milliseconds, to say what it speaks when the app closes. */
const LONGEST_PREFACE_MS = 1000

export class SinglePort {
  readonly #tls: HttpsOptions | undefined
  /** Of gRPC; undefined when it takes no connections. */
  #http2: Http2Server | undefined
  /** Connections of which it is not known yet what they are. */
  readonly #undecided = new Set<Socket>()

  constructor (tls: HttpsOptions | undefined) {
    this.#tls = tls
  }

  /** Makes the server of the app: Fastify's `serverFactory`. */
  readonly serverFactory = (handler: RequestListener, options: FastifyServerOptions & { http?: ServerOptions | null }): Server => {
    const { http, keepAliveTimeout, requestTimeout, connectionTimeout, maxRequestsPerSocket = 0 } = options
    const server = this.#tls === undefined
      ? createHttpServer(http ?? {}, handler)
      : createHttpsServer({ ...http, ...this.#tls, ALPNProtocols: ['h2', 'http/1.1'] }, handler)
    // As Fastify does for servers that it makes itself.
    server.keepAliveTimeout = keepAliveTimeout!
    server.requestTimeout = requestTimeout!
    server.setTimeout(connectionTimeout)
    if (maxRequestsPerSocket !== null && maxRequestsPerSocket > 0) server.maxRequestsPerSocket = maxRequestsPerSocket
    this.#divert(server)
    return server
  }

  /** Takes connections before the HTTP/1.1 server does. */
  #divert (server: Server): void {
    const event = this.#tls === undefined ? 'connection' : 'secureConnection'
    const http1 = server.listeners(event)
    server.removeAllListeners(event)
    const accept = (socket: Socket, isHttp2: boolean): void => {
      if (isHttp2) this.#acceptHttp2(socket)
      else for (const listener of http1) listener.call(server, socket)
    }
    server.on(event, (socket: Socket) => {
      socket.on('error', ignore)
      if (this.#tls !== undefined) return accept(socket, (socket as TLSSocket).alpnProtocol === 'h2')
      this.#undecided.add(socket)
      socket.once('close', () => this.#undecided.delete(socket))
      detectHttp2(socket, server.headersTimeout, isHttp2 => {
        this.#undecided.delete(socket)
        accept(socket, isHttp2)
      })
    })
  }

  #acceptHttp2 (socket: Socket): void {
    if (this.#http2 === undefined) {
      socket.destroy()
      return
    }
    // Servers of HTTP/1.1 go on writing after the client's end; with HTTP/2 that is the end of the connection.
    socket.allowHalfOpen = false
    this.#http2.emit('connection', socket)
  }

  /** Lets the app close beside clients that have begun to say what they speak. To be called before it is ready. */
  endWith (app: FastifyInstance): void {
    app.addHook('preClose', async () => {
      setTimeout(() => { for (const socket of this.#undecided) socket.destroy() }, LONGEST_PREFACE_MS).unref()
    })
  }

  /**
   * Lets the app listen, and hands its gRPC calls to a server.
   *
   * @returns the port
   */
  async listen (server: GrpcServer, app: FastifyInstance, options: FastifyListenOptions): Promise<number> {
    const rest = createHttp2Server((request, response) => app.server.emit('request', request, response))
    const http2 = this.#http2 = server.share((...stream) => rest.emit('stream', ...stream))
    // The app tells them to go away, and closes when they are closed, as it does with sessions of a server for HTTP/2.
    http2.on('session', session => app.server.emit('session', session))
    http2.once('close', () => { this.#http2 = undefined })
    await app.listen(options)
    return (app.server.address() as AddressInfo).port
  }
}

function ignore (): void {}
