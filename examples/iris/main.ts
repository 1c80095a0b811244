/** Two models of iris flowers, compared while they serve, behind Seldon's API: `npx tsx examples/iris/main.ts` */
import Fastify from 'fastify'
import { clientCredentials, GrpcGateway, registerGrpcHttpRoutes } from '../../src/index.ts'
import { asSeldon, seldonService, variations, type Model } from '../../src/serving/index.ts'
import { closeOnSignal, grpcPort, httpPort, isMain, urlOf } from '../run.ts'
import { accuracy, logisticRegression, nearestNeighbours, type Classifier } from './classifiers.ts'
import { SPECIES, split } from './flowers.ts'

/** The message of the type that is registered for the client. */
interface IrisPredictRequest { f1: number, f2: number, f3: number, f4: number }

const SEED = 1936

export function trainedModels (): Array<{ name: string, classify: Classifier, accuracy: number }> {
  const { training, heldOut } = split(SEED)
  return Object.entries({ logistic: logisticRegression(training), neighbours: nearestNeighbours(training) })
    .map(([name, classify]) => ({ name, classify, accuracy: accuracy(classify, heldOut) }))
}

function modelOf (modelName: string, classify: Classifier): Model<IrisPredictRequest> {
  return ({ data: { f1, f2, f3, f4 } }) => ({
    modelName,
    predictions: classify([f1, f2, f3, f4]).map((probability, i) => ({ prediction: probability, predictedClass: SPECIES[i]!, confidence: probability }))
  })
}

if (isMain(import.meta.url)) {
  const models = trainedModels()
  for (const { name, accuracy } of models) console.log(`${name}: ${accuracy.toFixed(3)} of the flowers that it has not seen`)

  const credentials = clientCredentials({
    clients: { florist: process.env.FLORIST_SECRET ?? 'only-for-this-example' },
    secret: process.env.TOKEN_SECRET ?? 'only for this example: 32 bytes or more',
    legacy: true
  })
  const seldon = seldonService({
    clients: {
      florist: {
        model: variations(models.map(({ name, classify }) => ({ label: name, weight: 1, value: modelOf(`iris_${name}`, classify) })), { stickyBy: 'x-user', chosenBy: 'x-variation' }),
        types: { request: 'io.seldon.microservice.iris.IrisPredictRequest' }
      }
    }
  })
  const gateway = new GrpcGateway({ services: seldon.services, port: grpcPort, reflection: true, authenticate: asSeldon(credentials.authenticate) })
  const app = Fastify({ logger: { level: 'warn' } })
  app.register(credentials.tokenEndpoint)
  registerGrpcHttpRoutes(app, [gateway])
  closeOnSignal(app)
  await gateway.startup()
  await app.listen({ port: httpPort })
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
