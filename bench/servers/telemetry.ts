/** The gateway with one of the variants of telemetry, over HTTP and gRPC. */
import { createWriteStream } from 'node:fs'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { GrpcGateway, implement, loadProto, registerGrpcHttpRoutes, type GatewayOptions, type TelemetryOptions } from 'fastify-grpc-gateway'
import type { Json } from '../messages.ts'
import { announce, servedMessage } from '../server-process.ts'
import { variants, type Variant, type VariantName } from '../variants.ts'
import { inSpan, startSdk } from './sdk.ts'

const { proto, service, rpc, answer } = servedMessage()
const { accessLog, prometheus = false, openTelemetry = false, sdk, spansByHand = false, isUnlimited = false }: Variant = variants[process.argv[3] as VariantName]
if (sdk !== undefined) startSdk(sdk)

const telemetry: TelemetryOptions = {
  accessLog: accessLog === 'stream' ? { stream: createWriteStream('/dev/null') } : accessLog === 'pino',
  prometheus,
  openTelemetry
}

/** Those of 0 are switched off; the others cannot be. */
const noLimits: GatewayOptions['limits'] = {
  responseBytes: 0,
  concurrentCalls: 0,
  requestMs: 0,
  streamIdleMs: 0,
  streamLifeMs: 0,
  connectionAgeMs: 0,
  connectionIdleMs: 0,
  streamsPerConnection: 0,
  keepaliveMs: 0
}

const gateway = new GrpcGateway({
  services: [implement(loadProto(proto)[service]!, {
    [rpc]: spansByHand ? async (request: Json) => inSpan(() => answer(request)) : async (request: Json) => answer(request)
  })],
  port: 0,
  telemetry,
  // An app of its own makes the logger, for one that logs makes a logger for each request.
  ...accessLog === 'pino' ? { logger: Fastify({ logger: { file: '/dev/null' } }).log } : {},
  ...isUnlimited ? { limits: noLimits } : {}
})
const app = Fastify()
registerGrpcHttpRoutes(app, [gateway])
await gateway.startup()
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port, grpc: gateway.port })
