/** A gateway in a Fastify app that has its own routes, hooks and errors: `npx tsx examples/existing-app.ts` */
import Fastify, { type FastifyInstance } from 'fastify'
import { grpcGateway, GrpcGateway } from '../src/index.ts'
import { GreeterService } from './helloworld.ts'
import { closeOnSignal, grpcPort, httpPort, isMain, urlOf } from './run.ts'

/** The app as it was before, with one scope more. */
export function buildApp (gateway: GrpcGateway): FastifyInstance {
  const app = Fastify()

  app.get('/', async () => ({ service: 'shop' }))

  app.register(async api => {
    // A hook of the scope guards the RPCs as it guards any other route of it.
    api.addHook('onRequest', async (request, reply) => {
      if (request.headers['x-api-key'] !== 'secret') {
        return await reply.code(401).send({ error: 'An API key is needed' })
      }
    })
    // When the app closes, so does the gateway.
    api.register(grpcGateway, { gateways: [gateway] })
  }, { prefix: '/api' })

  return app
}

if (isMain(import.meta.url)) {
  const gateway = new GrpcGateway({ services: [GreeterService], port: grpcPort, reflection: true })
  const app = buildApp(gateway)
  await gateway.startup()
  await app.listen({ port: httpPort })
  closeOnSignal(app)
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
