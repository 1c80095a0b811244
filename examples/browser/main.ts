/** Streams in a web page, by server-sent events and WebSockets: `npx tsx examples/browser/main.ts` */
import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { setImmediate, setTimeout } from 'node:timers/promises'
import websocket from '@fastify/websocket'
import { Metadata } from '@grpc/grpc-js'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  GrpcError,
  GrpcGateway,
  implement,
  loadProto,
  registerGrpcHttpRoutes,
  status,
  type BidiStreamingMethod,
  type CallContext,
  type ServerStreamingMethod,
  type ServiceRegistrar
} from '../../src/index.ts'
import { closeOnSignal, grpcPort, httpPort, isMain, urlOf } from '../run.ts'

interface FollowRequest { count: number, failAfter: number }
interface Tick { number: number, time: string }
interface Line { name: string, text: string }

interface LiveServices {
  Ticker: { Follow: ServerStreamingMethod<FollowRequest, Tick> }
  Chat: { Talk: BidiStreamingMethod<Line, Line> }
}

const { Ticker, Chat } = loadProto<LiveServices>(new URL('live.proto', import.meta.url))

const TICK_MS = 200
const MOST_LINES_UNREAD = 100

const ticker = implement(Ticker, {
  async * Follow ({ count, failAfter }, context) {
    // Where a page that has lost the connection goes on.
    const [lastId = 0] = context.metadata.get('last-event-id')
    for (let number = Number(lastId) + 1; number <= count; number++) {
      await setTimeout(TICK_MS, undefined, { signal: context.signal })
      if (failAfter > 0 && number > failAfter) throw new GrpcError(status.UNAVAILABLE, `The clock stopped after ${failAfter}`)
      yield { number, time: new Date().toISOString() }
    }
  }
})

class ChatService {
  /** What each talker is still to hear. */
  readonly #talkers = new Map<string, PassThrough>()

  async * Talk (lines: AsyncIterable<Line>, context: CallContext): AsyncIterable<Line> {
    const unread = new PassThrough({ objectMode: true, highWaterMark: MOST_LINES_UNREAD })
    this.#listen(lines, unread, context).then(() => unread.end(), error => unread.destroy(error))
    yield * unread
  }

  async #listen (lines: AsyncIterable<Line>, unread: PassThrough, context: CallContext): Promise<void> {
    let name: string | undefined
    let said = 0
    try {
      for await (const line of lines) {
        if (name === undefined) {
          name = this.#join(line.name, unread)
          const headers = new Metadata()
          headers.set('talkers', String(this.#talkers.size))
          context.sendHeaders(headers)
        } else {
          this.#say({ name, text: line.text })
          said++
          // Whoever says much at once gives the others time to read.
          await setImmediate()
        }
      }
      context.trailers.set('said', String(said))
    } finally {
      if (name !== undefined) this.#talkers.delete(name)
    }
  }

  #join (name: string, unread: PassThrough): string {
    if (name === '') throw new GrpcError(status.INVALID_ARGUMENT, 'The first line says the name')
    if (this.#talkers.has(name)) throw new GrpcError(status.ALREADY_EXISTS, `${name} is here already`)
    this.#talkers.set(name, unread)
    return name
  }

  #say (line: Line): void {
    for (const unread of this.#talkers.values()) {
      if (!unread.write(line)) unread.destroy(new GrpcError(status.RESOURCE_EXHAUSTED, 'Too many lines are unread'))
    }
  }

  static addToServer (instance: ChatService, server: ServiceRegistrar): void {
    server.implement(Chat, instance)
  }
}

export function buildApp (gateway: GrpcGateway): FastifyInstance {
  const app = Fastify({ logger: { level: 'warn' } })
  const page = readFileSync(new URL('page.html', import.meta.url))
  app.register(websocket, { options: { maxPayload: 64 * 1024 } })
  registerGrpcHttpRoutes(app, [gateway])
  app.get('/', async (_request, reply) => await reply.type('text/html; charset=utf-8').send(page))
  return app
}

if (isMain(import.meta.url)) {
  // EventSource can only GET.
  const gateway = new GrpcGateway({ services: [ticker, ChatService], port: grpcPort, httpMethods: ['GET'], reflection: true })
  const app = buildApp(gateway)
  await gateway.startup()
  await app.listen({ port: httpPort })
  closeOnSignal(app)
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
}
