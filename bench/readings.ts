/** The messages of the streams that are measured, and the service that sends and takes them. See readings.proto. */
import { packageRoot } from './messages.ts'

export interface Reading {
  readonly sensor: string
  readonly sequence: number
  readonly celsius: number
  readonly valid: boolean
}

/** A request message: how many readings are wanted, and whether they have nothing but a number. */
export interface Query {
  readonly count: number
  readonly small?: boolean
}

export const READINGS = 10_000

export const readingsProto = new URL('bench/readings.proto', packageRoot)
export const READINGS_SERVICE = 'bench.Readings'

/** The routes, on every HTTP server. */
export const urls = {
  list: '/grpc/readings/list',
  listSync: '/grpc/readings/listsync',
  count: '/grpc/readings/count'
} as const

const sensors = Array.from({ length: 100 }, (_, i) => `sensor-${i}`)

/** No field has its default, so that JSON.stringify and ProtoJSON write the same. */
function readingOf (n: number, small: boolean | undefined): Partial<Reading> {
  return small === true ? { sequence: n } : { sensor: sensors[n % sensors.length]!, sequence: n, celsius: n % 40 + 0.5, valid: true }
}

export function * listSync ({ count, small }: Query): Generator<Partial<Reading>> {
  for (let n = 1; n <= count; n++) yield readingOf(n, small)
}

export async function * list ({ count, small }: Query): AsyncGenerator<Partial<Reading>> {
  for (let n = 1; n <= count; n++) yield readingOf(n, small)
}
