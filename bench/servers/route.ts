/** A Fastify route written by hand, without schema and without gRPC. */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import type { Json } from '../messages.ts'
import { announce, servedMessage } from '../server-process.ts'

const { url, answer } = servedMessage()

const app = Fastify()
app.post(url, async request => answer(request.body as Json))
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port })
