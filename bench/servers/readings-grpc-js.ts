/** A grpc-js server that streams: handlers write until they have to wait for `drain`. */
import { once } from 'node:events'
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js'
import { list, listSync, READINGS_SERVICE, readingsProto, type Query, type Reading } from '../readings.ts'
import { announce } from '../server-process.ts'
import { loadService } from './start-grpc-js.ts'

type Call = ServerWritableStream<Query, Partial<Reading>>

const server = new Server()
server.addService(loadService({ proto: readingsProto, service: READINGS_SERVICE }, { longs: String, enums: String, defaults: true, oneofs: true }).service, {
  async List (call: Call) {
    for await (const reading of list(call.request)) if (!call.write(reading)) await once(call, 'drain')
    call.end()
  },
  async ListSync (call: Call) {
    for (const reading of listSync(call.request)) if (!call.write(reading)) await once(call, 'drain')
    call.end()
  }
})
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  announce({ grpc: port })
})
