/** Spans and metrics of calls, by the SDK of OpenTelemetry. */
import { once } from 'node:events'
import { connect as http2 } from 'node:http2'
import { Metadata, ServerInterceptingCall, ServerListenerBuilder, type ServerDuplexStream, type ServerInterceptor, type ServerReadableStream, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData } from '@grpc/grpc-js'
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { AlwaysOffSampler, BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { contextOf, GrpcError, implement, status, type GatewayOptions, type ServiceRegistrar } from '../src/index.ts'
import { Kinds, KINDS, callOverHttp, recordingLogger, serve, sleep, until, type Kind, type Note, type Served } from './serving.ts'

const exporter = new InMemorySpanExporter()
const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 2 ** 30 })
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }))
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
propagation.setGlobalPropagator(new W3CTraceContextPropagator())
t.teardown(() => reader.shutdown())

const tracer = trace.getTracer('test')

/** A span of what a handler does, as an instrumented library would make one. */
function work (name: string): void {
  tracer.startSpan(name).end()
}

function act (text: string): void {
  if (text === 'fail') throw new GrpcError(status.NOT_FOUND, 'No such note')
  if (text === 'break') throw new Error('Broken')
}

const kinds = implement(Kinds, {
  async Unary ({ text }) {
    await sleep(1)
    work('work')
    act(text)
    return { text }
  },
  async * ServerStream ({ text }) {
    yield { text }
    await sleep(1)
    work('work')
    act(text)
  },
  async ClientStream (notes) {
    let last = ''
    for await (const { text } of notes) last = text
    work('work')
    act(last)
    return {}
  },
  async * Bidi (notes) {
    for await (const { text } of notes) {
      yield { text }
      work('work')
      act(text)
    }
  }
})

type Callback = sendUnaryData<Partial<Note>>

class GrpcJsKinds {
  static addToServer (_instance: GrpcJsKinds, server: ServiceRegistrar): void {
    server.addService(Kinds, {
      Unary: (_call: ServerUnaryCall<Note, Note>, callback: Callback) => setTimeout(() => { work('work'); callback(null, {}) }, 1),
      ServerStream (call: ServerWritableStream<Note, Partial<Note>>) {
        call.write({})
        setTimeout(() => { work('work'); call.end() }, 1)
      },
      ClientStream (call: ServerReadableStream<Note, Note>, callback: Callback) {
        call.on('data', () => {}).on('end', () => { work('work'); callback(null, {}) })
      },
      Bidi (call: ServerDuplexStream<Note, Partial<Note>>) {
        call.on('data', () => { work('work'); call.write({}) }).on('end', () => call.end())
      }
    })
  }
}

interface Traced extends Served {
  callers: Record<'grpc' | 'http' | 'websocket', (kind: Kind, text: string, headers?: Record<string, string>) => Promise<unknown>>
  path: string
}

async function serveTraced (t: Test, options: Partial<GatewayOptions> = {}, { app = Fastify(), path = '/grpc/kinds' } = {}): Promise<Traced> {
  await app.register(import('@fastify/websocket'))
  const served = await serve(t, { services: [kinds], telemetry: { openTelemetry: true }, logger: recordingLogger(), ...options }, { app: app as FastifyInstance })
  const { call } = served.client(Kinds)
  return {
    ...served,
    path,
    callers: {
      grpc: (kind, text, headers = {}) => call(kind, [{ text }], { metadata: metadataOf(headers) }),
      http: (kind, text, headers = {}) => callOverHttp(`${served.url}${path}/${kind.toLowerCase()}`, Kinds[kind], Kinds[kind].requestStream ? [{ text }] : { text }, { headers }),
      async websocket (kind, text, headers = {}) {
        const socket = new WebSocket(`${served.url.replace('http', 'ws')}${path}/${kind.toLowerCase()}`, { headers })
        t.teardown(() => socket.terminate())
        await once(socket, 'open')
        socket.send(JSON.stringify({ text }))
        if (Kinds[kind].requestStream) socket.send(Buffer.alloc(0))
        await once(socket, 'close')
      }
    }
  }
}

function metadataOf (entries: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value)
  return metadata
}

