/** A line of the access log, and how it is written. */

/** What a line says beside what many lines have in common. All of it can be logged as it is. */
export interface CallLine {
  requestId: string
  peer: string
  durationMs: number
  messagesIn: number
  messagesOut: number
  bytesIn: number
  bytesOut: number
  userAgent?: string
  traceId?: string
  principal?: string
  metadata?: Readonly<Record<string, string>>
}

/** How lines are written. */
export interface LineForm<Bound> {
  /** Prepares what many lines have in common: to write it each time takes longer than the rest. */
  bind (fields: object): Bound
  write (bound: Bound, line: CallLine, message: string): void
}
