/** The gateway: streams over HTTP. */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { GrpcGateway, implement, loadProto, registerGrpcHttpRoutes } from 'fastify-grpc-gateway'
import { list, listSync, READINGS_SERVICE, readingsProto, type Query, type Reading } from '../readings.ts'
import { announce } from '../server-process.ts'

const gateway = new GrpcGateway({
  services: [implement(loadProto(readingsProto)[READINGS_SERVICE]!, {
    List: (query: Query) => list(query),
    ListSync: (query: Query) => listSync(query),
    async Count (readings: AsyncIterable<Reading>) {
      let count = 0
      for await (const { valid } of readings) if (valid) count++
      return { count }
    }
  })],
  port: 0
})
const app = Fastify()
registerGrpcHttpRoutes(app, [gateway])
await gateway.startup()
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port, grpc: gateway.port })
