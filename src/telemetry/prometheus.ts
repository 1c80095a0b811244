/** Metrics for Prometheus: the registry that holds them, and the route that serves them. */
import { answer, askAll } from '../cluster/ask.ts'
import { isWorker } from '../cluster/channel.ts'
import { configurationErrors } from '../errors.ts'
import { CallMetrics, type MetricsRegistry } from './call-metrics.ts'
import { optionalPackage } from './optional-package.ts'

export interface PrometheusOptions {
  /**
   * The path of the metrics, under the prefix with which the gateway is registered, without its base path. A path that
   * the app has a route for is left to it; `false` for no route. Default `/metrics`.
   */
  path?: string | false | undefined
  /** A registry of prom-client. Default its global one, `register`. */
  registry?: MetricsRegistry | undefined
  /** The upper bounds of the buckets of durations, in seconds. Default 0.001 to 600. */
  buckets?: readonly number[] | undefined
  /** Add prom-client's metrics of the process, such as CPU, memory and event loop. Default false. */
  defaultMetrics?: boolean | undefined
}

/** Those that are usual, and some for calls that take less than a network, and for streams. */
const DEFAULT_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600]

const DEFAULT_METRIC = 'process_cpu_user_seconds_total'

/** How long other workers may take to tell their metrics, in milliseconds. */
const PATIENCE_MS = 2000

/** What is made of a registry, once: several gateways may share it. */
interface Source {
  readonly metrics: CallMetrics
  scrape (): Promise<Exposition>
}

const sources = new WeakMap<MetricsRegistry, Source>()

/** Where metrics are to be found over HTTP. */
export interface MetricsRoute {
  /** `/metrics` */
  readonly path: string
  scrape (): Promise<Exposition>
}

export interface Exposition {
  readonly contentType: string
  readonly text: string
}

export interface Prometheus {
  readonly metrics: CallMetrics
  /** Undefined where there is none. */
  readonly route: MetricsRoute | undefined
}

/** @throws FGG_ERR_TELEMETRY when prom-client is not installed, FGG_ERR_OPTION when gateways of one registry have different buckets */
export function prometheus (options: PrometheusOptions): Prometheus {
  const { path = '/metrics', defaultMetrics = false, buckets } = options
  const registry = options.registry ?? promClient().register
  if (defaultMetrics && registry.getSingleMetric(DEFAULT_METRIC) === undefined) promClient().collectDefaultMetrics({ register: registry })
  const source = sources.get(registry) ?? { metrics: new CallMetrics(buckets ?? DEFAULT_BUCKETS), scrape: scraper(registry) }
  const { metrics, scrape } = source
  if (buckets !== undefined && buckets.join() !== metrics.buckets.join()) {
    throw new configurationErrors.FGG_ERR_OPTION('telemetry', 'is wrong: `prometheus.buckets` differ from those of another gateway with the same registry')
  }
  sources.set(registry, source)
  metrics.register(registry)
  return { metrics, route: path === false ? undefined : { path, scrape } }
}

/** How many registries this process has. Workers run the same program, so that theirs are numbered alike. */
let count = 0

/** Among workers, whichever is scraped tells the sum of all. */
function scraper (registry: MetricsRegistry): () => Promise<Exposition> {
  if (!isWorker()) return async () => ({ contentType: registry.contentType, text: await registry.metrics() })
  const topic = `metrics ${++count}`
  answer(topic, () => registry.getMetricsAsJSON())
  return async () => {
    const { contentType } = registry
    const parts = await askAll(topic, PATIENCE_MS)
    return { contentType, text: await promClient().AggregatorRegistry.aggregate(parts, contentType).metrics() }
  }
}

interface PromClient {
  readonly register: MetricsRegistry
  readonly AggregatorRegistry: { aggregate (parts: readonly unknown[], contentType: string): MetricsRegistry }
  collectDefaultMetrics (options: { register: MetricsRegistry }): void
}

function promClient (): PromClient {
  return optionalPackage('prom-client', 'Metrics for Prometheus need') as PromClient
}
