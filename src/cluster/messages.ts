/** What the primary process and its workers say to each other. */

/** From a worker to its primary. */
export type FromWorker =
  /** @property port that of its gRPC server */
  { readonly kind: 'listening', readonly port: number } |
  { readonly kind: 'failed', readonly problem: string } |
  { readonly kind: 'ask', readonly id: number, readonly topic: string, readonly timeoutMs: number } |
  /** Without `value` when it has none. */
  { readonly kind: 'answer', readonly id: number, readonly value?: unknown }

/** From the primary to a worker. */
export type FromPrimary =
  /** @property graceMs how long open calls may go on; undefined for what `listen` was told */
  { readonly kind: 'retire', readonly graceMs?: number | undefined } |
  { readonly kind: 'question', readonly id: number, readonly topic: string } |
  { readonly kind: 'answers', readonly id: number, readonly values: readonly unknown[] }

/** By which messages are told from those of the user on the same channel. */
const TAG = 'fastify-grpc-gateway'

export function sealed (message: FromWorker | FromPrimary): object {
  return { [TAG]: message }
}

/** @returns undefined when it is none of these messages */
export function opened<T extends FromWorker | FromPrimary> (message: unknown): T | undefined {
  return typeof message === 'object' && message !== null ? (message as Record<string, T>)[TAG] : undefined
}
