/** Calls that stream, one after the other on a connection, and the checks of what comes back. */
import assert from 'node:assert/strict'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:http2'
import { callOverHttp2 } from './http2-call.ts'
import { listSync, READINGS, READINGS_SERVICE, readingsProto, urls, type Query, type Reading } from './readings.ts'
import { loadService } from './servers/start-grpc-js.ts'
import { framed } from './target.ts'

/** A client with one connection. */
export interface Connection {
  /** @returns the body of the response */
  call (): Promise<Buffer>
  close (): void
}

/** What is called in one row. */
export interface StreamCall {
  readonly protocol: 'http' | 'grpc'
  connect (port: number): Connection
  /** @throws when the answer is not the right one */
  check (body: Buffer): void
}

type Readings = ReadonlyArray<Partial<Reading>>

const readings: Readings = [...listSync({ count: READINGS })]
const linesOf = (messages: Readings): string => messages.map(message => `${JSON.stringify(message)}\n`).join('')

/** What a download asks for: which of the streams, and which messages. */
export interface Download {
  readonly url: typeof urls.list | typeof urls.listSync
  readonly small?: boolean
}

const queryOf = ({ small = false }: Download): Query => ({ count: READINGS, small })

const checks = {
  'application/x-ndjson': (text: string, readings: Readings) => assert.equal(text, linesOf(readings)),
  'application/json': (text: string, readings: Readings) => assert.equal(text, JSON.stringify(readings)),
  'text/event-stream' (text: string, readings: Readings) {
    const events = text.split('\n\n').slice(0, -1)
    assert.match(events.pop()!, /^event: end\ndata: \{"code":0/)
    assert.deepEqual(events, readings.map((reading, i) => `id: ${i + 1}\ndata: ${JSON.stringify(reading)}`))
  }
}

export function download (what: Download, accept: keyof typeof checks = 'application/x-ndjson'): StreamCall {
  return {
    protocol: 'http',
    connect: port => overHttp(port, what.url, { 'content-type': 'application/json', accept }, JSON.stringify(queryOf(what))),
    check: body => checks[accept](body.toString(), [...listSync(queryOf(what))])
  }
}

export function upload (contentType: 'application/x-ndjson' | 'application/json'): StreamCall {
  return {
    protocol: 'http',
    connect: port => overHttp(port, urls.count, { 'content-type': contentType }, contentType === 'application/json' ? JSON.stringify(readings) : linesOf(readings)),
    check: body => assert.deepEqual(JSON.parse(body.toString()), { count: READINGS })
  }
}

export function downloadOverGrpc (what: Download): StreamCall {
  const { service } = loadService({ proto: readingsProto, service: READINGS_SERVICE }, {})
  const { path, requestSerialize, responseSerialize } = service[what.url === urls.list ? 'List' : 'ListSync']!
  return {
    protocol: 'grpc',
    connect (port) {
      const session = connect(`http://127.0.0.1:${port}`)
      const query = queryOf(what)
      return {
        call: () => callOverHttp2(session, path, framed(requestSerialize(query))),
        close: () => session.close()
      }
    },
    check: body => assert.deepEqual(body, Buffer.concat([...listSync(queryOf(what))].map(reading => framed(responseSerialize(reading)))))
  }
}

function overHttp (port: number, path: string, headers: Readonly<Record<string, string>>, text: string): Connection {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const body = Buffer.from(text)
  const options = { agent, host: '127.0.0.1', port, path, method: 'POST', headers: { ...headers, 'content-length': body.length } }
  return {
    call: () => new Promise((resolve, reject) => {
      const request = httpRequest(options, (response: IncomingMessage) => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('end', () => response.statusCode === 200 ? resolve(Buffer.concat(chunks)) : reject(new Error(`${path} answers ${response.statusCode}`)))
        response.on('error', reject)
      })
      request.on('error', reject)
      request.end(body)
    }),
    close: () => agent.destroy()
  }
}
