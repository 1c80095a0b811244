/** Clients that go on sending after they have had their answer. */
import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ClosingConnections } from './closing-connections.ts'
import { destroyExchange, hasConnection, http2StreamOf, NO_ERROR } from './connection.ts'

/** How long an HTTP/1.1 client may go on, in milliseconds: closed at once, it might lose the answer. */
const PATIENCE_MS = 5000

/**
 * Ends the request once its answer has been sent, if the client is not done with it by then. With HTTP/2 that asks the
 * client to stop; nothing is wrong.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9113#section-8.1
 */
export function endUnreadBody (request: FastifyRequest, reply: FastifyReply, closings: ClosingConnections): void {
  const { raw } = request
  const stream = http2StreamOf(request)
  if (raw.complete || (stream === undefined && !hasConnection(request))) return
  raw.once('close', closings.add(() => destroyExchange(request, reply)))
  if (stream !== undefined) {
    stream.once('finish', () => { if (!raw.complete) stream.close(NO_ERROR) })
    return
  }
  lingerUntilComplete(raw)
  reply.raw.once('finish', () => {
    if (!raw.complete) destroyLater(raw.socket, raw)
  })
}

/**
 * When the answer says `connection: close`, Node.js destroys the connection with the last byte of it. The client, which
 * still sends, would be reset, and lose the answer.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-9.6
 */
function lingerUntilComplete (request: IncomingMessage): void {
  const { socket } = request
  socket.destroySoon = () => {
    Reflect.deleteProperty(socket, 'destroySoon')
    if (request.complete) socket.destroySoon()
    else destroyLater(socket.end(), socket)
  }
}

/** Unless something closes before. */
function destroyLater (socket: Socket, unlessCloses: EventEmitter): void {
  const timer = setTimeout(() => socket.destroy(), PATIENCE_MS).unref()
  unlessCloses.once('close', () => clearTimeout(timer))
}
