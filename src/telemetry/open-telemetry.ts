/** The API of OpenTelemetry, whose SDK the program brings, and what is measured by it. */
import type { Histogram, MeterProvider, Tracer, TracerProvider } from '@opentelemetry/api'
import { optionalPackage } from './optional-package.ts'

type Api = typeof import('@opentelemetry/api')

/** Of the instrumentation. */
const SCOPE = 'fastify-grpc-gateway'

/** What the conventions give durations, in seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

/** Undefined where there is no SDK of metrics. */
interface Durations {
  readonly rpc: Histogram | undefined
  readonly http: Histogram | undefined
}

/** What is looked up in the API for each call is what an SDK may change: those that are set up late count too. */
export class OpenTelemetry {
  readonly api: Api
  #tracerProvider: TracerProvider | undefined
  #tracer: Tracer | undefined
  #meterProvider: MeterProvider | undefined
  #durations: Durations = { rpc: undefined, http: undefined }

  /** @throws FGG_ERR_TELEMETRY when @opentelemetry/api is not installed */
  constructor () {
    this.api = optionalPackage('@opentelemetry/api', 'OpenTelemetry needs') as Api
  }

  /** Undefined where there is no SDK of traces. */
  get tracer (): Tracer | undefined {
    const { trace, ProxyTracerProvider } = this.api
    const provider = trace.getTracerProvider()
    if (provider === this.#tracerProvider && this.#tracer !== undefined) return this.#tracer
    this.#tracerProvider = provider
    this.#tracer = provider instanceof ProxyTracerProvider ? provider.getDelegateTracer(SCOPE) : provider.getTracer(SCOPE)
    return this.#tracer
  }

  get durations (): Durations {
    const { metrics, createNoopMeter } = this.api
    const provider = metrics.getMeterProvider()
    if (provider === this.#meterProvider) return this.#durations
    const meter = provider.getMeter(SCOPE)
    const isNoop = meter === createNoopMeter()
    const measured = (name: string, description: string): Histogram | undefined =>
      isNoop ? undefined : meter.createHistogram(name, { unit: 's', advice: { explicitBucketBoundaries: BUCKETS }, description })
    this.#meterProvider = provider
    this.#durations = {
      rpc: measured('rpc.server.call.duration', 'Measures the duration of an incoming Remote Procedure Call (RPC).'),
      http: measured('http.server.request.duration', 'Duration of HTTP server requests.')
    }
    return this.#durations
  }
}
