/** What hostile clients do, and what the server has to do about it. */
import { constants } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { setTimeout as sleep } from 'node:timers/promises'
import { dripping, exchange, FLAG, frame, FRAME, grpcHeaders, grpcMessage, headerBlock, opening, openSession, rawConnection, type Answer, type Ended, type RawConnection } from './raw.ts'

/** Ports on 127.0.0.1. */
export interface Target {
  readonly http: number
  readonly grpc: number
  /** gRPC over TLS. */
  readonly grpcTls: number
}

export interface Attack {
  readonly name: string
  /**
   * @param holdMs how long connections are held that are not to be ended
   * @returns what the server has done, in words
   */
  readonly run: (target: Target, holdMs: number) => Promise<string>
  /** What it has to do. */
  readonly expected: RegExp
}

const MIB = 1024 * 1024
const UNARY = '/test.Kinds/Unary'
const UNARY_URL = '/grpc/test.Kinds/Unary'
const DRIP_MS = 100

/** Over HTTP/1.1, what the server answers first: `413`; `ended` when it answers nothing. */
function answered ({ text }: Ended): string {
  return /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 'ended'
}

function told ({ status, grpcStatus, reset }: Answer): string {
  if (reset) return 'reset'
  return grpcStatus === undefined ? `HTTP ${status}` : `gRPC ${grpcStatus}`
}

