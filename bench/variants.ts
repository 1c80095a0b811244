/** With what a gateway is served to see what that costs. */

export type VariantName = keyof typeof variants

export interface Variant {
  readonly title: string
  /** Lines of the access log, to /dev/null: by a stream of its own, or by pino. */
  readonly accessLog?: 'stream' | 'pino'
  readonly prometheus?: boolean
  readonly openTelemetry?: boolean
  readonly sdk?: Sdk
  /** The handler makes a span of its own, by hand, which is what an SDK takes without the gateway. */
  readonly spansByHand?: boolean
  /** Without limits. */
  readonly isUnlimited?: boolean
}

/** An SDK of OpenTelemetry that the program sets up. */
export interface Sdk {
  /** The part of traces that is recorded; undefined for no traces. */
  readonly ratio?: number
  readonly metrics?: boolean
}

export const variants = {
  off: { title: 'no telemetry' },
  again: { title: 'the same, once more' },
  lines: { title: 'access log, stream', accessLog: 'stream' },
  pino: { title: 'access log, pino', accessLog: 'pino' },
  prometheus: { title: 'Prometheus', prometheus: true },
  both: { title: 'Prometheus and access log, stream', prometheus: true, accessLog: 'stream' },
  'no-sdk': { title: 'OpenTelemetry, no SDK', openTelemetry: true },
  metrics: { title: 'OpenTelemetry, SDK of metrics', openTelemetry: true, sdk: { metrics: true } },
  sampled: { title: 'OpenTelemetry, SDK, 1 % of traces', openTelemetry: true, sdk: { ratio: 0.01 } },
  'sampled-by-hand': { title: 'a span by hand, SDK, 1 % of traces', spansByHand: true, sdk: { ratio: 0.01 } },
  traced: { title: 'OpenTelemetry, SDK, all traces', openTelemetry: true, sdk: { ratio: 1 } },
  'traced-by-hand': { title: 'a span by hand, SDK, all traces', spansByHand: true, sdk: { ratio: 1 } },
  unlimited: { title: 'no telemetry, no limits', isUnlimited: true }
} as const satisfies Record<string, Variant>
