/** What telemetry takes of a call by itself, without server and network, and what an SDK of OpenTelemetry takes. See README.md. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-base'
import Fastify from 'fastify'
import { packageRoot } from './messages.ts'
import { dropMetrics, dropSpans } from './servers/sdk.ts'

interface Observer {
  messageReceived (): void
  bytesReceived (bytes: number): void
  messageSent (): void
  bytesSent (bytes: number): void
  ended (ending: object): void
}

/** What the package does not export. */
const { startTelemetry } = await import(new URL('dist/telemetry/telemetry.js', packageRoot).href) as {
  startTelemetry: (options: object, log: () => unknown) => { observe: (method: object) => (exchange: object, startedAt: number) => Observer }
}

const CALLS = 1000
const WARMUP = 50
const BATCHES = 200

/** Nanoseconds of the fastest of many batches, which is the one that nothing else on the machine has disturbed. */
function fastest (step: () => void): number {
  let best = Infinity
  for (let batch = -WARMUP; batch < BATCHES; batch++) {
    const start = performance.now()
    for (let i = 0; i < CALLS; i++) step()
    if (batch >= 0) best = Math.min(best, (performance.now() - start) / CALLS * 1e6)
  }
  return best
}

function print (title: string, step: () => void): void {
  console.log(`  ${title.padEnd(52)}${fastest(step).toFixed(0).padStart(6)}`)
}

const exchange = {
  path: '/grpc/greeter/sayhello',
  requestId: () => 'a6b8b7a0-5f0e-4c1e-9d57-000000000001',
  getPeer: () => '127.0.0.1:51234',
  getHost: () => '127.0.0.1:3000',
  header: (name: string) => name === 'user-agent' ? 'bench' : undefined,
  httpMethod: 'POST',
  httpStatus: 200,
  httpVersion: '1.1',
  urlScheme: 'http'
}

function printCall (title: string, options: object): void {
  const observe = startTelemetry(options, () => log).observe({ protocol: 'http', method: { path: '/helloworld.Greeter/SayHello', kind: 'unary' }, route: exchange.path })
  print(title, () => {
    const call = observe(exchange, performance.now())
    call.messageReceived()
    call.bytesReceived(16)
    call.messageSent()
    call.bytesSent(27)
    call.ended({ code: 0 })
  })
}

const { log } = Fastify({ logger: { file: '/dev/null' } })
// It opens its file meanwhile.
await sleep(100)

console.log('of the gateway, by call'.padEnd(54) + 'ns'.padStart(6))
printCall('Prometheus', { prometheus: true })
printCall('access log, stream', { accessLog: { stream: { write () {} } } })
printCall('access log, pino', { accessLog: true })
printCall('OpenTelemetry, no SDK', { openTelemetry: true })

console.log('of others')
print('pino, the same line', () => log.info({ requestId: exchange.requestId(), peer: exchange.getPeer(), durationMs: 0.125, messagesIn: 1, messagesOut: 1, bytesIn: 16, bytesOut: 27, userAgent: 'bench' }, 'call'))
for (const [title, ratio] of [['a span that is not recorded', 0], ['a span that is recorded', 1]] as const) {
  const tracer = new BasicTracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor(dropSpans)]
  }).getTracer('bench')
  print(`SDK, ${title}`, () => tracer.startSpan('bench', {}, ROOT_CONTEXT).end())
  const attributes = { 'rpc.system.name': 'grpc', 'rpc.method': 'helloworld.Greeter/SayHello', 'server.address': '127.0.0.1', 'server.port': 3000 }
  print(`SDK, ${title}, 4 attributes`, () => tracer.startSpan('bench', { kind: SpanKind.SERVER, startTime: performance.now(), attributes }, ROOT_CONTEXT).end(performance.now()))
}
const meter = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter: dropMetrics })] }).getMeter('bench')
const histogram = meter.createHistogram('bench')
const measured = { 'rpc.system.name': 'grpc', 'rpc.method': 'helloworld.Greeter/SayHello', 'rpc.status_code': 'OK' }
print('SDK, a duration by 3 attributes', () => histogram.record(0.001, measured, ROOT_CONTEXT))
const measuredHttp = { 'http.request.method': 'POST', 'url.scheme': 'http', 'network.protocol.version': '1.1', 'http.route': exchange.path, 'http.response.status_code': 200 }
print('SDK, a duration by 5 attributes', () => histogram.record(0.001, measuredHttp, ROOT_CONTEXT))
trace.setGlobalTracerProvider(new BasicTracerProvider({
  sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0) }),
  spanProcessors: [new BatchSpanProcessor(dropSpans)]
}))
console.log('of both')
printCall('OpenTelemetry, SDK, traces that are not recorded', { openTelemetry: true })
