/** What goes to and fro between the server's thread and those of replicas. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { MessagePort } from 'node:worker_threads'
import type { RequestContext } from '../request-context.ts'

/** What each thread makes its instance of. */
export interface ReplicaSource {
  /** The URL of the module. */
  readonly module: string
  /** Under which it exports the class or function. */
  readonly exportName: string
  readonly args: readonly unknown[]
}

/** A request context as far as it can be sent. */
export interface SentContext extends Pick<RequestContext, 'application' | 'deadline' | 'multiplexedModelId' | 'principal' | 'requestId'> {
  /** Of HTTP/2, in which binary values are text. */
  readonly metadata: OutgoingHttpHeaders
}

/** One task of the pool; without a method, it only makes the instance. */
export interface Task {
  readonly method?: string
  readonly request?: unknown
  readonly context?: SentContext
  /** Goes to the thread: it carries what happens while the method works. */
  readonly port?: MessagePort
}

/** What a task ends with. */
export type Outcome = { readonly value: unknown } | { readonly error: SentError }

export interface SentError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  /** Of a GrpcError. */
  readonly code?: number
}

export type ToReplica = 'next' | 'return' | { readonly aborted: SentError }

/** `stream`: what the method has returned is one. */
export type FromReplica =
  | 'stream'
  | { readonly item: { readonly done: boolean, readonly value: unknown } | { readonly error: SentError } }
  | { readonly log: 'debug' | 'info' | 'warn' | 'error', readonly fields: object, readonly message: string }
