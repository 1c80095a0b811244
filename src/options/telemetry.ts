/** Options of telemetry: access log, Prometheus, OpenTelemetry. */
import Fastify, { type FastifyServerOptions } from 'fastify'
import type { AccessLogOptions } from '../telemetry/access-log.ts'
import type { PrometheusOptions } from '../telemetry/prometheus.ts'
import type { TelemetryOptions } from '../telemetry/telemetry.ts'
import { oneOf, unknownMember } from './checks.ts'

export function checkTelemetry (value: Record<string, unknown>): string | undefined {
  if (typeof value !== 'object' || value === null) return 'must be an object'
  const unknown = unknownMember(value, ['accessLog', 'prometheus', 'openTelemetry'])
  if (unknown !== undefined) return unknown
  const { accessLog, prometheus, openTelemetry } = value as TelemetryOptions
  if (openTelemetry !== undefined && typeof openTelemetry !== 'boolean') return 'is wrong: `openTelemetry` must be true or false'
  return switched(accessLog, 'accessLog', checkAccessLog) ?? switched(prometheus, 'prometheus', checkPrometheus)
}

/** Options that are on or off, or say more. */
function switched<O extends object> (value: boolean | O | undefined, name: string, check: (options: O) => string | undefined): string | undefined {
  if (value === undefined || typeof value === 'boolean') return undefined
  if (typeof value !== 'object' || value === null) return `is wrong: \`${name}\` must be true, false or an object`
  const problem = check(value)
  return problem === undefined ? undefined : `${problem} (at ${name})`
}

function checkAccessLog ({ redact, stream, ...options }: AccessLogOptions): string | undefined {
  if (redact !== undefined && !(Array.isArray(redact) && redact.every(name => typeof name === 'string'))) return 'is wrong: `redact` must be a list of names'
  if (stream !== undefined && typeof stream?.write !== 'function') return 'is wrong: `stream` must have a method write, as streams of Node.js'
  return oneOf(options, { level: ['debug', 'info', 'warn'], metadata: [true, false], skip: 'function' })
}

function checkPrometheus ({ path, buckets, registry, ...options }: PrometheusOptions): string | undefined {
  if (path !== undefined && path !== false && !(typeof path === 'string' && /^\/[\w/.~-]+$/.test(path))) return 'is wrong: `path` must be false, or a plain path that starts with /'
  if (buckets !== undefined && !(Array.isArray(buckets) && buckets.length > 0 && buckets.every((bound, i) => Number.isFinite(bound) && bound > (buckets[i - 1] ?? 0)))) return 'is wrong: `buckets` must be a list of seconds, each more than the one before'
  if (registry !== undefined && typeof registry?.registerMetric !== 'function') return 'is wrong: `registry` must be a Registry of prom-client'
  return oneOf(options, { defaultMetrics: [true, false] })
}

/** What an app logs that has no routes but the gateway's: an access log has lines enough for requests. */
export function appLogging ({ accessLog = false }: TelemetryOptions = {}): FastifyServerOptions {
  if (accessLog === false) return { logger: { level: 'warn' } }
  const { level = 'info' } = accessLog === true ? {} : accessLog
  const { LogController } = Fastify as Partial<typeof Fastify>
  const quiet = { disableRequestLogging: true }
  // Fastify has it from 5.12 on, and finds fault with the older way from then.
  return { logger: { level }, ...(LogController === undefined ? quiet : { logController: new LogController(quiet) }) }
}
