/** The route from which Prometheus scrapes metrics. */
import type { FastifyInstance } from 'fastify'
import type { MetricsRoute } from '../telemetry/prometheus.ts'
import { setRequestId } from './request-id.ts'

/** Adds the route, but where the app has one: its own, or that of another of its gateways. */
export function registerMetricsRoute (app: FastifyInstance, { path, scrape }: MetricsRoute): void {
  if (app.hasRoute({ method: 'GET', url: app.prefix.replace(/\/$/, '') + path })) return
  app.route({
    method: 'GET',
    url: path,
    async handler (request, reply) {
      const { contentType, text } = await scrape()
      return setRequestId(request, reply).header('cache-control', 'no-store').header('content-type', contentType).send(text)
    },
    // Scrapes come every few seconds: no lines for those that went well.
    logLevel: 'warn',
    // No part of documents that @fastify/swagger makes.
    schema: { hide: true } as object,
    config: UNHINDERED
  })
}

/** Settings of @fastify/rate-limit, and of @fastify/under-pressure, which would answer for the route. */
const UNHINDERED: object = { rateLimit: false, pressureHandler: () => {} }
