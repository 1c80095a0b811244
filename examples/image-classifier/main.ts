/** Images classified by four deployments, of which the model runs in threads: `npx tsx examples/image-classifier/main.ts` */
import { loadProto, type UnaryMethod } from '../../src/index.ts'
import { deployment, Serve, type BoundDeployment, type DeploymentHandle } from '../../src/serving/index.ts'
import { grpcPort, httpPort, isMain, urlOf } from '../run.ts'
import { featuresOf } from './features.ts'
import { ImageReader } from './image-reader.ts'
import { shapeModel, trainedModel, type ShapeModel } from './model.ts'
import type { Network } from './network.ts'
import { SHAPES, type Picture } from './shapes.ts'

interface ImageData { url: string, filename: string }
interface ImageClass { classes: string[], probabilities: number[] }

interface ImageServices {
  ImageClassificationService: { Predict: UnaryMethod<ImageData, ImageClass> }
}

export const { ImageClassificationService } = loadProto<ImageServices>(new URL('../../protos/ray/user_defined_protos.proto', import.meta.url))

class DataPreprocessor {
  features (picture: Picture): Float32Array {
    return featuresOf(picture)
  }
}

/** A float of the response holds its multiples exactly, so that rounded down, probabilities are not more than 1 together. */
const STEP = 2 ** -16

class ImageClassifier {
  readonly #reader: DeploymentHandle<ImageReader>
  readonly #preprocessor: DeploymentHandle<DataPreprocessor>
  readonly #model: DeploymentHandle<ShapeModel>

  constructor (reader: DeploymentHandle<ImageReader>, preprocessor: DeploymentHandle<DataPreprocessor>, model: DeploymentHandle<ShapeModel>) {
    this.#reader = reader
    this.#preprocessor = preprocessor
    this.#model = model
  }

  /** The most probable first. */
  async Predict ({ url }: ImageData): Promise<ImageClass> {
    const picture = await this.#reader.read({ url })
    const features = await this.#preprocessor.features(picture)
    const probabilities = await this.#model.probabilities({ features })
    const ranked = SHAPES.map((name, i) => ({ name, probability: Math.floor(probabilities[i]! / STEP) * STEP })).sort((a, b) => b.probability - a.probability)
    return { classes: ranked.map(({ name }) => name), probabilities: ranked.map(({ probability }) => probability) }
  }
}

export function imageClassifier (network: Network): BoundDeployment {
  return deployment(ImageClassifier).bind(deployment(ImageReader).bind(), deployment(DataPreprocessor).bind(), shapeModel.bind(network))
}

if (isMain(import.meta.url)) {
  const { network, accuracy } = trainedModel()
  console.log(`Of pictures that it has not seen, the model recognizes ${(accuracy * 100).toFixed(1)} %`)
  const serve = new Serve({ definitions: [ImageClassificationService], port: grpcPort, reflection: true })
  await serve.run(imageClassifier(network), { name: 'images', routePrefix: '/images' })
  const http = await serve.listen({ port: httpPort })
  console.log(`gRPC ${serve.gateway.address}`)
  console.log(`HTTP ${urlOf(http)}`)
}
