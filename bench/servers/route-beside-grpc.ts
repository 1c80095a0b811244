/** The route written by hand, in a process that serves gRPC too, as one does who has both without a gateway. */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import type { Json } from '../messages.ts'
import { announce, servedMessage } from '../server-process.ts'
import { startGrpcJs } from './start-grpc-js.ts'

const message = servedMessage()
const grpc = await startGrpcJs(message)
const app = Fastify()
app.post(message.url, async request => message.answer(request.body as Json))
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port, grpc })
