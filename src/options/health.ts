/** Options of health: checks, and the routes of HTTP probes. */
import { LONGEST_TIMER } from '../call/deadline.ts'
import { configurationErrors } from '../errors.ts'
import type { HealthCheck, HealthCheckOptions } from '../health/checks.ts'
import type { ProbePaths } from '../rest/gateway.ts'
import { isObject, isWhole, oneOf, unknownMember } from './checks.ts'

export interface HealthOptions {
  /**
   * Checks by name. While one fails, the gateway, or the `services` that it names, are not ready. `false` for no checks
   * and no grpc.health.v1.Health. Default no checks.
   *
   * @example
   * health: { db: () => pool.query('select 1') }
   */
  health?: false | Readonly<Record<string, HealthCheck | HealthCheckOptions>> | undefined
  /**
   * The paths of HTTP probes, under the prefix with which the gateway is registered, without its base path; `false` for
   * none. A path that the app has a route for is left to it. Default `/healthz` for `live`, `/readyz` for `ready`.
   */
  probes?: boolean | { live?: string | undefined, ready?: string | undefined } | undefined
}

const DEFAULT_PATHS: ProbePaths = { live: '/healthz', ready: '/readyz' }

export function checkHealth (value: Record<string, unknown> | false): string | undefined {
  if (value === false) return undefined
  if (isObject(value) !== undefined) return 'must be false, or an object of checks'
  for (const [name, check] of Object.entries(value)) {
    if (typeof check === 'function') continue
    const problem = checkOptions(check as Partial<HealthCheckOptions> | null)
    if (problem !== undefined) return `${problem} (at ${name})`
  }
  return undefined
}

function checkOptions (value: Partial<HealthCheckOptions> | null): string | undefined {
  if (typeof value?.check !== 'function') return 'must be functions, or objects with a function `check`'
  const { check, services, ...times } = value
  if (services !== undefined && !(Array.isArray(services) && services.every(name => typeof name === 'string'))) return 'is wrong: `services` must be a list of full names'
  const unknown = unknownMember(times, ['timeoutMs', 'cacheMs'])
  if (unknown !== undefined) return `${unknown}, check, services`
  if (times.timeoutMs !== undefined && !isWhole(times.timeoutMs, 1, LONGEST_TIMER)) return `is wrong: \`timeoutMs\` must be milliseconds, 1 to ${LONGEST_TIMER}`
  if (times.cacheMs !== undefined && !isWhole(times.cacheMs, 0, LONGEST_TIMER)) return `is wrong: \`cacheMs\` must be milliseconds, 0 to ${LONGEST_TIMER}`
  return undefined
}

export function checkProbes (value: boolean | Record<string, unknown>): string | undefined {
  if (typeof value === 'boolean') return undefined
  const problem = oneOf(value, { live: 'string', ready: 'string' })
  if (problem !== undefined) return problem
  const { live, ready } = probePaths(value)!
  if (![live, ready].every(path => /^\/[\w/.~-]+$/.test(path))) return 'is wrong: `live` and `ready` must be plain paths that start with /'
  return live === ready ? `is wrong: \`live\` and \`ready\` are both ${live}` : undefined
}

export function healthChecks (health: HealthOptions['health']): Readonly<Record<string, HealthCheckOptions>> {
  const entries = Object.entries(health === false ? {} : health ?? {})
  return Object.fromEntries(entries.map(([name, check]) => [name, typeof check === 'function' ? { check } : check]))
}

export function probePaths (probes: HealthOptions['probes'] = true): ProbePaths | undefined {
  if (typeof probes === 'boolean') return probes ? DEFAULT_PATHS : undefined
  return { live: probes.live ?? DEFAULT_PATHS.live, ready: probes.ready ?? DEFAULT_PATHS.ready }
}

/**
 * Checks what could not be checked before the services were known.
 *
 * @throws FGG_ERR_OPTION for a check of a service that is none of theirs
 */
export function checkHealthServices (checks: Readonly<Record<string, HealthCheckOptions>>, known: readonly string[]): void {
  for (const [name, { services = [] }] of Object.entries(checks)) {
    const unknown = services.find(service => !known.includes(service))
    if (unknown !== undefined) throw new configurationErrors.FGG_ERR_OPTION('health', `names ${unknown} (at ${name}), which is none of: ${known.map(service => service || "'', the gateway").join(', ')}`)
  }
}
