/** What is made of calls: lines of a log, metrics, traces. Nothing of it is on that nobody has asked for. */
import type { Logger } from '../call/logger.ts'
import type { ObserveMethod } from '../call/observer.ts'
import { AccessLog, type AccessLogOptions } from './access-log.ts'
import { MethodLog } from './method-log.ts'
import { MethodSpans } from './method-spans.ts'
import { ObservedCall } from './observed-call.ts'
import { OpenTelemetry } from './open-telemetry.ts'
import { prometheus, type MetricsRoute, type PrometheusOptions } from './prometheus.ts'

export interface TelemetryOptions {
  /** Log one line for each call on every protocol, to the logger of the gateway. Default false. */
  accessLog?: boolean | AccessLogOptions | undefined
  /** Count calls for Prometheus, and serve the metrics over HTTP. It needs the package prom-client. Default false. */
  prometheus?: boolean | PrometheusOptions | undefined
  /**
   * Make a span of each call, and measure its duration, by the API of OpenTelemetry. It needs the package
   * `@opentelemetry/api`, and an SDK that the program has set up. Default false.
   */
  openTelemetry?: boolean | undefined
}

export interface Telemetry {
  /** Undefined when nothing is asked for. */
  readonly observe: ObserveMethod | undefined
  /** Undefined where there is none. */
  readonly metrics: MetricsRoute | undefined
}

/** @throws FGG_ERR_TELEMETRY when a package is missing */
export function startTelemetry (options: TelemetryOptions, log: () => Logger): Telemetry {
  const accessLog = asked(options.accessLog, options => new AccessLog(log, options))
  const prom = asked(options.prometheus, prometheus)
  const openTelemetry = asked(options.openTelemetry, () => new OpenTelemetry())
  if (accessLog === undefined && prom === undefined && openTelemetry === undefined) return { observe: undefined, metrics: undefined }
  return {
    observe (observed) {
      const log = accessLog === undefined ? undefined : new MethodLog(accessLog, observed)
      const metrics = prom?.metrics.of(observed)
      const spans = openTelemetry === undefined ? undefined : new MethodSpans(openTelemetry, observed)
      return (exchange, startedAt) => new ObservedCall(exchange, startedAt, log, metrics, spans?.start(exchange, startedAt))
    },
    metrics: prom?.route
  }
}

function asked<O extends object, T> (option: boolean | O | undefined, make: (options: O) => T): T | undefined {
  return option === undefined || option === false ? undefined : make(option === true ? {} as O : option)
}
