/** Connections on which a client can send what no client library would. */
import { connect as connectHttp2, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import { connect, type Socket } from 'node:net'

/** What became of a connection. */
export interface Ended {
  /** What the server has sent, as Latin-1. */
  readonly text: string
  /** Milliseconds from its beginning to its end. */
  readonly ms: number
}

export interface RawConnection {
  readonly socket: Socket
  /** Resolves when the server has ended the connection. */
  readonly ended: Promise<Ended>
}

export function rawConnection (port: number, first: string | Uint8Array): RawConnection {
  const begin = performance.now()
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', chunk => { text += String(chunk) })
  socket.on('error', () => {})
  const ended = new Promise<Ended>(resolve => socket.once('close', () => resolve({ text, ms: performance.now() - begin })))
  socket.write(first)
  return { socket, ended }
}

/** Sends a byte now and then until the server ends the connection. */
export async function dripping ({ socket, ended }: RawConnection, bytes: string | Uint8Array, everyMs: number): Promise<Ended> {
  const timer = setInterval(() => { if (socket.writable) socket.write(bytes) }, everyMs)
  try {
    return await ended
  } finally {
    clearInterval(timer)
  }
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

export const FRAME = { data: 0, headers: 1, resetStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const
export const FLAG = { endStream: 1, endHeaders: 4 } as const

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-4.1 */
export function frame (type: number, flags: number, stream: number, payload: Uint8Array | readonly number[] = []): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, Uint8Array.from(payload)])
}

/** The beginning of an HTTP/2 connection: preface, and settings without any. */
export function opening (): Buffer {
  return Buffer.concat([Buffer.from(PREFACE), frame(FRAME.settings, 0, 0)])
}

/** Header fields as literals without Huffman coding and without names from tables. */
export function headerBlock (headers: ReadonlyArray<readonly [name: string, value: string]>): Buffer {
  return Buffer.concat(headers.map(([name, value]) => Buffer.concat([Buffer.from([0]), literal(name), literal(value)])))
}

/** @see https://www.rfc-editor.org/rfc/rfc7541#section-5 */
function literal (text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const length: number[] = []
  if (bytes.length < 127) {
    length.push(bytes.length)
  } else {
    length.push(127)
    let rest = bytes.length - 127
    for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128)
    length.push(rest)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}

/** Those of a gRPC call. */
export function grpcHeaders (path: string): Array<[name: string, value: string]> {
  return [[':method', 'POST'], [':scheme', 'http'], [':path', path], [':authority', 'localhost'], ['content-type', 'application/grpc'], ['te', 'trailers']]
}

/** A length-prefixed message of gRPC. @param announced the length that the prefix says */
export function grpcMessage (payload: Uint8Array, { compressed = false, announced = payload.length } = {}): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed ? 1 : 0
  prefix.writeUInt32BE(announced, 1)
  return Buffer.concat([prefix, payload])
}

/** What an HTTP/2 server has answered; `reset` when it gave none. */
export interface Answer {
  readonly status: number | undefined
  readonly grpcStatus: number | undefined
  readonly reset: boolean
}

/** One exchange on a session of its own. @param body the chunks of it */
export async function exchange (port: number, headers: OutgoingHttpHeaders, body: Iterable<Uint8Array> = []): Promise<Answer> {
  const session = await openSession(port)
  try {
    return await new Promise<Answer>(resolve => {
      let status: number | undefined
      let grpcStatus: number | undefined
      const stream = session.request({ ':method': 'POST', ...headers })
      stream.on('response', received => {
        status = received[':status']
        grpcStatus ??= numberOf(received['grpc-status'])
      })
      stream.on('trailers', received => { grpcStatus = numberOf(received['grpc-status']) })
      stream.on('error', () => {})
      session.on('close', () => resolve({ status, grpcStatus, reset: status === undefined }))
      stream.on('close', () => resolve({ status, grpcStatus, reset: status === undefined }))
      stream.resume()
      write(body[Symbol.iterator]())

      function write (chunks: Iterator<Uint8Array>): void {
        for (;;) {
          if (stream.destroyed || stream.writableEnded) return
          const { value, done } = chunks.next()
          if (done === true) {
            stream.end()
            return
          }
          if (!stream.write(value)) {
            stream.once('drain', () => write(chunks))
            return
          }
        }
      }
    })
  } finally {
    session.destroy()
  }
}

function numberOf (value: unknown): number | undefined {
  return value === undefined ? undefined : Number(value)
}

export async function openSession (port: number): Promise<ClientHttp2Session> {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { maxSendHeaderBlockLength: 2 ** 24 })
  session.on('error', () => {})
  await new Promise(resolve => session.once('connect', resolve))
  return session
}