const PROTOCOLS = ['grpc', 'http', 'websocket'] as const
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`

/** The spans that have ended, once there are so many of calls. */
async function spans (calls = 1): Promise<{ calls: ReadableSpan[], others: ReadableSpan[] }> {
  const isOfCall = ({ instrumentationScope, kind }: ReadableSpan): boolean => instrumentationScope.name === 'fastify-grpc-gateway' && kind === SpanKind.SERVER
  const ofCalls = (): ReadableSpan[] => exporter.getFinishedSpans().filter(isOfCall)
  await until(() => ofCalls().length >= calls, 'the spans')
  const found = { calls: ofCalls(), others: exporter.getFinishedSpans().filter(span => !isOfCall(span)) }
  exporter.reset()
  return found
}

t.test('one span for each call, which is active in handlers of every kind and style', async t => {
  for (const services of [[kinds], [GrpcJsKinds]]) {
    const traced = await serveTraced(t, { services }, services[0] === kinds ? {} : { path: '/grpc/grpcjskinds' })
    for (const protocol of PROTOCOLS) {
      for (const kind of KINDS) {
        await traced.callers[protocol](kind, 'fine', { traceparent: TRACEPARENT })
        const { calls: [span, ...more], others } = await spans()
        const name = `${protocol} ${kind}`
        t.equal(more.length, 0, name)
        t.match(span, { name: `test.Kinds/${kind}`, status: { code: SpanStatusCode.UNSET }, parentSpanContext: { traceId: TRACE, spanId: PARENT }, instrumentationScope: { name: 'fastify-grpc-gateway' } }, name)
        t.match(others, [{ name: 'work', parentSpanContext: { traceId: TRACE, spanId: span!.spanContext().spanId } }], name)
      }
    }
  }
})

t.test('attributes are those of the conventions', async t => {
  const traced = await serveTraced(t)
  const { port } = traced.app.server.address() as { port: number }
  const common = { 'rpc.system.name': 'grpc', 'rpc.method': 'test.Kinds/Unary', 'rpc.status_code': 'OK', 'server.address': '127.0.0.1', 'network.peer.address': '127.0.0.1', 'network.peer.port': Number }
  const http = { ...common, 'server.port': port, 'url.scheme': 'http', 'url.path': '/grpc/kinds/unary', 'http.route': '/grpc/kinds/unary', 'network.protocol.version': '1.1', 'client.address': '127.0.0.1', 'user_agent.original': 'tester/1' }
  const expected: Record<typeof PROTOCOLS[number], object> = {
    grpc: { ...common, 'server.port': traced.gateway.port },
    http: { ...http, 'http.request.method': 'POST', 'http.response.status_code': 200 },
    websocket: { ...http, 'http.request.method': 'GET', 'http.response.status_code': 101 }
  }
  for (const protocol of PROTOCOLS) {
    await traced.callers[protocol]('Unary', 'fine', { 'user-agent': 'tester/1' })
    const { calls: [span] } = await spans()
    t.match(span!.attributes, expected[protocol], protocol)
    t.same(Object.keys(span!.attributes).sort(), Object.keys(expected[protocol]).sort(), protocol)
    t.equal(span!.parentSpanContext, undefined)
  }

  const session = http2(`http://${traced.gateway.address}`)
  t.teardown(() => session.destroy())
  const request = session.request({ ':method': 'POST', ':path': '/made.Up/Name', ':authority': '[::1]:1234', 'content-type': 'application/grpc', te: 'trailers' })
  request.end()
  await once(request.resume(), 'close')
  t.match((await spans()).calls, [{ name: 'grpc', attributes: { 'rpc.method': '_OTHER', 'rpc.method_original': 'made.Up/Name', 'rpc.status_code': 'UNIMPLEMENTED', 'server.address': '::1', 'server.port': 1234 } }])
  await traced.request('/grpc/kinds/nothing', { method: 'POST' })
  t.match((await spans()).calls, [{ name: 'grpc', attributes: { 'rpc.method': '_OTHER', 'rpc.status_code': 'NOT_FOUND', 'url.path': '/grpc/kinds/nothing', 'http.response.status_code': 404 }, status: { code: SpanStatusCode.UNSET } }])
  await traced.request('/grpc/kinds/unary', { method: 'POST', headers: { 'content-type': 'text/plain', traceparent: TRACEPARENT }, body: 'x' })
  t.match((await spans()).calls, [{ name: 'test.Kinds/Unary', parentSpanContext: { spanId: PARENT }, attributes: { 'rpc.status_code': 'INVALID_ARGUMENT', 'http.response.status_code': 415 } }])
})

t.test('codes that are failures make the span one, and unexpected errors are recorded', async t => {
  const codes = implement(Kinds, {
    Unary ({ text }) {
      if (text === 'break') throw new TypeError('Broken')
      throw new GrpcError(Number(text), 'Said so')
    }
  })
  const traced = await serveTraced(t, { services: [codes] })
  const failures = ['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS']
  for (const protocol of PROTOCOLS) {
    for (let code = 1; code <= 16; code++) {
      await traced.callers[protocol]('Unary', String(code))
      const { calls: [span] } = await spans()
      const name = status[code]!
      const isFailure = failures.includes(name)
      t.match(span, { attributes: { 'rpc.status_code': name }, status: { code: isFailure ? SpanStatusCode.ERROR : SpanStatusCode.UNSET }, events: [] }, `${protocol} ${name}`)
      t.equal(span!.attributes['error.type'], isFailure ? name : undefined, `${protocol} ${name}`)
    }
    await traced.callers[protocol]('Unary', 'break')
    t.match((await spans()).calls, [{
      attributes: { 'rpc.status_code': 'INTERNAL', 'error.type': 'INTERNAL' },
      status: { code: SpanStatusCode.ERROR },
      events: [{ name: 'exception', attributes: { 'exception.type': 'TypeError', 'exception.message': 'Broken' } }]
    }], protocol)
  }
})

