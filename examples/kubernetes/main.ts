/** An app for production, as the manifests beside it run it: `npx tsx examples/kubernetes/main.ts` */
import { GrpcGateway } from '../../src/index.ts'
import { GreeterService } from '../helloworld.ts'
import { grpcPort, httpPort, isMain, urlOf } from '../run.ts'

const {
  /** `0.0.0.0` in a pod, where probes and the gateway of the cluster come from outside. */
  HOST = '127.0.0.1',
  DRAIN_MS = '0',
  GRACE_MS = '9000',
  /** PEM files; without them both ports speak clear text. */
  TLS_CERT,
  TLS_KEY
} = process.env

/** Prefix of the routes, so that what is for everybody has a path of its own. */
export const BASE_PATH = '/api/v1'

/** Clients that balance by themselves ask for addresses again when a connection ends, and so find new pods. */
const CONNECTION_AGE_MS = 5 * 60_000

export function makeGateway (): GrpcGateway {
  return new GrpcGateway({
    services: [GreeterService],
    host: HOST,
    port: grpcPort,
    reflection: true,
    channelOptions: { 'grpc.max_connection_age_ms': CONNECTION_AGE_MS },
    ...(TLS_CERT === undefined || TLS_KEY === undefined ? {} : { tls: { cert: TLS_CERT, key: TLS_KEY } })
  })
}

if (isMain(import.meta.url)) {
  const gateway = makeGateway()
  const tls = TLS_CERT !== undefined && TLS_KEY !== undefined
  // At SIGTERM health says no and clients are asked to go elsewhere for DRAIN_MS; then open calls have GRACE_MS to end.
  const app = await gateway.listen({ host: HOST, port: httpPort, basePath: BASE_PATH, tls, drainMs: Number(DRAIN_MS), graceMs: Number(GRACE_MS) })

  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
