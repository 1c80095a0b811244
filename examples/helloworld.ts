/** One class, served over gRPC and HTTP: `npx tsx examples/helloworld.ts` */
import { GrpcError, GrpcGateway, loadProto, status, type CallContext, type ServiceRegistrar, type UnaryMethod } from '../src/index.ts'
import { grpcPort, httpPort, isMain, urlOf } from './run.ts'

interface HelloRequest { name: string }
interface HelloReply { message: string }

interface GreeterDefinition {
  SayHello: UnaryMethod<HelloRequest, HelloReply>
  SayHelloAgain: UnaryMethod<HelloRequest, HelloReply>
}

export const { Greeter } = loadProto<{ Greeter: GreeterDefinition }>(new URL('../protos/helloworld.proto', import.meta.url))

export class GreeterService {
  async SayHello ({ name }: HelloRequest): Promise<HelloReply> {
    if (name === 'error') throw new GrpcError(status.INVALID_ARGUMENT, 'Invalid request')
    return { message: `Hello, ${name}!` }
  }

  async SayHelloAgain ({ name }: HelloRequest, context: CallContext): Promise<HelloReply> {
    context.trailers.set('greeted-over', context.protocol)
    return { message: `Hello again, ${name}!` }
  }

  static addToServer (instance: GreeterService, server: ServiceRegistrar): void {
    server.implement(Greeter, instance)
  }
}

if (isMain(import.meta.url)) {
  const gateway = new GrpcGateway({ services: [GreeterService], port: grpcPort, reflection: true })
  const app = await gateway.listen({ port: httpPort })
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
