/** A gateway to be attacked, in a process of its own: prints its ports, and its memory when it is asked for. */
import type { AddressInfo } from 'node:net'
import { GrpcGateway, implement, type CallContext } from '../../src/index.ts'
import { Greeter, Kinds, type Note } from '../serving.ts'

/** How long a request may take to arrive, in milliseconds: short, so that nobody has to wait for what takes too long. */
const REQUEST_MS = Number(process.env.REQUEST_MS ?? 1500)

/** Whether a prototype was polluted, or metadata was injected. */
let isHarmed = false

const services = [
  implement(Greeter, {
    SayHello: ({ name }) => ({ message: `Hello, ${name}!` })
  }),
  implement(Kinds, {
    Unary ({ text }: Note, { metadata }: CallContext) {
      isHarmed ||= 'polluted' in {} || metadata.get('x-injected').length > 0
      return { text }
    },
    async * ServerStream ({ text }: Note) {
      for (let n = 0; n < 1_000_000; n++) yield { text: text + 'x'.repeat(1000), n: String(n) }
    },
    async ClientStream (notes: AsyncIterable<Note>) {
      let n = 0
      for await (const { text } of notes) n += text.length
      return { text: 'all', n: String(n) }
    },
    Bidi: (notes: AsyncIterable<Note>) => notes
  })
]

const gateway = new GrpcGateway({ services, port: 0, limits: { requestMs: REQUEST_MS, streamIdleMs: REQUEST_MS } })
const app = await gateway.listen({ port: 0, host: '127.0.0.1', fastify: { logger: false } })
const secure = new GrpcGateway({
  services,
  port: 0,
  tls: { key: process.env.TLS_KEY!, cert: process.env.TLS_CERT! },
  limits: { requestMs: REQUEST_MS }
})
await secure.startup()

process.send!({ http: (app.server.address() as AddressInfo).port, grpc: gateway.port, grpcTls: secure.port })
process.on('message', () => {
  global.gc?.()
  process.send!({ rss: process.memoryUsage().rss / 2 ** 20, isHarmed })
})
process.on('disconnect', () => process.exit())
