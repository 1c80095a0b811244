/** An existing grpc-js service, loaded by proto-loader, served over HTTP too: `npx tsx examples/adopted/main.ts` */
import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, type GrpcObject, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { GrpcGateway, type ServiceRegistrar } from '../../src/index.ts'
import { grpcPort, httpPort, isMain, urlOf } from '../run.ts'
import { handlers } from './handlers.ts'

const proto = loadPackageDefinition(loadSync(fileURLToPath(new URL('counter.proto', import.meta.url)), { defaults: true }))
const { Counter } = proto.counter as GrpcObject as { Counter: ServiceClientConstructor }

/** `new Server().addService(Counter.service, handlers)` has become this. */
export class CounterService {
  static addToServer (_instance: CounterService, server: ServiceRegistrar): void {
    server.addService(Counter.service, handlers)
  }
}

if (isMain(import.meta.url)) {
  const gateway = new GrpcGateway({ services: [CounterService], port: grpcPort, reflection: true })
  const app = await gateway.listen({ port: httpPort })
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