t.test('what cannot be serialized is recorded', async t => {
  const wrong = implement(Kinds, { Unary: () => ({ notes: 7 }) as never })
  const traced = await serveTraced(t, { services: [wrong] })
  for (const protocol of PROTOCOLS) {
    await traced.callers[protocol]('Unary', '')
    const { calls } = await spans()
    t.match(calls, [{ attributes: { 'rpc.status_code': 'INTERNAL' }, events: [{ name: 'exception' }] }], protocol)
  }
})

t.test('interceptors run within the span, and calls that are given up end theirs', async t => {
  const seen: Array<string | undefined> = []
  const watch: ServerInterceptor = (_method, call) => {
    seen.push(trace.getActiveSpan()?.spanContext().spanId)
    return new ServerInterceptingCall(call, {
      start (next) {
        seen.push(trace.getActiveSpan()?.spanContext().spanId)
        next(new ServerListenerBuilder().withOnReceiveMetadata(async (metadata, forward) => {
          await sleep(1)
          seen.push(trace.getActiveSpan()?.spanContext().spanId)
          forward(metadata)
        }).withOnReceiveMessage((message, forward) => {
          seen.push(trace.getActiveSpan()?.spanContext().spanId)
          forward(message)
        }).build())
      }
    })
  }
  const aborted: Array<string | undefined> = []
  const service = implement(Kinds, {
    Unary: async (_note, { signal }) => {
      await new Promise(resolve => signal.addEventListener('abort', resolve))
      aborted.push(trace.getActiveSpan()?.spanContext().spanId)
      return {}
    },
    async * ServerStream ({ text }) { yield { text } }
  })
  const traced = await serveTraced(t, { services: [service], interceptors: [watch] })
  for (const protocol of PROTOCOLS) {
    seen.length = 0
    await traced.callers[protocol]('ServerStream', 'a')
    const { calls: [span] } = await spans()
    t.same(seen, new Array(4).fill(span!.spanContext().spanId), protocol)
  }
  const abort = new AbortController()
  const calls = [
    traced.client(Kinds).call('Unary', {}, { signal: abort.signal }),
    callOverHttp(`${traced.url}/grpc/kinds/unary`, Kinds.Unary, {}, { signal: abort.signal })
  ]
  await until(() => traced.gateway.load.running === 2, 'the calls')
  await sleep(10)
  abort.abort()
  await Promise.all(calls)
  const { calls: ended } = await spans(2)
  t.match(ended, [{ attributes: { 'rpc.status_code': 'CANCELLED' }, status: { code: SpanStatusCode.UNSET } }, { attributes: { 'rpc.status_code': 'CANCELLED' } }])
  await until(() => aborted.length === 2, 'the handlers')
  t.same(aborted.sort(), ended.map(span => span.spanContext().spanId).sort())
})

t.test('calls to others carry the span of the call', async t => {
  const traceparents: unknown[] = []
  const service = implement(Kinds, {
    Unary (_note, context) {
      traceparents.push(context.traceContext)
      return {}
    }
  })
  class Old {
    static addToServer (_instance: Old, server: ServiceRegistrar): void {
      server.addService(Kinds, { Unary: (call: ServerUnaryCall<Note, Note>, callback: Callback) => { traceparents.push(contextOf(call).traceContext); callback(null, {}) } })
    }
  }
  for (const [services, path] of [[[service], '/grpc/kinds'], [[Old], '/grpc/old']] as const) {
    const traced = await serveTraced(t, { services }, { path })
    for (const protocol of PROTOCOLS) {
      traceparents.length = 0
      await traced.callers[protocol]('Unary', '', { traceparent: TRACEPARENT, tracestate: 'a=1' })
      const { calls: [span] } = await spans()
      t.same(traceparents, [{ traceparent: `00-${TRACE}-${span!.spanContext().spanId}-01`, tracestate: 'a=1' }], protocol)
    }
  }
})