function post (port: number, body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const all = { host: 'localhost', connection: 'close', 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return rawConnection(port, Buffer.concat([Buffer.from(`POST ${UNARY_URL} HTTP/1.1\r\n${lines}\r\n`, 'latin1'), Buffer.from(body)])).ended.then(answered)
}

function heard ({ socket }: Pick<RawConnection, 'socket'>, event: string): Promise<unknown> {
  return new Promise(resolve => socket.once(event, resolve))
}

/** Many at once, of which the last to end counts. */
async function many (count: number, one: () => Promise<Ended>): Promise<Ended> {
  const all = await Promise.all(Array.from({ length: count }, one))
  return all.reduce((latest, each) => each.ms > latest.ms ? each : latest)
}

function grpc (port: number, body: Iterable<Uint8Array>, headers: Record<string, string> = {}): Promise<string> {
  return exchange(port, { ':path': UNARY, 'content-type': 'application/grpc', te: 'trailers', ...headers }, body).then(told)
}

function * zeros (bytes: number): Generator<Uint8Array> {
  const chunk = Buffer.alloc(64 * 1024)
  for (let sent = 0; sent < bytes; sent += chunk.length) yield chunk
}

/** A gRPC call by frames, whose headers and data are given. */
function byFrames (port: number, headers: ReadonlyArray<readonly [string, string]>, ...frames: Uint8Array[]): RawConnection {
  return rawConnection(port, Buffer.concat([opening(), frame(FRAME.headers, FLAG.endHeaders, 1, headerBlock(headers)), ...frames]))
}

/** The type and stream of each frame that the server has sent. */
function framesIn (text: string): Array<{ type: number, stream: number, payload: Buffer }> {
  const bytes = Buffer.from(text, 'latin1')
  const frames = []
  for (let at = 0; at + 9 <= bytes.length;) {
    const length = bytes.readUIntBE(at, 3)
    frames.push({ type: bytes[at + 3]!, stream: bytes.readUInt32BE(at + 5), payload: bytes.subarray(at + 9, at + 9 + length) })
    at += 9 + length
  }
  return frames
}

/** What a server does about frames within a time: `reset`, `ended` or `answered`; else `nothing`. */
async function reaction ({ socket, ended }: RawConnection, ms = 5000): Promise<string> {
  let text = ''
  const frames = new Promise<string>(resolve => socket.on('data', chunk => {
    text += String(chunk)
    for (const { type, stream } of framesIn(text)) {
      if (type === FRAME.goaway) resolve('ended')
      if (stream === 1 && type === FRAME.resetStream) resolve('reset')
      if (stream === 1 && type === FRAME.headers) resolve('answered')
    }
  }))
  const outcome = await Promise.race([frames, ended.then(() => 'ended'), sleep(ms, 'nothing', { ref: false })])
  socket.destroy()
  return outcome
}

export const attacks: readonly Attack[] = [
  {
    name: 'slow headers over HTTP',
    run: ({ http }) => many(100, () => dripping(rawConnection(http, `POST ${UNARY_URL} HTTP/1.1\r\nhost: localhost\r\nx-slow: `), 'x', DRIP_MS)).then(answered),
    expected: /^(408|ended)$/
  },
  {
    name: 'slow body over HTTP',
    run: ({ http }) => many(100, () => dripping(rawConnection(http, `POST ${UNARY_URL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{"text":"`), 'x', DRIP_MS)).then(answered),
    expected: /^408$/
  },
  {
    name: 'slow stream of requests over HTTP',
    run: ({ http }) => many(50, () => dripping(rawConnection(http, 'POST /grpc/test.Kinds/ClientStream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 100000\r\n\r\n{"text":"'), 'x', DRIP_MS)).then(answered),
    expected: /^(408|504)$/
  },
  {
    name: 'slow preface over gRPC',
    run: ({ grpc }) => many(100, () => dripping(rawConnection(grpc, 'PRI * HT'), '', DRIP_MS)).then(() => 'ended'),
    expected: /^ended$/
  },
  {
    name: 'slow headers over gRPC',
    run: ({ grpc }) => many(100, () => dripping(rawConnection(grpc, Buffer.concat([opening(), frame(FRAME.headers, 0, 1, headerBlock(grpcHeaders(UNARY)))])), frame(FRAME.continuation, 0, 1, headerBlock([['x', 'y']])), DRIP_MS)).then(() => 'ended'),
    expected: /^ended$/
  },
  {
    name: 'slow message over gRPC',
    run: ({ grpc }) => {
      const connection = byFrames(grpc, grpcHeaders(UNARY), frame(FRAME.data, 0, 1, grpcMessage(Buffer.alloc(10), { announced: 100_000 })))
      const timer = setInterval(() => { if (connection.socket.writable) connection.socket.write(frame(FRAME.data, 0, 1, [0])) }, DRIP_MS)
      return reaction(connection, 20_000).finally(() => clearInterval(timer))
    },
    expected: /^(answered|reset|ended)$/
  },
  {
    name: 'rapid reset over gRPC',
    async run ({ grpc }) {
      const block = headerBlock(grpcHeaders(UNARY))
      const connection = rawConnection(grpc, opening())
      const outcome = reaction(connection)
      for (let stream = 3; stream < 40_000 && connection.socket.writable; stream += 2) {
        connection.socket.write(Buffer.concat([frame(FRAME.headers, FLAG.endHeaders, stream, block), frame(FRAME.resetStream, 0, stream, [0, 0, 0, 8])]))
        if (stream % 2000 === 1) await sleep(1)
      }
      return await outcome
    },
    expected: /^ended$/
  },
  {
    name: 'a body of 100 MiB over HTTP',
    run: ({ http }) => {
      const connection = rawConnection(http, `POST ${UNARY_URL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${100 * MIB}\r\n\r\n`)
      return flood(connection, 100 * MIB)
    },
    expected: /^413$/
  },
  {
    name: 'a body without length of 100 MiB over HTTP',
    run: ({ http }) => {
      const connection = rawConnection(http, `POST ${UNARY_URL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${(100 * MIB).toString(16)}\r\n`)
      return flood(connection, 100 * MIB)
    },
    expected: /^413$/
  },
  {
    name: 'a message of 100 MiB over gRPC',
    run: target => grpc(target.grpc, (function * () {
      yield grpcMessage(new Uint8Array(), { announced: 100 * MIB })
      yield * zeros(100 * MIB)
    }())),
    expected: /^(gRPC 8|reset)$/
  },
  {
    name: 'a compressed bomb over gRPC',
    run: target => grpc(target.grpc, [grpcMessage(gzipSync(Buffer.alloc(100 * MIB)), { compressed: true })], { 'grpc-encoding': 'gzip' }),
    expected: /^gRPC 8$/
  },
  {
    name: 'a compressed bomb over HTTP',
    run: ({ http }) => post(http, gzipSync(Buffer.alloc(100 * MIB, ' ')), { 'content-encoding': 'gzip' }),
    expected: /^415$/
  },
  {
    name: 'a million bytes of headers over HTTP',
    run: ({ http }) => post(http, '{}', { 'x-large': 'x'.repeat(1_000_000) }),
    expected: /^(431|ended)$/
  },
  {
    name: 'a million bytes of headers over gRPC',
    run: target => grpc(target.grpc, [grpcMessage(new Uint8Array())], Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-large-${i}`, 'x'.repeat(10_000)]))),
    expected: /^(reset|gRPC 8|HTTP 431)$/
  },
  {
    name: 'a flood of continuation frames over gRPC',
    async run ({ grpc }) {
      const connection = rawConnection(grpc, Buffer.concat([opening(), frame(FRAME.headers, 0, 1, headerBlock(grpcHeaders(UNARY)))]))
      const more = frame(FRAME.continuation, 0, 1, headerBlock([['x-more', 'y'.repeat(4000)]]))
      for (let i = 0; i < 5000 && connection.socket.writable; i++) {
        if (!connection.socket.write(more)) await Promise.race([heard(connection, 'drain'), connection.ended])
      }
      const outcome = await Promise.race([connection.ended.then(() => 'ended'), sleep(5000, 'survived')])
      connection.socket.destroy()
      return outcome
    },
    expected: /^ended$/
  },
  {
    name: 'CR LF in a header over HTTP',
    run: ({ http }) => rawConnection(http, `POST ${UNARY_URL} HTTP/1.1\r\nhost: localhost\r\nx-evil: a\rb\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`).ended.then(answered),
    expected: /^400$/
  },
  {
    name: 'CR LF in metadata over gRPC',
    run: ({ grpc }) => reaction(byFrames(grpc, [...grpcHeaders(UNARY), ['x-evil', 'a\r\nx-injected: b']], frame(FRAME.data, FLAG.endStream, 1, grpcMessage(new Uint8Array())))),
    expected: /^(answered|reset|ended)$/
  },
  {
    name: 'invalid UTF-8 in JSON',
    run: ({ http }) => post(http, Buffer.concat([Buffer.from('{"text":"'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"}')])),
    expected: /^400$/
  },
  {
    name: 'invalid UTF-8 in metadata over gRPC',
    run: ({ grpc }) => reaction(byFrames(grpc, [...grpcHeaders(UNARY), ['x-evil', '\xc3\x28\xff']], frame(FRAME.data, FLAG.endStream, 1, grpcMessage(new Uint8Array())))),
    expected: /^(answered|reset|ended)$/
  },
  {
    name: '__proto__ in JSON',
    run: ({ http }) => post(http, '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
    expected: /^400$/
  },
  {
    name: '__proto__ in a query and in metadata',
    run: ({ http }) => rawConnection(http, 'POST /grpc/test.Kinds/Unary?__proto__.polluted=1 HTTP/1.1\r\nhost: localhost\r\n__proto__: polluted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n').ended.then(answered),
    expected: /^400$/
  },
  {
    name: 'JSON of depth 100,000',
    run: ({ http }) => post(http, '{"notes":['.repeat(100_000)),
    expected: /^400$/
  },
  {
    name: 'a truncated message over gRPC',
    run: target => grpc(target.grpc, [grpcMessage(Buffer.alloc(10), { announced: 100 })]),
    expected: /^gRPC ([1-9]|1\d)$/
  },
  {
    name: 'a message over gRPC that is no protobuf',
    run: target => grpc(target.grpc, [grpcMessage(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]))]),
    expected: /^gRPC ([1-9]|1\d)$/
  },
  {
    name: 'protobuf of depth 100,000',
    run: target => grpc(target.grpc, [grpcMessage(nested(100_000))]),
    expected: /^gRPC ([1-9]|1\d)$/
  },
  {
    name: 'frames of HTTP/2 that are cut off',
    async run ({ grpc }) {
      const { socket, ended } = byFrames(grpc, grpcHeaders(UNARY), frame(FRAME.data, FLAG.endStream, 1, grpcMessage(Buffer.alloc(100))).subarray(0, 40))
      await sleep(50)
      socket.end()
      await ended
      return 'ended'
    },
    expected: /^ended$/
  },
  {
    name: 'a frame larger than HTTP/2 allows',
    run: ({ grpc }) => reaction(rawConnection(grpc, Buffer.concat([opening(), Buffer.from([0xff, 0xff, 0xff, FRAME.data, 0, 0, 0, 0, 1]), Buffer.alloc(MIB)]))),
    expected: /^ended$/
  },
  {
    name: 'a wrong content type over HTTP',
    run: ({ http }) => post(http, 'text=1', { 'content-type': 'application/x-www-form-urlencoded' }),
    expected: /^415$/
  },
  {
    name: 'a wrong content type over gRPC',
    run: ({ grpc }) => exchange(grpc, { ':path': UNARY, 'content-type': 'application/json' }, [Buffer.from('{}')]).then(told),
    expected: /^HTTP 415$/
  },
  {
    name: 'HTTP/1.1 on the gRPC port',
    run: ({ grpc }) => post(grpc, '{}').then(() => 'ended'),
    expected: /^ended$/
  },
  {
    name: 'noise on the HTTP port',
    run: ({ http }) => rawConnection(http, Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 7919) % 256))).ended.then(answered),
    expected: /^(400|ended)$/
  },
  {
    name: 'TLS 1.0',
    run: ({ grpcTls }) => new Promise(resolve => {
      const socket = connectTls({ port: grpcTls, host: '127.0.0.1', rejectUnauthorized: false, minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0', ALPNProtocols: ['h2'] })
      socket.once('secureConnect', () => { resolve(`taken: ${socket.getProtocol()}`); socket.destroy() })
      socket.once('error', () => resolve('refused'))
    }),
    expected: /^refused$/
  },
  {
    name: 'clear text on the TLS port',
    run: ({ grpcTls }) => rawConnection(grpcTls, opening()).ended.then(() => 'ended'),
    expected: /^ended$/
  },
  {
    name: 'pings and settings without end over gRPC',
    async run ({ grpc }) {
      const { socket, ended } = rawConnection(grpc, opening())
      const flood = Buffer.concat(Array.from({ length: 1000 }, () => Buffer.concat([frame(FRAME.ping, 0, 0, Buffer.alloc(8)), frame(FRAME.settings, 0, 0)])))
      socket.pause()
      for (let i = 0; i < 200 && socket.writable; i++) {
        if (!socket.write(flood)) await Promise.race([heard({ socket }, 'drain'), ended, sleep(500)])
      }
      socket.destroy()
      return 'survived'
    },
    expected: /^survived$/
  },
  {
    name: 'clients that never read',
    async run ({ http, grpc }, holdMs) {
      const url = '/grpc/test.Kinds/ServerStream'
      const sockets = Array.from({ length: 20 }, () => {
        const { socket } = rawConnection(http, `POST ${url} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`)
        socket.pause()
        return socket
      })
      const sessions = await Promise.all(Array.from({ length: 20 }, async () => {
        const session = await openSession(grpc)
        const stream = session.request({ ':method': 'POST', ':path': '/test.Kinds/ServerStream', 'content-type': 'application/grpc', te: 'trailers' })
        stream.on('error', () => {})
        stream.end(grpcMessage(new Uint8Array()))
        return session
      }))
      await sleep(holdMs)
      for (const socket of sockets) socket.destroy()
      for (const session of sessions) session.destroy(undefined, constants.NGHTTP2_CANCEL)
      return 'survived'
    },
    expected: /^survived$/
  },
  {
    name: '10,000 idle connections',
    async run ({ http, grpc }, holdMs) {
      const connections = []
      for (let i = 0; i < 100; i++) {
        connections.push(...Array.from({ length: 50 }, () => rawConnection(http, '')), ...Array.from({ length: 50 }, () => rawConnection(grpc, opening())))
        await sleep(10)
      }
      await sleep(holdMs)
      for (const { socket } of connections) socket.destroy()
      return 'survived'
    },
    expected: /^survived$/
  }
]

/** Sends zeros until they are all sent or the server has had enough. */
async function flood ({ socket, ended }: RawConnection, bytes: number): Promise<string> {
  let text = ''
  socket.on('data', chunk => { text += String(chunk) })
  for (const chunk of zeros(bytes)) {
    if (!socket.writable || text !== '') break
    if (!socket.write(chunk)) await Promise.race([heard({ socket }, 'drain'), ended, heard({ socket }, 'data')])
  }
  if (text === '') await Promise.race([heard({ socket }, 'data'), ended])
  socket.destroy()
  return answered({ text, ms: 0 })
}

/** A `Note` in a `Note`, and so on: field 3 of each. */
function nested (depth: number): Buffer {
  const pieces: Buffer[] = []
  let length = 0
  for (let i = 0; i < depth; i++) {
    const header = [0x1a]
    let rest = length
    for (; rest >= 128; rest >>= 7) header.push((rest & 127) | 128)
    header.push(rest)
    pieces.push(Buffer.from(header))
    length += header.length
  }
  return Buffer.concat(pieces.reverse())
}
