/** What carries an HTTP exchange, where HTTP/1.1, HTTP/2 and `app.inject` differ. */
import type { ServerHttp2Stream } from 'node:http2'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Of HTTP/2. */
export const NO_ERROR = 0
const INTERNAL_ERROR = 2

/** The stream of an HTTP/2 exchange; undefined for others. */
export function http2StreamOf ({ raw }: { raw: object }): ServerHttp2Stream | undefined {
  return (raw as { stream?: ServerHttp2Stream }).stream
}

/** Whether there is a connection; what `app.inject` sends comes over none. */
export function hasConnection ({ raw: { socket } }: FastifyRequest): boolean {
  return typeof (socket as Partial<typeof socket>).destroySoon === 'function'
}

/** How long an HTTP/2 client may take to let a stream end, in milliseconds. */
const LONGEST_CLOSING_MS = 500

/** Ends the connection at once, or the stream of it that carries the exchange; the connection too if it is not read. */
export function destroyExchange (request: FastifyRequest, { raw }: FastifyReply): void {
  const stream = http2StreamOf(request)
  if (stream !== undefined) {
    const timer = setTimeout(() => stream.session?.destroy(), LONGEST_CLOSING_MS).unref()
    stream.once('close', () => clearTimeout(timer))
    stream.close(INTERNAL_ERROR)
  } else if (hasConnection(request)) request.raw.socket.destroy()
  else raw.destroy()
}

/** Ends the connection in the middle of a response, after what has been written of it and of those before it. */
export function cutOff (request: FastifyRequest, { raw }: FastifyReply): void {
  const { socket } = request.raw
  const stream = http2StreamOf(request)
  // Node.js tells of the end of an empty write before it asks the stream for trailers, and aborts when it is gone by then.
  if (stream !== undefined) raw.write('', () => setImmediate(() => stream.close(INTERNAL_ERROR)))
  else if (!hasConnection(request)) raw.destroy()
  // Node.js gives the connection to a response when it is its turn, and then writes what it has of it.
  else if (raw.socket === null) raw.once('socket', () => process.nextTick(() => socket.destroySoon()))
  else socket.destroySoon()
}