t.test('beside @fastify/otel, the call is a part of the request', async t => {
  const app = Fastify()
  await app.register(new FastifyOtelInstrumentation().plugin() as never)
  const traced = await serveTraced(t, {}, { app })
  await traced.callers.http('Unary', 'fine', { traceparent: TRACEPARENT })
  await until(() => exporter.getFinishedSpans().some(({ name }) => name === 'request'), 'the request')
  const { calls: [call, ...more], others } = await spans()
  t.equal(more.length, 0)
  const parents = new Map(others.map(span => [span.spanContext().spanId, span]))
  const path: string[] = []
  for (let span: ReadableSpan | undefined = call; span !== undefined; span = parents.get(span.parentSpanContext?.spanId ?? '')) path.push(span.name)
  t.match(path, ['test.Kinds/Unary', /^handler/, 'request'])
  t.equal(call!.spanContext().traceId, TRACE)
  t.match(others.find(({ name }) => name === 'work'), { parentSpanContext: { spanId: call!.spanContext().spanId } })
})

t.test('durations are measured by the conventions of RPC, and of HTTP', async t => {
  const traced = await serveTraced(t)
  metricExporter.reset()
  for (const protocol of PROTOCOLS) {
    await traced.callers[protocol]('Bidi', 'fine')
    await traced.callers[protocol]('Bidi', 'break')
  }
  await spans(6)
  await reader.forceFlush()
  const { scopeMetrics } = metricExporter.getMetrics().at(-1)!
  const found = scopeMetrics.find(({ scope }) => scope.name === 'fastify-grpc-gateway')!.metrics
  const rpc = found.find(({ descriptor }) => descriptor.name === 'rpc.server.call.duration')!
  t.match(rpc.descriptor, { unit: 's', advice: { explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] } })
  const points = rpc.dataPoints.filter(({ attributes }) => attributes['rpc.method'] === 'test.Kinds/Bidi') as Array<{ attributes: object, value: { count: number, sum: number } }>
  // Other tests have called it too.
  t.match(points.map(({ attributes }) => attributes), [{ 'rpc.system.name': 'grpc', 'rpc.method': 'test.Kinds/Bidi', 'rpc.status_code': 'OK' }, { 'rpc.status_code': 'INTERNAL', 'error.type': 'INTERNAL' }])
  t.ok(points.every(({ value }) => value.count >= 3 && value.sum > 0))
  const http = found.find(({ descriptor }) => descriptor.name === 'http.server.request.duration')!
  t.match(http.dataPoints.filter(({ attributes }) => attributes['http.route'] === '/grpc/kinds/bidi').map(({ attributes }) => attributes), [
    { 'http.request.method': 'POST', 'http.response.status_code': 200, 'url.scheme': 'http', 'network.protocol.version': '1.1' },
    { 'http.request.method': 'GET', 'http.response.status_code': 101 }
  ])
})

t.test('without an SDK the trace of the client goes on, and one that is set up later counts from then on', async t => {
  trace.disable()
  metrics.disable()
  const traceparents: unknown[] = []
  const service = implement(Kinds, {
    Unary (_note, { traceContext }) {
      traceparents.push(traceContext)
      return {}
    }
  })
  const traced = await serveTraced(t, { services: [service] })
  for (const protocol of PROTOCOLS) await traced.callers[protocol]('Unary', '', { traceparent: TRACEPARENT })
  t.same(traceparents, new Array(3).fill({ traceparent: TRACEPARENT }))
  t.same(exporter.getFinishedSpans(), [])

  const lateExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const lateReader = new PeriodicExportingMetricReader({ exporter: lateExporter, exportIntervalMillis: 2 ** 30 })
  t.teardown(() => lateReader.shutdown())
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [lateReader] }))
  for (const protocol of PROTOCOLS) {
    await traced.callers[protocol]('Unary', '', { traceparent: TRACEPARENT })
    t.match((await spans()).calls, [{ name: 'test.Kinds/Unary', parentSpanContext: { traceId: TRACE, spanId: PARENT } }], protocol)
  }
  await lateReader.forceFlush()
  const { metrics: found } = lateExporter.getMetrics().at(-1)!.scopeMetrics.find(({ scope }) => scope.name === 'fastify-grpc-gateway')!
  t.match(found.map(({ dataPoints }) => dataPoints.reduce((sum, { value }) => sum + (value as { count: number }).count, 0)), [3, 2])
})

t.test('of calls that are not recorded, those to others know', async t => {
  trace.disable()
  trace.setGlobalTracerProvider(new BasicTracerProvider({ sampler: new AlwaysOffSampler(), spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  const seen: Array<{ traceparent?: string }> = []
  const active: Array<string | undefined> = []
  const service = implement(Kinds, {
    Unary (_note, { traceContext }) {
      seen.push(traceContext)
      active.push(trace.getActiveSpan()?.spanContext().spanId)
      return {}
    }
  })
  const traced = await serveTraced(t, { services: [service] })
  for (const protocol of PROTOCOLS) await traced.callers[protocol]('Unary', '', { traceparent: TRACEPARENT })
  t.same(seen, active.map(spanId => ({ traceparent: `00-${TRACE}-${spanId}-00` })))
  t.equal(new Set(active).size, 3)
  t.same(exporter.getFinishedSpans(), [])
})
