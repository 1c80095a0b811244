/** Clients that go on sending after they have had their answer. */
import type { FastifyReply, FastifyRequest } from 'fastify'

/** How long an HTTP/1.1 client may go on, in milliseconds: closed at once, it might lose the answer. */
const PATIENCE_MS = 5000

/** Of HTTP/2: what the server asks for is that the client stop, not that anything is wrong. */
const NO_ERROR = 0

/**
 * Ends the request once its answer has been sent, if the client is not done with it by then.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9113#section-8.1
 */
export function endUnreadBody ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete) return
  reply.raw.once('finish', () => {
    if (raw.complete) return
    if (isHttp2(raw)) return raw.stream.close(NO_ERROR)
    const timer = setTimeout(() => raw.socket.destroy(), PATIENCE_MS).unref()
    raw.once('close', () => clearTimeout(timer))
  })
}

/** The part of Node.js's `Http2ServerRequest` that Fastify's types do not have. */
interface Http2Request {
  readonly stream: { close (code: number): void }
}

function isHttp2 (raw: object): raw is Http2Request {
  return 'stream' in raw
}
