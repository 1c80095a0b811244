/** Clients that go on sending after they have had their answer. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ClosingConnections } from './closing-connections.ts'
import { hasConnection, http2StreamOf, NO_ERROR } from './connection.ts'

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
  if (raw.complete) return
  const stream = http2StreamOf(request)
  if (stream !== undefined) {
    stream.once('finish', () => { if (!raw.complete) stream.close(NO_ERROR) })
  } else if (hasConnection(request)) {
    reply.raw.once('finish', () => {
      if (raw.complete) return
      const timer = setTimeout(() => raw.socket.destroy(), PATIENCE_MS).unref()
      const closed = closings.add(() => raw.socket.destroy())
      raw.once('close', () => {
        clearTimeout(timer)
        closed()
      })
    })
  }
}
