/** Calls without pause on both protocols, none of which is repeated by its client when it fails. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Metadata, status as codes, type ClientDuplexStream } from '@grpc/grpc-js'
import { Greeter, grpcClient, Kinds } from '../serving.ts'

export interface Ports { grpc: number, http: number }

export interface Tally {
  calls: number
  /** What became of those that failed. */
  failures: string[]
  /** Of each call, in milliseconds. */
  latencies: number[]
}

export interface Load {
  readonly tallies: Readonly<Record<string, Tally>>
  /** Waits for the calls that are open. */
  stop (): Promise<void>
}

/** @returns what went wrong; undefined when nothing did */
type Call = () => Promise<string | undefined>

/** Between two calls of one client. */
const PAUSE_MS = 15
const CLIENTS = 4
/** A call that has no answer by then has failed. */
const PATIENCE_MS = 20_000
const STREAM_MESSAGES = 25

export function startLoad ({ grpc, http }: Ports): Load {
  const greeter = grpcClient(Greeter, `127.0.0.1:${grpc}`)
  const kinds = grpcClient(Kinds, `127.0.0.1:${grpc}`)
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  const url = `http://127.0.0.1:${http}/grpc/greeter/sayhello`
  const deadline = (): { deadline: number } => ({ deadline: Date.now() + PATIENCE_MS })

  const calls: Record<string, { clients: number, call: Call }> = {
    'gRPC, unary': {
      clients: CLIENTS,
      call: async () => problem(await greeter.call('SayHello', { name: 'World' }, deadline()), 1)
    },
    'gRPC, server stream': {
      clients: 1,
      call: async () => problem(await kinds.call('ServerStream', { n: STREAM_MESSAGES }, deadline()), STREAM_MESSAGES)
    },
    'gRPC, both ways': {
      clients: 1,
      call: () => converse((kinds.raw as unknown as { Bidi (metadata: Metadata, options: object): ClientDuplexStream<object, object> }).Bidi(new Metadata(), deadline()))
    },
    'HTTP, node:http': { clients: CLIENTS, call: () => post(url, agent) },
    'HTTP, fetch': {
      clients: CLIENTS,
      async call () {
        const response = await fetch(url, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' }, signal: AbortSignal.timeout(PATIENCE_MS) })
        return answerProblem(response.status, await response.text())
      }
    },
    'HTTP, server stream': {
      clients: 1,
      async call () {
        const response = await fetch(url.replace('greeter/sayhello', `kinds/serverstream?n=${STREAM_MESSAGES}`), { method: 'POST', signal: AbortSignal.timeout(PATIENCE_MS) })
        const lines = (await response.text()).trim().split('\n')
        return response.status === 200 && lines.length === STREAM_MESSAGES ? undefined : `${response.status}, ${lines.length} messages: ${lines.at(-1)}`
      }
    }
  }

  const end = new AbortController()
  const tallies = Object.fromEntries(Object.keys(calls).map(name => [name, { calls: 0, failures: [], latencies: [] } as Tally]))
  const running = Object.entries(calls).flatMap(([name, { clients, call }]) => Array.from({ length: clients }, () => repeat(call, tallies[name]!, end.signal)))
  return {
    tallies,
    async stop () {
      end.abort()
      await Promise.all(running)
      greeter.raw.close()
      kinds.raw.close()
      agent.destroy()
    }
  }
}

async function repeat (call: Call, tally: Tally, end: AbortSignal): Promise<void> {
  while (!end.aborted) {
    const start = performance.now()
    const failure = await call().catch((error: Error & { cause?: unknown }) => `${error.message} ${String(error.cause ?? '')}`)
    tally.calls++
    tally.latencies.push(performance.now() - start)
    if (failure !== undefined) tally.failures.push(`${new Date().toISOString()} ${failure}`)
    await sleep(PAUSE_MS)
  }
}

function problem ({ code, details, messages }: { code: number, details: string, messages: unknown[] }, expected: number): string | undefined {
  return code === codes.OK && messages.length === expected ? undefined : `${codes[code]} ${details}, ${messages.length} messages`
}

/** Each message is sent when the one before has been answered. */
async function converse (call: ClientDuplexStream<object, object>): Promise<string | undefined> {
  let count = 0
  return await new Promise(resolve => {
    const next = (): void => { call.write({ text: String(count) }) }
    call.on('data', () => {
      if (++count === 10) call.end()
      else setTimeout(next, 20)
    })
    call.on('error', () => {})
    call.on('status', ({ code, details }) => resolve(code === codes.OK && count === 10 ? undefined : `${codes[code]} ${details}, ${count} messages`))
    next()
  })
}

function post (url: string, agent: Agent): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent, headers: { 'content-type': 'application/json' }, signal: AbortSignal.timeout(PATIENCE_MS) }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => { text += chunk })
      response.on('error', reject)
      response.on('end', () => resolve(answerProblem(response.statusCode!, text)))
    })
    sent.on('error', reject)
    sent.end('{}')
  })
}

function answerProblem (status: number, text: string): string | undefined {
  return status === 200 && text.startsWith('{"message":') ? undefined : `${status} ${text}`
}
