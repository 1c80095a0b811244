/**
 * Serves applications, for clients of other implementations: those that `APPLICATIONS` in the environment names, with a
 * time limit of `TIMEOUT_MS`. Over HTTP, `/test/…` drains, and deploys and deletes applications.
 */
import type { FastifyInstance } from 'fastify'
import { loadProto, status, type BidiStreamingMethod, type CallContext, type ClientStreamingMethod, type ServerStreamingMethod, type UnaryMethod } from '../../src/index.ts'
import { deployment, Serve, type BoundDeployment, type RequestContext } from '../../src/serving/index.ts'
import { ImageClassificationService, imageClassifier } from '../../examples/image-classifier/main.ts'
import { trainedModel } from '../../examples/image-classifier/model.ts'
import { grpcPort, httpPort, urlOf } from '../../examples/run.ts'

interface Message { name: string, origin: string, num: string }
interface Reply { greeting?: string, num?: string | number }

interface UserDefinedServices {
  UserDefinedService: {
    __call__: UnaryMethod<Message, Reply>
    Multiplexing: UnaryMethod<object, Reply>
    Streaming: ServerStreamingMethod<Message, Reply>
    ClientStreaming: ClientStreamingMethod<Message, Reply>
    BidiStreaming: BidiStreamingMethod<Message, Reply>
  }
}

const { UserDefinedService } = loadProto<UserDefinedServices>(new URL('../../protos/ray/user_defined_protos.proto', import.meta.url))

/** What Ray's guide deploys as app1. */
class UserDefined {
  __call__ ({ name, origin, num }: Message): Reply {
    return { greeting: `Hello ${name} from ${origin}`, num: Number(num) * 2 }
  }

  Multiplexing (_request: object, { multiplexedModelId }: RequestContext): Reply {
    return { greeting: `Method2 called model, loading model: ${multiplexedModelId}` }
  }

  * Streaming ({ name, origin, num }: Message): Generator<Reply> {
    for (let i = 0; i < 10; i++) yield { greeting: `${i}: Hello ${name} from ${origin}`, num: Number(num) * 2 + i }
  }

  async ClientStreaming (messages: AsyncIterable<Message>): Promise<Reply> {
    let count = 0
    let total = 0
    for await (const { num } of messages) {
      count++
      total += Number(num)
    }
    return { greeting: `Received ${count} messages`, num: total * 2 }
  }

  async * BidiStreaming (messages: AsyncIterable<Message>): AsyncGenerator<Reply> {
    for await (const { name, num } of messages) yield { greeting: `Hello ${name}`, num: Number(num) * 2 }
  }
}

/** Sets codes, details and trailers. */
class Codes {
  readonly #seen = new Set<string>()

  __call__ ({ name }: Message, context: CallContext): Reply {
    context.trailers.set('num', '0')
    if (this.#seen.has(name)) {
      context.setDetails(`${name} found.`)
    } else {
      this.#seen.add(name)
      context.setCode(status.INVALID_ARGUMENT)
      context.setDetails(`${name} not found, adding to nums.`)
    }
    return { greeting: name }
  }

  Multiplexing (_request: object, context: CallContext): Reply {
    lose(context)
    return { greeting: 'lost' }
  }

  * Streaming (_request: Message, context: CallContext): Generator<Reply> {
    yield { greeting: 'first' }
    lose(context)
  }
}

function lose (context: CallContext): void {
  context.trailers.set('foo', 'bar')
  context.setCode(status.DATA_LOSS)
  context.setDetails('what was lost')
}

/** Works for ever. */
class Blocked {
  async __call__ (_request: Message, { signal }: RequestContext): Promise<Reply> { return await abortion(signal) }
  async * Streaming (_request: Message, { signal }: RequestContext): AsyncGenerator<Reply> { yield await abortion(signal) }
  async ClientStreaming (_messages: AsyncIterable<Message>, { signal }: RequestContext): Promise<Reply> { return await abortion(signal) }
  async * BidiStreaming (_messages: AsyncIterable<Message>, { signal }: RequestContext): AsyncGenerator<Reply> { yield await abortion(signal) }
}

async function abortion (signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

const APPLICATIONS: Readonly<Record<string, () => BoundDeployment>> = {
  app1: () => deployment(UserDefined).bind(),
  app2: () => imageClassifier(trainedModel().network),
  codes: () => deployment(Codes).bind(),
  blocked: () => deployment(Blocked).bind()
}

/** Longer than any test. */
const LONGEST_DRAIN_MS = 60_000

const { APPLICATIONS: names = '', TIMEOUT_MS } = process.env
const serve = new Serve({
  definitions: [UserDefinedService, ImageClassificationService],
  port: grpcPort,
  reflection: true,
  ...(TIMEOUT_MS === undefined ? {} : { timeout: { default: Number(TIMEOUT_MS) } })
})
for (const name of names.split(',')) await run(name)
const app = await serve.listen({ port: httpPort, configure: control })
console.log(`gRPC ${serve.gateway.address}`)
console.log(`HTTP ${urlOf(app)}`)

async function run (name: string): Promise<void> {
  await serve.run(APPLICATIONS[name]!(), { name, routePrefix: `/${name}` })
}

function control (app: FastifyInstance): void {
  app.post('/test/drain', async () => {
    serve.drain({ minMs: LONGEST_DRAIN_MS })
    return {}
  })
  app.post('/test/undrain', async () => {
    serve.undrain()
    return {}
  })
  app.post<{ Params: { name: string } }>('/test/run/:name', async ({ params: { name } }) => {
    await run(name)
    return serve.status()
  })
  app.post<{ Params: { name: string } }>('/test/delete/:name', async ({ params: { name } }) => {
    await serve.delete(name)
    return serve.status()
  })
}
