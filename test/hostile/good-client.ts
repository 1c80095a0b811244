/** A client as it should be, on both protocols: how long its calls take, and which go wrong. */
import { Agent, request } from 'node:http'
import { Greeter, grpcClient } from '../serving.ts'
import type { Target } from './attacks.ts'

const LONGEST_CALL_MS = 20_000

export interface Report {
  /** Milliseconds of each call. */
  readonly latencies: number[]
  readonly failures: string[]
}

export interface GoodClient {
  readonly report: Report
  stop (): Promise<Report>
}

/** @param pauseMs between two calls */
export function goodClient ({ http, grpc }: Target, pauseMs: number): GoodClient {
  const report: Report = { latencies: [], failures: [] }
  const agent = new Agent({ keepAlive: true })
  const client = grpcClient(Greeter, `127.0.0.1:${grpc}`)
  const stopping = new AbortController()
  const calls: Array<() => Promise<string>> = [
    () => callOverHttp(http, agent),
    async () => {
      const { code, details, messages } = await client.call('SayHello', { name: 'World' }, { deadline: Date.now() + LONGEST_CALL_MS })
      return code === 0 ? JSON.stringify(messages[0]) : `gRPC ${code} ${details}`
    }
  ]
  const loops = calls.map(async call => {
    while (!stopping.signal.aborted) {
      const begin = performance.now()
      const answer = await call().catch((error: Error) => error.message)
      report.latencies.push(performance.now() - begin)
      if (answer !== '{"message":"Hello, World!"}') report.failures.push(answer)
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
  })
  return {
    report,
    async stop () {
      stopping.abort()
      await Promise.all(loops)
      agent.destroy()
      client.raw.close()
      return report
    }
  }
}

function callOverHttp (port: number, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ port, host: '127.0.0.1', path: '/grpc/test.Greeter/SayHello', method: 'POST', agent, headers: { 'content-type': 'application/json' }, timeout: LONGEST_CALL_MS })
    call.on('response', response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => { text += String(chunk) }).on('end', () => resolve(text)).on('error', reject)
    })
    call.on('timeout', () => call.destroy(new Error('no answer in time'))).on('error', reject).end('{"name":"World"}')
  })
}
