/**
 * Prometheus metrics of calls, by the names of go-grpc-middleware, so that dashboards for it show them too.
 *
 * Counting must cost next to nothing, so each method has its own numbers, and labels and text are made when somebody
 * scrapes.
 *
 * @see https://github.com/grpc-ecosystem/go-grpc-middleware/tree/main/providers/prometheus
 */
import type { Protocol } from '../call/context.ts'
import type { ObservedMethod } from '../call/observer.ts'
import type { Method, MethodKind } from '../schema/service.ts'
import { statusName } from '../status.ts'

/** The part of a registry of prom-client that is used here. */
export interface MetricsRegistry {
  readonly contentType: string
  metrics (): Promise<string>
  getMetricsAsJSON (): Promise<object[]>
  getSingleMetric (name: string): unknown
  registerMetric (metric: never): void
}

type Labels = Readonly<Record<string, string | number>>

interface Value {
  readonly value: number
  readonly labels: Labels
  readonly metricName?: string
}

/** What a registry asks a metric for. */
interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly aggregator: 'sum'
  get (): Omit<Family, 'get' | 'reset'> & { readonly values: readonly Value[] }
  reset (): void
}

const TYPES: Readonly<Record<MethodKind, string>> = {
  unary: 'unary',
  serverStreaming: 'server_stream',
  clientStreaming: 'client_stream',
  bidiStreaming: 'bidi_stream'
}

/** What clients ask for that no method answers shares one label, however many names they make up. */
const UNKNOWN = 'unknown'

const CODES = 17

/** The numbers of one method over one protocol. */
export class MethodMetrics {
  readonly labels: Labels
  readonly #buckets: readonly number[]
  startedCalls = 0
  endedCalls = 0
  messagesIn = 0
  messagesOut = 0
  bytesIn = 0
  bytesOut = 0
  /** By code: how many calls took how long. The last is for those that fit in no bucket. */
  readonly counts: Array<number[] | undefined> = new Array(CODES)
  readonly seconds: number[] = new Array(CODES).fill(0)

  constructor (protocol: Protocol, method: Method | undefined, buckets: readonly number[]) {
    const [service = UNKNOWN, name = UNKNOWN] = method?.path.slice(1).split('/') ?? []
    this.labels = { protocol, grpc_type: method === undefined ? UNKNOWN : TYPES[method.kind], grpc_service: service, grpc_method: name }
    this.#buckets = buckets
  }

  started (): void {
    this.startedCalls++
  }

  messageReceived (): void {
    this.messagesIn++
  }

  bytesReceived (bytes: number): void {
    this.bytesIn += bytes
  }

  messageSent (): void {
    this.messagesOut++
  }

  bytesSent (bytes: number): void {
    this.bytesOut += bytes
  }

  ended (code: number, seconds: number): void {
    this.endedCalls++
    const counts = this.counts[code] ??= new Array<number>(this.#buckets.length + 1).fill(0)
    let i = 0
    while (i < this.#buckets.length && seconds > this.#buckets[i]!) i++
    counts[i]!++
    this.seconds[code]! += seconds
  }

  /** Calls that go on keep counting. */
  reset (): void {
    this.startedCalls -= this.endedCalls
    this.endedCalls = this.messagesIn = this.messagesOut = this.bytesIn = this.bytesOut = 0
    this.counts.fill(undefined)
    this.seconds.fill(0)
  }
}

export class CallMetrics {
  /** Upper bounds in seconds. */
  readonly buckets: readonly number[]
  readonly #known = new Map<Protocol, Map<string | undefined, MethodMetrics>>()
  /** By their names, which a registry that speaks OpenMetrics changes. */
  readonly #families: ReadonlyMap<string, Family>

  constructor (buckets: readonly number[]) {
    this.buckets = buckets
    const count = (name: string, help: string, of: (method: MethodMetrics) => number, type: 'counter' | 'gauge' = 'counter'): Family =>
      this.#family(name, help, type, method => [{ value: of(method), labels: method.labels }])
    const families = [
      count('grpc_server_started_total', 'Calls that have begun.', method => method.startedCalls),
      this.#family('grpc_server_handled_total', 'Calls that have ended, by status code.', 'counter', handled),
      this.#family('grpc_server_handling_seconds', 'How long calls took, from their request to their status. Streams count as a whole.', 'histogram', method => durations(method, buckets)),
      count('grpc_server_in_flight', 'Calls that go on now.', method => method.startedCalls - method.endedCalls, 'gauge'),
      count('grpc_server_msg_received_total', 'Request messages.', method => method.messagesIn),
      count('grpc_server_msg_sent_total', 'Response messages.', method => method.messagesOut),
      count('grpc_server_msg_received_bytes_total', 'Bytes of requests: of messages over gRPC, of bodies over HTTP, of frames over WebSockets.', method => method.bytesIn),
      count('grpc_server_msg_sent_bytes_total', 'Bytes of responses: of messages over gRPC, of bodies with messages over HTTP, of frames over WebSockets.', method => method.bytesOut)
    ]
    this.#families = new Map(families.map(family => [family.name, family]))
  }

  /** Adds the metrics, where the registry has not got them already. */
  register (registry: MetricsRegistry): void {
    for (const [name, family] of this.#families) {
      if (registry.getSingleMetric(name) !== family) registry.registerMetric(family as never)
    }
  }

  of ({ protocol, method }: Pick<ObservedMethod, 'protocol' | 'method'>): MethodMetrics {
    let methods = this.#known.get(protocol)
    if (methods === undefined) this.#known.set(protocol, methods = new Map())
    let metrics = methods.get(method?.path)
    if (metrics === undefined) methods.set(method?.path, metrics = new MethodMetrics(protocol, method, this.buckets))
    return metrics
  }

  #family (name: string, help: string, type: Family['type'], valuesOf: (method: MethodMetrics) => readonly Value[]): Family {
    const all = (): MethodMetrics[] => [...this.#known.values()].flatMap(methods => [...methods.values()])
    return {
      name,
      help,
      type,
      aggregator: 'sum',
      get () {
        return { name: this.name, help, type, aggregator: 'sum', values: all().flatMap(valuesOf) }
      },
      reset () {
        for (const method of all()) method.reset()
      }
    }
  }
}

function handled ({ labels, counts }: MethodMetrics): Value[] {
  return counts.flatMap((ofCode, code) => ofCode === undefined ? [] : [{ value: sum(ofCode), labels: withCode(labels, code) }])
}

function durations ({ labels, counts, seconds }: MethodMetrics, buckets: readonly number[]): Value[] {
  const name = 'grpc_server_handling_seconds'
  return counts.flatMap((ofCode, code) => {
    if (ofCode === undefined) return []
    const own = withCode(labels, code)
    let total = 0
    const values = [...buckets, '+Inf'].map((le, i): Value => {
      total += ofCode[i]!
      return { value: total, labels: { le, ...own }, metricName: `${name}_bucket` }
    })
    return [...values, { value: seconds[code]!, labels: own, metricName: `${name}_sum` }, { value: total, labels: own, metricName: `${name}_count` }]
  })
}

function withCode (labels: Labels, code: number): Labels {
  return { ...labels, grpc_code: statusName(code) }
}

function sum (numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
