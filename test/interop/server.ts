/**
 * Serves interop.proto, for clients of other implementations; with `TLS` in the environment over TLS and HTTP/2, with
 * `SINGLE_PORT` on one port.
 */
import { Metadata } from '@grpc/grpc-js'
import {
  GrpcError,
  GrpcGateway,
  implement,
  loadProto,
  status,
  type BidiStreamingMethod,
  type CallContext,
  type ClientStreamingMethod,
  type ErrorDetail,
  type ServerStreamingMethod,
  type UnaryMethod
} from '../../src/index.ts'
import { makeCertificates } from '../../examples/mutual-tls/certificates.ts'
import { grpcPort, httpPort, urlOf } from '../../examples/run.ts'

type Nothing = Record<string, never>
interface Payload { data: Buffer }
interface MetadataEntry { key: string, texts: string[], binaries: Buffer[] }
interface Failure { code: number, details: string, badRequest: object | null }
interface OutcomeRequest { callId: string, waitMs: number }
interface CallOutcome { remainingMs: number, ended: boolean, aborted: boolean, abortedAfterMs: number, abortCode: number }

interface InteropDefinition {
  Echo: UnaryMethod<Payload, Payload>
  EchoRecord: UnaryMethod<object, object>
  EchoEach: BidiStreamingMethod<Payload, Payload>
  EchoMetadata: UnaryMethod<Nothing, { entries: MetadataEntry[] }>
  Fail: UnaryMethod<Failure, Nothing>
  FailLate: ServerStreamingMethod<Failure, Nothing>
  BlockUnary: UnaryMethod<Nothing, Nothing>
  BlockServerStream: ServerStreamingMethod<Nothing, Nothing>
  BlockClientStream: ClientStreamingMethod<Nothing, Nothing>
  BlockBidi: BidiStreamingMethod<Nothing, Nothing>
  SetDraining: UnaryMethod<{ draining: boolean }, Nothing>
  Outcome: UnaryMethod<OutcomeRequest, CallOutcome>
}

const { Interop } = loadProto<{ Interop: InteropDefinition }>(new URL('interop.proto', import.meta.url))

function echoMetadata (context: CallContext): { entries: MetadataEntry[] } {
  const headers = new Metadata()
  const entries = Object.keys(context.metadata.getMap()).filter(key => key.startsWith('echo-')).map(key => {
    const values = context.metadata.get(key)
    for (const value of values) {
      headers.add(key, value)
      context.trailers.add(key, value)
    }
    return { key, texts: values.filter(value => typeof value === 'string'), binaries: values.filter(value => typeof value !== 'string') }
  })
  context.sendHeaders(headers)
  return { entries }
}

function failure ({ code, details, badRequest }: Failure): Error {
  if (code === 0) return new Error(details)
  const metadata = new Metadata()
  metadata.add('failed-by', 'request')
  metadata.add('failed-by', 'design')
  const errorDetails: ErrorDetail[] = badRequest === null ? [] : [{ '@type': 'google.rpc.BadRequest', ...badRequest }]
  return new GrpcError(code, details, { metadata, errorDetails })
}

/** What becomes of a call that blocks. */
class Watch {
  readonly outcome: CallOutcome
  /** Resolves when the handler has come to an end and the signal has aborted. */
  readonly over: Promise<unknown>
  #end = (): void => {}

  constructor (context: CallContext) {
    const start = performance.now()
    const outcome = { remainingMs: Math.min(Math.round(context.timeRemaining()), 2 ** 31 - 1), ended: false, aborted: false, abortedAfterMs: 0, abortCode: 0 }
    const ended = new Promise<void>(resolve => {
      this.#end = () => {
        outcome.ended = true
        resolve()
      }
    })
    const aborted = new Promise<void>(resolve => context.signal.addEventListener('abort', () => {
      const reason: unknown = context.signal.reason
      outcome.aborted = true
      outcome.abortedAfterMs = Math.round(performance.now() - start)
      outcome.abortCode = reason instanceof GrpcError ? reason.code : -1
      resolve()
    }))
    this.outcome = outcome
    this.over = Promise.all([ended, aborted])
  }

  end (): void {
    this.#end()
  }
}

/** Longer than any test. */
const LONGEST_DRAIN_MS = 60_000

const watches = new Map<string, Watch>()

function watch (context: CallContext): Watch {
  const watch = new Watch(context)
  watches.set(String(context.metadata.get('call-id')[0]), watch)
  context.sendHeaders(new Metadata())
  return watch
}

/** Rejects when the signal aborts, and until then is pending. */
function abortion (signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

async function drain (messages: AsyncIterable<unknown>): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]()
  while ((await iterator.next()).done !== true);
}

function sleep (ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

const service = implement(Interop, {
  Echo: payload => payload,

  EchoRecord: record => record,

  EchoEach: payloads => payloads,

  EchoMetadata: (_request, context) => echoMetadata(context),

  Fail (request) {
    throw failure(request)
  },

  async * FailLate (request) {
    yield {}
    throw failure(request)
  },

  async BlockUnary (_request, context) {
    const call = watch(context)
    try {
      return await abortion(context.signal)
    } finally {
      call.end()
    }
  },

  async * BlockServerStream (_request, context) {
    const call = watch(context)
    try {
      yield {}
      await abortion(context.signal)
    } finally {
      call.end()
    }
  },

  // These two wait for messages of the client, not for the signal.
  async BlockClientStream (requests, context) {
    const call = watch(context)
    try {
      await drain(requests)
      return {}
    } finally {
      call.end()
    }
  },

  async * BlockBidi (requests, context) {
    const call = watch(context)
    try {
      yield {}
      await drain(requests)
    } finally {
      call.end()
    }
  },

  SetDraining ({ draining }) {
    if (draining) gateway.drain({ minMs: LONGEST_DRAIN_MS })
    else gateway.undrain()
    return {}
  },

  async Outcome ({ callId, waitMs }, context) {
    const watch = watches.get(callId) ?? context.abort(status.NOT_FOUND, `No call had the id ${callId}`)
    await Promise.race([watch.over, sleep(waitMs)])
    return watch.outcome
  }
})

const { TLS, SINGLE_PORT, CERTIFICATES } = process.env
const gateway = await makeGateway()
// Over TLS, clients choose the version of HTTP.
const app = await gateway.listen(SINGLE_PORT !== undefined ? { singlePort: true } : { port: httpPort, ...(TLS === undefined ? {} : { tls: true, fastify: { http2: true } }) })
console.log(`gRPC ${gateway.address}`)
console.log(`HTTP ${TLS === undefined ? urlOf(app) : urlOf(app).replace('http:', 'https:')}`)

async function makeGateway (): Promise<GrpcGateway> {
  const options = { services: [service], port: grpcPort, reflection: true }
  if (TLS === undefined) return new GrpcGateway(options)
  const { serverKey, serverCert } = await makeCertificates(CERTIFICATES!)
  return new GrpcGateway({ ...options, tls: { key: serverKey, cert: serverCert } })
}
