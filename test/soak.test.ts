/** Ten thousand failing calls on each protocol leave the process as it was. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { status as codes } from '@grpc/grpc-js'
import Fastify from 'fastify'
import t from 'tap'
import { GrpcError, implement, status, type Logger } from '../src/index.ts'
import { Kinds, KINDS, serve, type Note, type Served } from './serving.ts'

const silentLogger: Logger = { debug () {}, info () {}, warn () {}, error () {}, child: () => silentLogger }

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const CALLS = 10_000
const AT_ONCE = 50

/** By its number, each call fails in another way. */
const waysToFail: Array<(note: Note) => unknown> = [
  () => { throw new Error('sync') },
  async () => { throw new Error('async') },
  // eslint-disable-next-line prefer-promise-reject-errors
  () => Promise.reject('a string'),
  () => { throw undefined }, // eslint-disable-line no-throw-literal
  () => 'no message',
  () => ({ notes: 'no list' }),
  () => { throw new GrpcError(status.ABORTED, 'on purpose', { errorDetails: [{ '@type': 'google.rpc.ErrorInfo', reason: 'R' }] }) },
  () => { throw new GrpcError(status.ABORTED, 'bad detail', { errorDetails: [{ '@type': 'nope' }] }) },
  note => note
]

function wayOf ({ n }: Note): (note: Note) => unknown {
  return waysToFail[Number(n) % waysToFail.length]!
}

const service = implement(Kinds, {
  Unary: note => wayOf(note)(note) as Note,
  async * ServerStream (note) {
    yield note
    yield await wayOf(note)(note) as Note
  },
  async ClientStream (notes) {
    for await (const note of notes) return await wayOf(note)(note) as Note // eslint-disable-line no-unreachable-loop
    return {}
  },
  async * Bidi (notes) {
    for await (const note of notes) yield await wayOf(note)(note) as Note
  }
})

async function many (call: (n: number) => Promise<unknown>): Promise<void> {
  let n = 0
  const worker = async (): Promise<void> => { while (n < CALLS) await call(n++) }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

const overGrpc = ({ client }: Served) => {
  const kinds = client(Kinds)
  return (n: number) => kinds.call(KINDS[n % KINDS.length]!, [{ n: String(n) }])
}
const overHttp = ({ app }: Served) => (n: number) => app.inject({ method: 'POST', url: '/grpc/kinds/unary', payload: { n: String(n) } })

for (const [protocol, caller] of Object.entries({ gRPC: overGrpc, HTTP: overHttp })) {
  t.test(`${CALLS} failing calls over ${protocol} leave no listener, memory or warning behind`, async t => {
    const warnings: Error[] = []
    const onWarning = (warning: Error): void => { warnings.push(warning) }
    process.on('warning', onWarning)
    t.teardown(() => process.off('warning', onWarning))

    const served = await serve(t, { services: [service], logger: silentLogger }, { app: Fastify() })
    const call = caller(served)
    const listeners = (): number[] => [process, served.app.server].map(emitter => emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name as string), 0))

    for (let n = 0; n < 500; n++) await call(n)
    collectGarbage()
    const before = { heap: process.memoryUsage().heapUsed, listeners: listeners() }
    await many(call)
    collectGarbage()
    const grown = process.memoryUsage().heapUsed - before.heap

    t.same(warnings, [])
    t.same(listeners(), before.listeners)
    t.ok(grown < 5e6, `the heap grew by ${Math.round(grown / 1000)} kB`)
    const last = await served.client(Kinds).call('Unary', { n: '8', text: 'alive' })
    t.match(last, { code: codes.OK, messages: [{ text: 'alive' }] })
  })
}
