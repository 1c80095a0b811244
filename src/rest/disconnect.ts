/** Clients that go away: their calls are cancelled. */
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

interface Cancellable {
  cancel (): void
}

/** The open calls of an HTTP/1.1 connection: mostly one, and those that wait behind it when requests are pipelined. */
interface Connection {
  call: Cancellable | undefined
  waiting: Set<Cancellable> | undefined
}

/**
 * Node.js says `close` of a response only while it is the one being written, not of those that wait behind it; so it
 * is the connection that is listened to, once for all its calls.
 */
const kConnection = Symbol('connection')

type KnownSocket = Socket & { [kConnection]?: Connection }

export function isDisconnected ({ raw }: FastifyRequest, reply: FastifyReply): boolean {
  return raw.socket.destroyed === true || reply.raw.destroyed === true
}

export function cancelOnDisconnect (call: Cancellable, { raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.httpVersionMajor >= 2) {
    reply.raw.on('close', () => call.cancel())
    return
  }
  const socket: KnownSocket = raw.socket
  const connection = socket[kConnection] ?? watch(socket)
  if (connection.call === undefined) {
    connection.call = call
  } else {
    connection.waiting ??= new Set()
    connection.waiting.add(call)
  }
}

function watch (socket: KnownSocket): Connection {
  const connection: Connection = { call: undefined, waiting: undefined }
  socket[kConnection] = connection
  socket.once('close', () => {
    const waiting = [...connection.waiting ?? []]
    connection.call?.cancel()
    for (const call of waiting) call.cancel()
  })
  return connection
}

/** The call is over. */
export function forgetCall (call: Cancellable, { raw }: FastifyRequest): void {
  const connection = (raw.socket as KnownSocket)[kConnection]
  if (connection === undefined) return
  if (connection.call === call) connection.call = undefined
  else connection.waiting?.delete(call)
}

/** Whether calls wait behind the one whose response is being written, because requests are pipelined. */
export function hasWaitingCalls (socket: Socket): boolean {
  return ((socket as KnownSocket)[kConnection]?.waiting?.size ?? 0) > 0
}
