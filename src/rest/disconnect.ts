/** Clients that go away: their calls are cancelled. */
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

interface Cancellable {
  cancel (): void
}

/**
 * The open calls of each HTTP/1.1 connection. Node.js says `close` of a response only while it is the one being
 * written, not of those that wait behind it; so it is the connection that is listened to, once for all its calls.
 */
const callsOf = new WeakMap<Socket, Set<Cancellable>>()

export function isDisconnected ({ raw }: FastifyRequest, reply: FastifyReply): boolean {
  return raw.socket.destroyed === true || reply.raw.destroyed === true
}

export function cancelOnDisconnect (call: Cancellable, { raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.httpVersionMajor >= 2) {
    reply.raw.once('close', () => call.cancel())
    return
  }
  let calls = callsOf.get(raw.socket)
  if (calls === undefined) {
    const opened = calls = new Set()
    callsOf.set(raw.socket, opened)
    raw.socket.once('close', () => { for (const call of [...opened]) call.cancel() })
  }
  calls.add(call)
}

/** The call is over. */
export function forgetCall (call: Cancellable, { raw }: FastifyRequest): void {
  callsOf.get(raw.socket)?.delete(call)
}
