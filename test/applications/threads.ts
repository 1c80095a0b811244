/** A process that serves an application whose replicas are threads, calls it, and sends what has come of that. */
import { Metadata } from '@grpc/grpc-js'
import { loadProto, type BidiStreamingMethod, type ServerStreamingMethod, type UnaryMethod } from '../../src/index.ts'
import { deployment, Serve, type DeploymentHandle } from '../../src/serving/index.ts'
import { grpcClient, recordingLogger, until, type CallOptions, type Outcome } from '../serving.ts'
import { Counter } from './counter.ts'

interface Message { name: string, num: string }
interface Reply { greeting?: string, num?: string }

const { UserDefinedService } = loadProto<{
  UserDefinedService: {
    __call__: UnaryMethod<Message, Reply>
    Multiplexing: UnaryMethod<object, Reply>
    Streaming: ServerStreamingMethod<Message, Reply>
    BidiStreaming: BidiStreamingMethod<Message, Reply>
  }
}>(new URL('../../protos/ray/user_defined_protos.proto', import.meta.url))

class Ingress {
  readonly #counter: DeploymentHandle<Counter>

  constructor (counter: DeploymentHandle<Counter>) {
    this.#counter = counter
  }

  async __call__ ({ name, num }: Message): Promise<Reply> {
    return { greeting: await this.#counter.who({ name, num: Number(num) }) }
  }

  async * Streaming ({ num }: Message): AsyncGenerator<Reply> {
    for await (const i of this.#counter.options({ stream: true }).count({ to: Number(num) })) yield { num: String(i) }
  }

  async Multiplexing (): Promise<Reply> {
    return { greeting: await this.#counter.wait({}) }
  }
}

const module = new URL('counter.ts', import.meta.url)
const serve = new Serve({ definitions: [UserDefinedService], port: 0, logger: recordingLogger(), errors: { expose: 'message' } })
await serve.listen({ port: 0, host: '127.0.0.1', fastify: { logger: false }, signals: false })
await serve.run(deployment(Ingress).bind(deployment(Counter, { replicas: 2, module }).bind('hello')))

const client = grpcClient(UserDefinedService, serve.gateway.address)
const call = async (method: string, request: object, options: CallOptions = {}): Promise<Outcome> =>
  await client.call(method, request, { metadata: Metadata.fromHttp2Headers({ request_id: 'rid' }), ...options })
const ended = ({ code, details }: Outcome): object => ({ code, details })
const ongoing = (): number => serve.status().default!.deployments.Counter!.ongoing
const problem = async (deploy: () => Promise<void>): Promise<string> => await deploy().then(() => 'none', (error: Error) => error.message)

const outcomes = await Promise.all(Array.from({ length: 8 }, async () => await call('__call__', { name: 'spin', num: '30' })))
const seen = {
  replicas: serve.status().default!.deployments.Counter!.replicas,
  greetings: outcomes.map(({ messages: [message] }) => (message as Reply).greeting),
  streamed: (await call('Streaming', { num: '5' })).messages.map(message => (message as Reply).num),
  refused: ended(await call('__call__', { name: 'refuse' })),
  failedStream: ended(await call('Streaming', { num: '-1' })),
  died: ended(await call('__call__', { name: 'exit' })),
  afterDeath: (await call('__call__', { name: 'spin' })).code,
  cancelled: await cancelled(),
  failing: await problem(() => serve.run(deployment(Counter, { replicas: 1, module }).bind('fail'), { name: 'failing', routePrefix: null })),
  notCloned: await problem(() => serve.run(deployment(Counter, { replicas: 1, module }).bind((() => {}) as never), { name: 'not-cloned', routePrefix: null })),
  notExported: await problem(() => serve.run(deployment(class Nobody {}, { replicas: 1, module }).bind(), { name: 'not-exported', routePrefix: null }))
}

async function cancelled (): Promise<object> {
  const abort = new AbortController()
  const waiting = call('Multiplexing', {}, { signal: abort.signal })
  await until(() => ongoing() === 1, 'the call to reach the thread')
  abort.abort()
  const { code } = await waiting
  await until(() => ongoing() === 0, 'the thread to hear of it')
  return { code, heard: true }
}

process.send!(seen)
client.raw.close()
await serve.shutdown({ graceMs: 100 })
process.disconnect()
