/** The gateway: one service over HTTP and gRPC. */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { GrpcGateway, implement, loadProto, registerGrpcHttpRoutes } from 'fastify-grpc-gateway'
import type { Json } from '../messages.ts'
import { announce, servedMessage } from '../server-process.ts'

const { proto, service, rpc, answer } = servedMessage()
const definition = loadProto(proto)[service]!

const gateway = new GrpcGateway({
  services: [implement(definition, { [rpc]: async (request: Json) => answer(request) })],
  port: 0
})
const app = Fastify()
registerGrpcHttpRoutes(app, [gateway])
await gateway.startup()
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port, grpc: gateway.port })
