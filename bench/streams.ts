/** Compares streams over HTTP with what one would write by hand. See README.md. */
import { availableParallelism } from 'node:os'
import { readCommandLine } from './command-line.ts'
import { findPinning, moveToLoad } from './pinning.ts'
import { READINGS, urls } from './readings.ts'
import { report, type Ratio } from './report.ts'
import { startServer, type StreamServerName } from './server-process.ts'
import { download, downloadOverGrpc, upload, type Download, type StreamCall } from './stream-calls.ts'
import { takeTurns, type Running } from './turns.ts'

interface Row {
  readonly letter: string
  readonly title: string
  readonly server: StreamServerName
  readonly call: StreamCall
}

interface StreamCase {
  readonly name: string
  readonly rows: readonly Row[]
  readonly ratios: readonly Ratio[]
}

function downloads (name: string, what: Download): StreamCase {
  return {
    name,
    rows: [
      { letter: 'a', title: 'gateway, NDJSON', server: 'readings-gateway', call: download(what) },
      { letter: 'b', title: 'node:http by hand, batches of 16 KiB', server: 'readings-by-hand', call: download(what) },
      { letter: 'c', title: 'Fastify, reply.send(Readable.from(…))', server: 'readings-fastify', call: download(what) },
      { letter: 'd', title: 'gateway, server-sent events', server: 'readings-gateway', call: download(what, 'text/event-stream') },
      { letter: 'e', title: 'gateway, JSON array', server: 'readings-gateway', call: download(what, 'application/json') },
      { letter: 'f', title: 'grpc-js over gRPC', server: 'readings-grpc-js', call: downloadOverGrpc(what) }
    ],
    ratios: [
      { ours: 'a', other: 'b', of: 'speed', wanted: '≥ 0.75' },
      { ours: 'a', other: 'c', of: 'speed', wanted: '≥ 4' },
      { ours: 'd', other: 'a', of: 'speed', wanted: '≥ 0.8' },
      { ours: 'e', other: 'a', of: 'speed', wanted: '≥ 0.8' },
      { ours: 'a', other: 'f', of: 'speed' }
    ]
  }
}

function uploads (name: string, contentType: 'application/x-ndjson' | 'application/json', byHand: string, wanted?: string): StreamCase {
  return {
    name,
    rows: [
      { letter: 'a', title: 'gateway', server: 'readings-gateway', call: upload(contentType) },
      { letter: 'b', title: byHand, server: 'readings-by-hand', call: upload(contentType) }
    ],
    ratios: [{ ours: 'a', other: 'b', of: 'time', ...wanted === undefined ? {} : { wanted } }]
  }
}

const cases: readonly StreamCase[] = [
  downloads('download', { url: urls.list }),
  downloads('download-sync', { url: urls.listSync }),
  downloads('download-small', { url: urls.list, small: true }),
  uploads('upload-lines', 'application/x-ndjson', 'node:http by hand, split and JSON.parse', '≤ 1.3'),
  uploads('upload-array', 'application/json', 'node:http by hand, one JSON.parse')
]

const CONNECTIONS = 4

const pinning = findPinning()

async function start ({ rows }: StreamCase): Promise<Running[]> {
  return await Promise.all(rows.map(async ({ server: name, title, call }) => {
    const server = await startServer(name, [], pinning)
    const port = server.ports[call.protocol]!
    const length = await verified(call, port, title)
    return { server, load: seconds => load(call, port, length, seconds) } satisfies Running
  }))
}

/** @returns the length of the right answer */
async function verified (call: StreamCall, port: number, title: string): Promise<number> {
  const connection = call.connect(port)
  try {
    const body = await connection.call()
    call.check(body)
    return body.length
  } catch (cause) {
    throw new Error(`${title} answers wrong`, { cause })
  } finally {
    connection.close()
  }
}

/** Counts messages, each call by the length of what came. */
async function load (call: StreamCall, port: number, length: number, seconds: number): Promise<{ count: number, perSecond: number }> {
  const connections = Array.from({ length: CONNECTIONS }, () => call.connect(port))
  const start = performance.now()
  const end = start + seconds * 1000
  let count = 0
  await Promise.all(connections.map(async connection => {
    while (performance.now() < end) {
      const body = await connection.call()
      if (body.length !== length) throw new Error(`An answer has ${body.length} bytes, and not ${length}`)
      count += READINGS
    }
  }))
  const elapsed = performance.now() - start
  for (const connection of connections) connection.close()
  return { count, perSecond: count / elapsed * 1000 }
}

const command = readCommandLine('bench:streams', cases)
if (command !== undefined) {
  const { pace, selected } = command
  console.log([
    `Node ${process.version}, ${availableParallelism()} cores`,
    pinning === undefined ? 'nothing pinned' : 'server on core 0, load on core 1',
    `${READINGS} messages a call, ${CONNECTIONS} calls at once`,
    `${pace.starts} starts, ${pace.rounds} rounds of ${pace.seconds} s each`
  ].join('; '))
  if (pinning !== undefined) moveToLoad(pinning)
  for (const [{ name, rows, ratios }, rounds] of await takeTurns(selected, start, pace)) {
    console.log(`\n${report({ name, unit: 'msg', rows, ratios }, rounds)}`)
  }
}
