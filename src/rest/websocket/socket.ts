/** The part of the WebSockets of `ws`, which @fastify/websocket gives its handlers, that calls need. */
import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { configurationErrors } from '../../errors.ts'

export interface WebSocket extends EventEmitter {
  readonly readyState: number
  /** The subprotocol that was agreed on; empty for none. */
  readonly protocol: string
  /** Bytes that wait to be written. */
  readonly bufferedAmount: number
  readonly isPaused: boolean
  send (data: string | Uint8Array, options: { binary: boolean }, callback?: (() => void) | undefined): void
  close (code: number, reason: string): void
  terminate (): void
  ping (): void
  pause (): void
  resume (): void
}

/** `readyState` of a socket on which frames can be sent. */
export const OPEN = 1
/** Of one that is over. */
export const CLOSED = 3

/** What @fastify/websocket adds to the options of a route. */
export interface WebSocketRouteOptions {
  readonly wsHandler: (socket: WebSocket, request: FastifyRequest) => void
}

/**
 * Registers @fastify/websocket. Without it, `app.ready()` fails with FGG_ERR_WEBSOCKET.
 *
 * @param maxPayload the most bytes of a message; a client that sends more is cut off
 */
export function registerWebSockets (app: FastifyInstance, maxPayload: number): void {
  const plugin = import('@fastify/websocket').catch(cause => {
    throw Object.assign(new configurationErrors.FGG_ERR_WEBSOCKET(), { cause })
  })
  app.register(plugin, { options: { maxPayload } })
}

/** What `ws` reads frames with, under names that are not public. */
interface Reader {
  _maxPayload?: unknown
  readonly _extensions?: Readonly<Record<string, Reader>>
}

/**
 * Has a message refused by its announced length, or while it is inflated, where @fastify/websocket is registered with a
 * limit that is higher, or none. Should `ws` change its names, that limit holds.
 *
 * @param most in bytes
 */
export function limitMessages (socket: WebSocket, most: number): void {
  const { _receiver: receiver } = socket as { _receiver?: Reader }
  for (const reader of [receiver, receiver?._extensions?.['permessage-deflate']]) {
    if (typeof reader?._maxPayload === 'number' && (reader._maxPayload < 1 || reader._maxPayload > most)) reader._maxPayload = most
  }
}

interface WebSocketServer extends EventEmitter {
  readonly clients: Set<WebSocket>
}

/** Whether @fastify/websocket is registered with the app. */
export function hasWebSockets (app: FastifyInstance): boolean {
  return app.hasDecorator('websocketServer')
}

/**
 * Takes a socket out of those that @fastify/websocket closes, without a status, as soon as the app begins to close:
 * the gateway ends its calls itself.
 */
export function ownSocket (app: FastifyInstance, socket: WebSocket): void {
  webSocketServer(app).clients.delete(socket)
}

/** Calls back with the header lines of each answer to an upgrade, before it is sent. */
export function onUpgradeHeaders (app: FastifyInstance, listener: (lines: string[], request: IncomingMessage) => void): void {
  webSocketServer(app).on('headers', listener)
}

function webSocketServer (app: FastifyInstance): WebSocketServer {
  return (app as unknown as { websocketServer: WebSocketServer }).websocketServer
}
