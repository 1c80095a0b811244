/** A model for each language, two of them in memory: `npx tsx examples/multiplexing/main.ts` */
import { readFile } from 'node:fs/promises'
import { GrpcError, GrpcGateway, implement, loadProto, status, type UnaryMethod } from '../../src/index.ts'
import { multiplexed } from '../../src/serving/index.ts'
import { grpcPort, httpPort, isMain, urlOf } from '../run.ts'

interface Text { text: string }
interface Sentiment { label: string, probability: number }

interface SentimentDefinition {
  Classify: UnaryMethod<Text, Sentiment>
  ListLoaded: UnaryMethod<object, { ids: string[] }>
}

export const { SentimentService } = loadProto<{ SentimentService: SentimentDefinition }>(new URL('sentiment.proto', import.meta.url))

const LANGUAGES = ['de', 'en', 'es', 'fr']

/** Logistic regression over the words of a text. */
class BagOfWords {
  readonly bias: number
  readonly weights: ReadonlyMap<string, number>

  constructor ({ bias, weights }: { bias: number, weights: Record<string, number> }) {
    this.bias = bias
    this.weights = new Map(Object.entries(weights))
  }

  classify (text: string): Sentiment {
    const words = text.toLowerCase().match(/\p{Letter}+/gu) ?? []
    const score = words.reduce((sum, word) => sum + (this.weights.get(word) ?? 0), this.bias)
    return { label: score >= 0 ? 'positive' : 'negative', probability: 1 / (1 + Math.exp(-score)) }
  }
}

const models = multiplexed(async language => {
  // Ids come from clients: not every one may become a path.
  if (!LANGUAGES.includes(language)) throw new GrpcError(status.NOT_FOUND, `There is no model ${language}. There are ${LANGUAGES.join(', ')}`)
  return new BagOfWords(JSON.parse(await readFile(new URL(`models/${language}.json`, import.meta.url), 'utf8')))
}, { maxNumModelsPerReplica: 2 })

export const sentiment = implement(SentimentService, {
  async Classify ({ text }, context) {
    const model = await models(context.multiplexedModelId)
    return model.classify(text)
  },

  ListLoaded: () => ({ ids: [...models.loaded] })
})

if (isMain(import.meta.url)) {
  const gateway = new GrpcGateway({ services: [sentiment], port: grpcPort, reflection: true })
  const app = await gateway.listen({ port: httpPort })
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
