/**
 * grpc.health.v1.Health, the service that probes and clients ask whether a server can serve.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
import { implement, type ImplementedService } from '../call/registration.ts'
import { GrpcError } from '../errors.ts'
import type { Health, ServingStatus } from '../health/health.ts'
import type { ServerStreamingMethod, UnaryMethod } from '../schema/definition.ts'
import { loadProto } from '../schema/load.ts'
import { bundledProto } from '../schema/proto-files.ts'
import { status } from '../status.ts'

interface Request { service: string }
interface Response { status: ServingStatus }

interface HealthProto {
  Health: {
    Check: UnaryMethod<Request, Response>
    List: UnaryMethod<object, { statuses: Record<string, Response> }>
    Watch: ServerStreamingMethod<Request, Response>
  }
}

/** The protocol allows List no more. */
const MOST_LISTED = 100

let proto: HealthProto | undefined

export function healthService (health: Health): ImplementedService {
  proto ??= loadProto<HealthProto>(bundledProto('grpc/health/v1/health.proto'))
  return implement(proto.Health, {
    async Check ({ service }) {
      const report = await health.check(service)
      if (report.status === 'SERVICE_UNKNOWN') throw new GrpcError(status.NOT_FOUND, `Unknown service ${service}`)
      return { status: report.status }
    },

    async List () {
      const { services } = health
      if (services.length > MOST_LISTED) throw new GrpcError(status.RESOURCE_EXHAUSTED, `There are ${services.length} services, and List allows ${MOST_LISTED}. Ask for each by Check`)
      const entries = services.map(async service => [service, { status: (await health.check(service)).status }] as const)
      return { statuses: Object.fromEntries(await Promise.all(entries)) }
    },

    async * Watch ({ service }, { signal }) {
      for await (const status of health.watch(service, signal)) yield { status }
    }
  })
}
