/** A gateway whose service never ends to answer, on HTTP/1.1 with WebSockets, or on HTTP/2. */
import type { AddressInfo } from 'node:net'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { GrpcGateway, implement, loadProto, registerGrpcHttpRoutes } from 'fastify-grpc-gateway'
import { list, READINGS_SERVICE, readingsProto } from '../readings.ts'
import { announce } from '../server-process.ts'

let produced = 0

const gateway = new GrpcGateway({
  services: [implement(loadProto(readingsProto)[READINGS_SERVICE]!, {
    async * List () {
      for await (const reading of list({ count: Infinity })) {
        produced++
        yield reading
      }
    }
  })],
  port: 0,
  // A WebSocket client that reads nothing answers no ping either.
  streams: { idleMs: 0 }
})
const isHttp2 = process.argv[2] === 'http2'
const app = isHttp2 ? Fastify({ http2: true }) as unknown as FastifyInstance : Fastify()
if (!isHttp2) await app.register(websocket)
registerGrpcHttpRoutes(app, [gateway])
await gateway.startup()
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port }, () => produced)
