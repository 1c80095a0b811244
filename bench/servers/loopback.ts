/** What a gateway often is: a Fastify route that calls a grpc-js client, and so the gRPC server, here in one process. */
import type { AddressInfo } from 'node:net'
import { credentials, type Client, type requestCallback } from '@grpc/grpc-js'
import Fastify from 'fastify'
import type { Json } from '../messages.ts'
import { announce, servedMessage } from '../server-process.ts'
import { loadService, startGrpcJs } from './start-grpc-js.ts'

const message = servedMessage()
const port = await startGrpcJs(message)

// These options make response messages that JSON.stringify writes as ProtoJSON.
const ServiceClient = loadService(message, { longs: String, enums: String, bytes: String })
const client = new ServiceClient(`127.0.0.1:${port}`, credentials.createInsecure())
const { [message.rpc]: method } = ServiceClient.service
const { path, requestSerialize, responseDeserialize } = method!

function call (request: Json): Promise<Json> {
  return new Promise((resolve, reject) => {
    const callback: requestCallback<Json> = (error, response) => error === null ? resolve(response!) : reject(error)
    ;(client as Client).makeUnaryRequest(path, requestSerialize, responseDeserialize, request, callback)
  })
}

const app = Fastify()
app.post(message.url, request => call(request.body as Json))
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port })
