/** An SDK of OpenTelemetry, whose exporters drop what they get. */
import { context, metrics, propagation, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { AggregationTemporality, MeterProvider, PeriodicExportingMetricReader, type PushMetricExporter } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler, type SpanExporter } from '@opentelemetry/sdk-trace-base'
import type { Sdk } from '../variants.ts'

const SUCCESS = 0

export const dropSpans: SpanExporter = {
  export: (_spans, done) => done({ code: SUCCESS }),
  shutdown: async () => {}
}

export const dropMetrics: PushMetricExporter = {
  export: (_metrics, done) => done({ code: SUCCESS }),
  forceFlush: async () => {},
  shutdown: async () => {},
  selectAggregationTemporality: () => AggregationTemporality.CUMULATIVE
}

export function startSdk ({ ratio, metrics: hasMetrics = false }: Sdk): void {
  if (hasMetrics) metrics.setGlobalMeterProvider(new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter: dropMetrics })] }))
  if (ratio === undefined) return
  trace.setGlobalTracerProvider(new BasicTracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor(dropSpans)]
  }))
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
}

const tracer = trace.getTracer('bench')

/** Runs `step` in a span, as one would by hand. */
export function inSpan<T> (step: () => T): T {
  const parent = context.active()
  const span = tracer.startSpan('by hand', {}, parent)
  const result = context.with(trace.setSpan(parent, span), step)
  span.end()
  return result
}
