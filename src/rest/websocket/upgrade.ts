/**
 * The subprotocols that a client offers, sorted out before Fastify sees the request. Browsers can set no header of a
 * WebSocket but this one, so that it may carry a token: `new WebSocket(url, ['json', 'bearer.' + token])`.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

const SUBPROTOCOLS: ReadonlySet<string> = new Set(['json', 'proto'])
const TOKEN = /^bearer\.(.+)$/i

/**
 * Turns a token among the subprotocols into the header `authorization: Bearer …`, which hooks and handlers know, and
 * leaves the first subprotocol that can be served as the one that is offered.
 *
 * @param isServed whether the path of a URL is a route of a gateway
 */
export function prepareUpgrades (app: FastifyInstance, isServed: (path: string) => boolean): void {
  app.server.prependListener('upgrade', prepare)
  // From then on @fastify/websocket takes none, and Node.js answers those that nobody listens for.
  app.addHook('preClose', async () => { app.server.removeListener('upgrade', prepare) })

  function prepare (request: IncomingMessage, socket: Duplex): void {
    if (!isServed(request.url!.replace(/[?#].*$/s, ''))) return
    // Of an upgrade that @fastify/websocket injects.
    request.rawHeaders ??= Object.entries(request.headers).flatMap(([name, value]) => [name, String(value)])
    request.socket ??= socket as IncomingMessage['socket']
    sortOut(request)
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
  headers['sec-websocket-protocol'] = offered.find(name => SUBPROTOCOLS.has(name)) ?? offered[0]!
}

/** `bearer.<token>`, or the pair `Bearer, <token>` of grpc-websocket-proxy. */
function tokenOf (offered: readonly string[]): string | undefined {
  const named = offered.map(name => TOKEN.exec(name)?.[1]).find(token => token !== undefined)
  const pair = offered.findIndex(name => name.toLowerCase() === 'bearer')
  return named ?? (pair === -1 ? undefined : offered[pair + 1])
}

/** Whether a client that offers these can be served: with one of the subprotocols, or with none at all. */
export function isServable (offered: string | undefined): boolean {
  return offered === undefined || SUBPROTOCOLS.has(offered) || offered.toLowerCase() === 'bearer' || TOKEN.test(offered)
}
