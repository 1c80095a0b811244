/** A grpc-js server on its own, and the definitions that it is made of. */
import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, Server, ServerCredentials, type ServiceClientConstructor, type handleUnaryCall } from '@grpc/grpc-js'
import { loadSync, type Options } from '@grpc/proto-loader'
import type { Json, Message } from '../messages.ts'

/** The client class of the message's service, with its definition. */
export function loadService ({ proto, service }: Pick<Message, 'proto' | 'service'>, options: Options): ServiceClientConstructor {
  const packages = loadPackageDefinition(loadSync(fileURLToPath(proto), options))
  const names = service.split('.')
  return names.reduce((scope, name) => scope[name] as typeof packages, packages) as unknown as ServiceClientConstructor
}

/** The server gives handlers what the gateway's give them. @returns its port */
export function startGrpcJs (message: Message): Promise<number> {
  const server = new Server()
  const { service } = loadService(message, { longs: String, enums: String, defaults: true, oneofs: true })
  const handle: handleUnaryCall<Json, Json> = ({ request }, callback) => callback(null, message.answer(request))
  server.addService(service, { [message.rpc]: handle })
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => error === null ? resolve(port) : reject(error))
  })
}
