/** What `npm start` runs: two services on one gateway, on real ports. */
import { GrpcGateway } from '../src/index.ts'
import { GreeterService } from './helloworld.ts'
import { RouteGuideService } from './route-guide/service.ts'
import { closeOnSignal, grpcPort, httpPort, urlOf } from './run.ts'

const gateway = new GrpcGateway({ services: [GreeterService, RouteGuideService], port: grpcPort })
const app = await gateway.listen({ port: httpPort, basePath: '/api/v1', fastify: { logger: { level: 'warn' } } })
closeOnSignal(app)

console.log(`gRPC ${gateway.address}`)
console.log(`HTTP ${urlOf(app)}\n`)
for (const { httpMethods, url, rpc, kind } of gateway.routes()) {
  console.log(`${httpMethods.join(',').padEnd(5)} ${url.padEnd(48)} ${rpc}${kind === 'unary' ? '' : ` (${kind}: gRPC only)`}`)
}
console.log(`
Try:
  curl ${urlOf(app)}/api/v1/grpc/greeterservice/sayhello -H 'content-type: application/json' -d '{"name":"World"}'
  curl ${urlOf(app)}/api/v1/grpc/routeguideservice/getfeature -H 'content-type: application/json' -d '{"latitude":409146138,"longitude":-746188906}'

Ctrl-C ends it.`)
