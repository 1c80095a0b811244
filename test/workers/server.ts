/**
 * A script that serves by workers, as tests and the rolling restart start it: `server.ts {"workers":2}`. Each process
 * writes lines of JSON: what became of `listen`, and who it is.
 */
import cluster from 'node:cluster'
import { existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { GrpcGateway, implement, type Logger } from '../../src/index.ts'
import { answer, askAll } from '../../src/cluster/ask.ts'
import { Greeter, Kinds, sleep } from '../serving.ts'

export interface ServerOptions {
  workers?: number
  /** Of the gRPC server. */
  port?: number
  host?: string
  http?: number
  /** Workers that are started after this file exists end at once. */
  brokenBy?: string
  singlePort?: boolean
  /** Serve metrics. */
  metrics?: boolean
  /** Shut down when everything listens. */
  shutdown?: boolean
}

const { workers, brokenBy, singlePort = false, shutdown = false, metrics = false, port = 0, host = '127.0.0.1', http = 0 } = JSON.parse(process.argv[2] ?? '{}') as ServerOptions
const say = (line: object): void => { process.stdout.write(`${JSON.stringify({ pid: process.pid, ...line })}\n`) }
const me = String(process.pid)
const log = (fields: object, message: string): void => {
  say({ log: message, at: new Date().toISOString(), ...fields, ...'err' in fields ? { err: String((fields.err as Error).stack) } : {} })
}
const logger: Logger = { debug () {}, info: log, warn: log, error: log, child: () => logger }
if (cluster.isWorker && brokenBy !== undefined && existsSync(brokenBy)) process.exit(4)

const greeter = implement(Greeter, {
  async SayHello ({ name }) {
    if (name === 'crash') process.exit(3)
    if (name === 'wait') {
      log({}, 'waiting')
      await new Promise(() => {})
    }
    if (name.startsWith('ask ')) return { message: JSON.stringify(await askAll(name.slice(4), 300)) }
    return { message: me }
  }
})
const kinds = implement(Kinds, {
  async * ServerStream ({ n }) {
    for (let i = 0; i < Number(n); i++) {
      yield { text: me }
      await sleep(20)
    }
  },
  async * Bidi (notes) { for await (const { text } of notes) yield { text: `${me} ${text}` } }
})

answer('pid', () => process.pid)
answer('silence', () => new Promise(() => {}))
answer('error', () => { throw new Error('No') })

const gateway = new GrpcGateway({ services: [greeter, kinds], ...(singlePort ? {} : { port }), host, logger, telemetry: { prometheus: metrics } })
try {
  const app = await gateway.listen({ port: http, host, workers, singlePort })
  say({ grpc: gateway.port, http: (app?.server.address() as AddressInfo | undefined)?.port ?? 0, primary: app === undefined })
  if (shutdown && cluster.isPrimary) {
    await gateway.shutdown()
    log({}, 'shut down')
    process.exitCode = 7
  }
} catch (error) {
  say({ problem: (error as Error).message, code: (error as { code?: string }).code })
  process.exitCode = 1
}
