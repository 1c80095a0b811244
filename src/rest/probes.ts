/** HTTP probes: whether the process lives, and whether the gateways of an app can serve. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CheckResult } from '../health/checks.ts'
import type { Health, HealthReport } from '../health/health.ts'
import type { HttpGateway, ProbePaths } from './gateway.ts'
import { requestIdOf } from './request-id.ts'

const HTTP_STATUSES = { SERVING: 200, NOT_SERVING: 503, SERVICE_UNKNOWN: 404 } as const

/**
 * Adds the routes of probes, but where the app has such routes already: its own, or those that another of its gateways
 * brought with it.
 *
 * @param gateways of the app, for all of which `ready` speaks
 */
export function registerProbes (app: FastifyInstance, { live, ready }: ProbePaths, gateways: ReadonlySet<HttpGateway>): void {
  probe(app, live, async (request, reply) => answer(request, reply, 200, { status: 'ok' }))
  probe(app, ready, async (request, reply) => {
    const { service } = request.query as { service?: unknown }
    const report = await readiness(gateways, service === undefined ? '' : String(service))
    return answer(request, reply, HTTP_STATUSES[report.status], report)
  })
}

function probe (app: FastifyInstance, path: string, handler: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>): void {
  if (app.hasRoute({ method: 'GET', url: app.prefix.replace(/\/$/, '') + path })) return
  app.route({
    method: 'GET',
    url: path,
    handler,
    exposeHeadRoute: true,
    // Probes come every few seconds: no lines for requests that went well.
    logLevel: 'warn',
    schema: HIDDEN,
    config: UNHINDERED
  })
}

/** From documents that @fastify/swagger makes. */
const HIDDEN: object = { hide: true }
/** Settings of @fastify/rate-limit, and of @fastify/under-pressure, which would answer for the probes. */
const UNHINDERED: object = { rateLimit: false, pressureHandler: () => {} }

function answer (request: FastifyRequest, reply: FastifyReply, code: number, body: object): FastifyReply {
  return reply.code(code)
    .header('x-request-id', requestIdOf(request))
    .header('cache-control', 'no-store')
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(body))
}

interface Readiness extends Pick<HealthReport, 'status' | 'state'> {
  readonly checks: readonly object[]
}

/** Ready are all gateways; where a service is asked for, all that have it. */
async function readiness (gateways: ReadonlySet<HttpGateway>, service: string): Promise<Readiness> {
  const reports = await Promise.all([...gateways].map(async ({ health }) => ({ health, report: await health.check(service) })))
  const known = reports.filter(({ report }) => report.status !== 'SERVICE_UNKNOWN')
  // Where none has it, each says so.
  const { status, state } = (known.find(({ report }) => report.status === 'NOT_SERVING') ?? known[0] ?? reports[0]!).report
  return { status, state, checks: known.flatMap(({ health, report }) => report.checks.map(check => checkEntry(health, check))) }
}

function checkEntry ({ exposesErrors }: Health, { error, ...result }: CheckResult): object {
  return error === undefined || !exposesErrors ? result : { ...result, error: messageOf(error) }
}

function messageOf (error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return ''
  }
}

/** Where @fastify/under-pressure is registered with the app, a gateway is not ready while the app is under pressure. */
export function mirrorPressure (app: FastifyInstance, health: Health): void {
  let remove: (() => void) | undefined
  app.addHook('onReady', async () => {
    if (!app.hasDecorator('isUnderPressure')) return
    const { isUnderPressure } = app as unknown as { isUnderPressure: () => boolean }
    remove = health.addCheck('under-pressure', {
      check () { if (isUnderPressure()) throw new Error('The app is under pressure') },
      cacheMs: 0
    })
  })
  app.addHook('onClose', async () => { remove?.() })
}
