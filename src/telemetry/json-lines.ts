/** Lines of an access log as JSON, written in batches: those of one turn of the event loop at once. */
import { hostname } from 'node:os'
import type { CallLine, LineForm } from './call-line.ts'

/** Where lines go: `process.stdout`, a stream to a file. */
export interface LineStream {
  write (text: string): unknown
}

/** As pino numbers them. */
const LEVELS = { debug: 20, info: 30, warn: 40 }

/** A batch of this size, in UTF-16 units, does not wait. */
const BATCH_SIZE = 64 * 1024

/** Decimals of a number with three of them, by thousandths. A number that is not whole takes JavaScript four times as long. */
const DECIMALS = Array.from({ length: 1000 }, (_, thousandths) => String(thousandths / 1000).slice(1))

/** The form of the lines is that of pino, so that what reads its lines reads these. */
export class JsonLines implements LineForm<string> {
  readonly #stream: LineStream
  readonly #level: number
  #batch = ''
  #isScheduled = false
  /** That of the line before, mostly, and how it is written. */
  #userAgent = ''
  #quotedUserAgent = '""'

  constructor (stream: LineStream, level: keyof typeof LEVELS) {
    this.#stream = stream
    this.#level = LEVELS[level]
  }

  bind (fields: object): string {
    return `,${JSON.stringify({ pid: process.pid, hostname: hostname(), ...fields }).slice(1, -1)}`
  }

  /** Ids and addresses have nothing in them that would have to be escaped. */
  write (bound: string, line: CallLine, message: string): void {
    const { userAgent, traceId, principal, metadata } = line
    let text = '{"level":' + this.#level + ',"time":' + Date.now() + bound +
      ',"requestId":"' + line.requestId + '","peer":"' + line.peer + '","durationMs":' + thousandthsOf(line.durationMs) +
      ',"messagesIn":' + line.messagesIn + ',"messagesOut":' + line.messagesOut +
      ',"bytesIn":' + line.bytesIn + ',"bytesOut":' + line.bytesOut
    if (userAgent !== undefined) text += ',"userAgent":' + this.#quoted(userAgent)
    if (traceId !== undefined) text += ',"traceId":"' + traceId + '"'
    if (principal !== undefined) text += ',"principal":' + JSON.stringify(principal)
    if (metadata !== undefined) text += ',"metadata":' + JSON.stringify(metadata)
    this.#batch += text + ',"msg":"' + message + '"}\n'
    if (this.#batch.length >= BATCH_SIZE) return this.#flush()
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(JsonLines.#flushNow, this)
  }

  #quoted (userAgent: string): string {
    if (userAgent !== this.#userAgent) {
      this.#userAgent = userAgent
      this.#quotedUserAgent = JSON.stringify(userAgent)
    }
    return this.#quotedUserAgent
  }

  #flush (): void {
    const batch = this.#batch
    this.#batch = ''
    if (batch !== '') this.#stream.write(batch)
  }

  static readonly #flushNow = (lines: JsonLines): void => {
    lines.#isScheduled = false
    lines.#flush()
  }
}

/** @param number not negative, rounded to thousandths */
function thousandthsOf (number: number): string {
  const all = Math.round(number * 1000)
  const thousandths = all % 1000
  return (all - thousandths) / 1000 + DECIMALS[thousandths]!
}
