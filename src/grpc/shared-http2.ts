/**
 * HTTP/2 connections that carry gRPC and something else. grpc-js has no public way to share them: it takes whole
 * connections, and answers what is not gRPC with 415. This puts itself between its HTTP/2 server and its calls, so that
 * age, idleness, keepalive and shutdown of connections stay its own.
 */
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { createRequire } from 'node:module'
import { ServerCredentials, type Server } from '@grpc/grpc-js'
import { configurationErrors } from '../errors.ts'

export type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => void

/** What is not public of a grpc-js server. */
interface Internals {
  readonly http2Servers?: unknown
  /** Counts a stream for `grpc.max_connection_idle_ms`. */
  readonly onStreamOpened?: unknown
}

function internalsOf (server: Server): Internals {
  return server as unknown as Internals
}

/**
 * @param others takes the streams that are not gRPC
 * @param version of grpc-js
 * @returns a server that never listens: connections are given to it by its event `connection`
 * @throws FGG_ERR_SINGLE_PORT when this version of grpc-js is another inside
 */
export function shareHttp2 (server: Server, others: StreamListener, version: string = installedVersion()): Http2Server {
  const http2Server = hiddenServer(server, version)
  const [calls] = http2Server.listeners('stream') as [StreamListener]
  const { onStreamOpened } = internalsOf(server)
  http2Server.removeAllListeners('stream')
  http2Server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => {
    if (isGrpc(headers['content-type'])) return calls.call(http2Server, stream, headers, flags, rawHeaders)
    if (typeof onStreamOpened === 'function') onStreamOpened.call(server, stream)
    others(stream, headers, flags, rawHeaders)
  })
  return http2Server
}

/** The HTTP/2 server to which grpc-js injects connections. */
function hiddenServer (server: Server, version: string): Http2Server {
  const differs = (what: string): Error => new configurationErrors.FGG_ERR_SINGLE_PORT(version, what)
  if (!/^1\.|^unknown$/.test(version)) throw differs('only versions 1.x are known')
  const { http2Servers } = internalsOf(server)
  if (!(http2Servers instanceof Map)) throw differs('its server has no map `http2Servers`')
  if (typeof server.createConnectionInjector !== 'function') throw differs('its server has no `createConnectionInjector`')
  const known = new Set(http2Servers.keys())
  server.createConnectionInjector(ServerCredentials.createInsecure())
  const added = [...http2Servers.keys()].filter(key => !known.has(key))
  if (added.length !== 1 || !isHttp2Server(added[0])) throw differs('a connection injector adds no HTTP/2 server to `http2Servers`')
  if (added[0].listenerCount('stream') !== 1 || added[0].listenerCount('session') === 0) throw differs('its HTTP/2 server has other listeners')
  return added[0]
}

function isHttp2Server (value: unknown): value is Http2Server {
  return value instanceof createServer().constructor
}

/** As grpc-js tells it, but for gRPC-Web, which it takes for gRPC. */
function isGrpc (contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:[+;]|$)/.test(contentType)
}

function installedVersion (): string {
  try {
    return (createRequire(import.meta.url)('@grpc/grpc-js/package.json') as { version: string }).version
  } catch {
    return 'unknown'
  }
}
