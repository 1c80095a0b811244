/**
 * The subprotocols that a client offers, sorted out before Fastify sees the request. Browsers can set no header of a
 * WebSocket but this one, so that it may carry a token: `new WebSocket(url, ['json', 'bearer.' + token])`.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { clientRequestId, madeRequestId, REQUEST_ID_KEY } from '../../call/request-id.ts'
import { knownRequestId } from '../request-id.ts'
import { onUpgradeHeaders } from './socket.ts'

const SUBPROTOCOLS: readonly string[] = ['json', 'proto']
/** What stands in the header when a client offers nothing that can be served; not what it offers, which may be a token. */
const UNSERVABLE = 'unknown'
const TOKEN = /^bearer\.(.+)$/i

/**
 * Turns a token among the subprotocols into the header `authorization: Bearer …`, which hooks and handlers know, and
 * leaves the first subprotocol that can be served as the one that is offered.
 *
 * @param isServed whether a URL is a route of a gateway
 */
export function prepareUpgrades (app: FastifyInstance, isServed: (url: string) => boolean): void {
  app.server.prependListener('upgrade', prepare)
  // From then on @fastify/websocket takes none, and Node.js answers those that nobody listens for.
  app.addHook('preClose', async () => { app.server.removeListener('upgrade', prepare) })
  onUpgradeHeaders(app, (lines, request) => {
    const id = knownRequestId(request)
    if (id !== undefined) lines.push(`${REQUEST_ID_KEY}: ${id}`)
  })

  function prepare (request: IncomingMessage, socket: Duplex): void {
    if (!canUpgrade(request, socket)) return
    if (!isServed(request.url!)) return
    // Of an upgrade that @fastify/websocket injects.
    request.rawHeaders ??= Object.entries(request.headers).flatMap(([name, value]) => [name, String(value)])
    request.socket ??= socket as IncomingMessage['socket']
    sortOut(request)
  }
}

/** What @fastify/websocket would neither serve nor close: an upgrade behind a request that is open, or of no URL. */
function canUpgrade ({ url, headers }: IncomingMessage, socket: Duplex & { _httpMessage?: unknown }): boolean {
  if (socket._httpMessage != null) {
    socket.destroy()
    return false
  }
  try {
    decodeURI(url!)
    return true
  } catch {
    const id = clientRequestId(key => headers[key]) ?? madeRequestId()
    socket.end(`HTTP/1.1 400 Bad Request\r\n${REQUEST_ID_KEY}: ${id}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy())
    return false
  }
}

function sortOut ({ headers, rawHeaders }: IncomingMessage): void {
  const offered = headers['sec-websocket-protocol']?.split(',').map(name => name.trim())
  if (offered === undefined) return
  const token = tokenOf(offered)
  if (token !== undefined && headers.authorization === undefined) {
    headers.authorization = `Bearer ${token}`
    rawHeaders.push('authorization', headers.authorization)
  }
  headers['sec-websocket-protocol'] = offered.find(name => SUBPROTOCOLS.includes(name)) ?? offered.find(isServable) ?? UNSERVABLE
}

/** `bearer.<token>`, or the pair `Bearer, <token>` of grpc-websocket-proxy. */
function tokenOf (offered: readonly string[]): string | undefined {
  const named = offered.map(name => TOKEN.exec(name)?.[1]).find(token => token !== undefined)
  const others = offered.filter(name => !SUBPROTOCOLS.includes(name))
  const pair = others.findIndex(name => name.toLowerCase() === 'bearer')
  return named ?? (pair === -1 ? undefined : others[pair + 1])
}

/** Whether a client can be served that offers this, or nothing. Those of grpc-websocket-proxy offer `Bearer`, and mean JSON. */
export function isServable (offered: string | undefined): boolean {
  return offered === undefined || SUBPROTOCOLS.includes(offered) || offered.toLowerCase() === 'bearer'
}

/** The path of a URL in a form that is the same however lenient a router is in case, slashes and escapes. */
export function loosePath (url: string): string {
  const path = url.replace(/[?#;].*$/s, '').replace(/\/+/g, '/').replace(/\/$/, '')
  try {
    return decodeURIComponent(path).toLowerCase()
  } catch {
    return path
  }
}
