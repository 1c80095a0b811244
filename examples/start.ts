/** What `npm start` runs: two services on one gateway, on real ports. */
import { GrpcGateway } from '../src/index.ts'
import { GreeterService } from './helloworld.ts'
import { RouteGuideService } from './route-guide/service.ts'
import { grpcPort, httpPort, urlOf } from './run.ts'

const gateway = new GrpcGateway({ services: [GreeterService, RouteGuideService], port: grpcPort, reflection: true })
const app = await gateway.listen({ port: httpPort, basePath: '/api/v1', fastify: { logger: { level: 'warn' } } })

console.log(`gRPC ${gateway.address}`)
console.log(`HTTP ${urlOf(app)}\n`)
for (const { httpMethods, url, rpc, kind } of gateway.routes()) {
  console.log(`${httpMethods.join(',').padEnd(5)} ${url.padEnd(48)} ${rpc}${kind === 'unary' ? '' : ` (${kind})`}`)
}

const greeter = `${urlOf(app)}/api/v1/grpc/greeterservice`
const guide = `${urlOf(app)}/api/v1/grpc/routeguideservice`
const json = "-H 'content-type: application/json'"
const ndjson = "-H 'content-type: application/x-ndjson'"
console.log(`
Try:
  curl ${greeter}/sayhello ${json} -d '{"name":"World"}'
  curl ${guide}/getfeature ${json} -d '{"latitude":409146138,"longitude":-746188906}'
  curl -N ${guide}/listfeatures ${json} -d '{"lo":{"latitude":400000000,"longitude":-750000000},"hi":{"latitude":420000000,"longitude":-730000000}}'
  printf '{"latitude":%d,"longitude":%d}\\n' 407838351 -746143763 408122808 -743999179 413628156 -749015468 | curl ${guide}/recordroute ${ndjson} --data-binary @-
  printf '{"message":"%s message","location":{"latitude":%d,"longitude":%d}}\\n' First 0 0 Second 0 1 Third 1 0 Fourth 0 0 Fifth 1 0 | curl -N -T . -X POST ${guide}/routechat ${ndjson}
  grpcurl -plaintext ${gateway.address} list
  grpcurl -plaintext -d '{"name":"World"}' ${gateway.address} helloworld.Greeter/SayHello

Ctrl-C ends it.`)
