/** Calls of methods that no service has. */
import type { Server } from '@grpc/grpc-js'
import { status } from '../status.ts'
import type { Status } from '../call/invocation.ts'

/** As grpc-js has them, by path. */
interface Handler {
  readonly path: string
  readonly type: 'bidi'
  readonly func: () => void
  readonly serialize: () => Buffer
  readonly deserialize: () => undefined
}

/**
 * Lets calls of unknown methods come to the interceptors of a server, as those of others do. grpc-js looks methods up
 * in a map that is not public, and answers those that it does not find itself. Should there be no such map one day, it
 * goes on doing so.
 */
export function interceptUnknownMethods (server: Server): void {
  const { handlers } = server as unknown as { handlers?: unknown }
  if (!(handlers instanceof Map)) return
  handlers.get = (path: string) => Map.prototype.get.call(handlers, path) ?? unknownMethod(path)
}

function unknownMethod (path: string): Handler {
  return { path, type: 'bidi', func: nothing, serialize: () => Buffer.alloc(0), deserialize: nothing }
}

function nothing (): undefined {}

/** What grpc-js says of them. */
export function unknownMethodStatus (path: string): Status {
  return { code: status.UNIMPLEMENTED, details: `The server does not implement the method ${path}` }
}
