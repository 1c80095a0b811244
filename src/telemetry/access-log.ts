/** The access log: one line for each call, in the same fields on every protocol. What can be chosen about it, and how lines are written. */
import type { Protocol } from '../call/context.ts'
import { consoleLogger, type Logger } from '../call/logger.ts'
import type { ObservedMethod } from '../call/observer.ts'
import { statusName } from '../status.ts'
import type { CallLine, LineForm } from './call-line.ts'
import { JsonLines, type LineStream } from './json-lines.ts'
import type { ObservedCall } from './observed-call.ts'
import { redactor } from './redaction.ts'

/** What `skip` decides by. */
export interface AccessLogCall {
  readonly protocol: Protocol
  /** The path of the RPC: `/helloworld.Greeter/SayHello`; undefined where none answers. */
  readonly rpc: string | undefined
  /** The name of the gRPC status code: `OK`. */
  readonly code: string
  readonly durationMs: number
}

export interface AccessLogOptions {
  /** The level of the lines. Default `info`. */
  level?: 'debug' | 'info' | 'warn' | undefined
  /** Log the request's metadata too, which are the headers over HTTP. Default false. */
  metadata?: boolean | undefined
  /**
   * Metadata whose values are not logged, beside those that look like credentials (`authorization`, `cookie`, and what
   * has token, secret, password, session or the like in its name) and binary ones.
   */
  redact?: readonly string[] | undefined
  /**
   * Where lines go, as JSON in the form of pino, in place of the logger: `process.stdout` or the stream of a file. It
   * takes a third of the time that a logger takes. Default the logger of the gateway, or of the app that mounts it.
   */
  stream?: LineStream | undefined
  /** Leaves out the lines for which it returns true, those of health checks for instance. Default none. */
  skip?: ((call: AccessLogCall) => boolean) | undefined
}

export class AccessLog {
  readonly form: LineForm<unknown>
  /** Undefined where metadata are not logged. */
  readonly redacted: ReturnType<typeof redactor> | undefined
  readonly #log: () => Logger
  readonly #skip: AccessLogOptions['skip']

  constructor (log: () => Logger, { level = 'info', metadata = false, redact = [], stream, skip }: AccessLogOptions) {
    this.form = stream === undefined ? new LoggedLines(log, level) : new JsonLines(stream, level)
    this.redacted = metadata ? redactor(redact.map(name => name.toLowerCase())) : undefined
    this.#log = log
    this.#skip = skip
  }

  isSkipped ({ protocol, method }: ObservedMethod, { code, durationMs }: ObservedCall): boolean {
    if (this.#skip === undefined) return false
    try {
      return this.#skip({ protocol, rpc: method?.path, code: statusName(code), durationMs })
    } catch (error) {
      this.#log().error({ err: error }, 'The function `skip` of the access log failed')
      return false
    }
  }
}

/** Lines of a logger, which may be another one once the gateway is mounted. */
class LoggedLines implements LineForm<BoundFields> {
  readonly #log: () => Logger
  readonly #level: 'debug' | 'info' | 'warn'
  /** The logger of a gateway that was given none, and no app, says nothing but errors. */
  readonly #stdout: JsonLines

  constructor (log: () => Logger, level: 'debug' | 'info' | 'warn') {
    this.#log = log
    this.#level = level
    this.#stdout = new JsonLines(process.stdout, level)
  }

  bind (fields: object): BoundFields {
    return { fields, base: undefined, logger: undefined }
  }

  write (bound: BoundFields, line: CallLine, message: string): void {
    const base = this.#log()
    if (base === consoleLogger) return this.#stdout.write(this.#stdout.bind(bound.fields), line, message)
    if (base !== bound.base) {
      bound.base = base
      bound.logger = base.child(bound.fields)
    }
    bound.logger![this.#level](line, message)
  }
}

interface BoundFields {
  readonly fields: object
  base: Logger | undefined
  logger: Logger | undefined
}
