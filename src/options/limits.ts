/** What a client may ask of a gateway: sizes, numbers and times. */
import { Admission, CallLimit } from '../call/admission.ts'
import type { CallTimes } from '../call/call-times.ts'
import { LONGEST_TIMER } from '../call/deadline.ts'
import type { Method } from '../schema/service.ts'
import { isWhole, oneOf } from './checks.ts'

/** What can differ from method to method. */
export interface CallLimits {
  /**
   * How many calls may run at once, on all protocols together: of the gateway, of all methods of a service
   * (`methods: { 'pkg.Service.*': … }`), or of a method. Each of the three counts. 0 for no limit. Default 10,000 for
   * the gateway, none for services and methods.
   */
  concurrentCalls?: number | undefined
  /**
   * How many calls above `concurrentCalls` may wait for their turn, in the order in which they come. Others get
   * RESOURCE_EXHAUSTED at once: 429 over HTTP. Default 0.
   */
  queuedCalls?: number | undefined
  /**
   * How long a stream may be without a message either way, in milliseconds; then its call ends with DEADLINE_EXCEEDED.
   * Heartbeats, and bytes that make no whole message, do not count. A client has as long to take the response of a
   * unary call over gRPC. That of the gateway is also how long any client may take nothing of what is left of a response
   * whose call is over, or leave a connection open that the server has ended. 0 for no limit. Default 300,000: 5 minutes.
   */
  streamIdleMs?: number | undefined
  /** How long a stream may be open, in milliseconds; then its call ends with DEADLINE_EXCEEDED. 0 for no limit. Default 86,400,000: a day. */
  streamLifeMs?: number | undefined
}

export interface LimitOptions extends CallLimits {
  /** The largest request message, in bytes: of protobuf over gRPC, of JSON over HTTP. Default 4 MiB. */
  messageBytes?: number | undefined
  /**
   * The largest response message, in bytes: of protobuf over gRPC, of JSON over HTTP. 0 for no limit. Default 64 MiB.
   */
  responseBytes?: number | undefined
  /**
   * The largest body of an HTTP request, in bytes: all messages of an upload together. 0 for no limit but that of each
   * message. Default 0.
   */
  bodyBytes?: number | undefined
  /**
   * The most bytes that the headers of a request may have: over gRPC, and on the app that `listen` makes. Over HTTP/2
   * each header counts for 32 bytes more than it has. Default 16 KiB.
   */
  headerBytes?: number | undefined
  /**
   * When clients that are refused because of `concurrentCalls` may come again, in milliseconds: the header
   * `retry-after`, rounded up to seconds, `grpc-retry-pushback-ms` and `google.rpc.RetryInfo`. 0 to say nothing about
   * it. Default 1,000.
   */
  retryAfterMs?: number | undefined
  /**
   * How long a request with one message may take to arrive, in milliseconds: then its call ends with
   * DEADLINE_EXCEEDED, 408 over HTTP. 0 for no limit. Default 30,000.
   */
  requestMs?: number | undefined
  /**
   * How old a connection may become, in milliseconds: then its client is asked to use another, by `connection: close`
   * or GOAWAY, and open calls go on. So load balancers get to spread long-lived clients anew. 0 for no limit. Default
   * 3,600,000: an hour.
   */
  connectionAgeMs?: number | undefined
  /**
   * How long a connection may be without a call, in milliseconds; then it is closed. For HTTP on the app that `listen`
   * makes. 0 for no limit. Default 300,000: 5 minutes.
   */
  connectionIdleMs?: number | undefined
  /**
   * How many calls a client may have open on one connection: of gRPC, and of HTTP/2 on the app that `listen` makes. More
   * wait at the client. 0 for no limit. Default 100.
   */
  streamsPerConnection?: number | undefined
  /**
   * How often a gRPC client is pinged, in milliseconds: one that does not answer within 20 s is gone. 0 for never.
   * Default 60,000.
   */
  keepaliveMs?: number | undefined
}

/** Limits with their defaults. */
export type Limits = { readonly [K in keyof LimitOptions]-?: NonNullable<LimitOptions[K]> }

export const DEFAULT_LIMITS: Limits = {
  messageBytes: 4 * 1024 * 1024,
  responseBytes: 64 * 1024 * 1024,
  bodyBytes: 0,
  headerBytes: 16 * 1024,
  concurrentCalls: 10_000,
  queuedCalls: 0,
  retryAfterMs: 1000,
  requestMs: 30_000,
  streamIdleMs: 300_000,
  streamLifeMs: 86_400_000,
  connectionAgeMs: 3_600_000,
  connectionIdleMs: 300_000,
  streamsPerConnection: 100,
  keepaliveMs: 60_000
}

const CALL_LIMITS: ReadonlyArray<keyof CallLimits> = ['concurrentCalls', 'queuedCalls', 'streamIdleMs', 'streamLifeMs']

/** Those without which nothing would work, or anything. */
const NEVER_NONE: ReadonlySet<string> = new Set(['messageBytes', 'headerBytes'])

export function checkLimits (value: Record<string, unknown>): string | undefined {
  return checkMembers(value, Object.keys(DEFAULT_LIMITS)) ?? checkQueue(limitsWithDefaults(value))
}

/** Of a method or a service. */
export function checkCallLimits (value: Record<string, unknown>): string | undefined {
  return checkMembers(value, CALL_LIMITS) ?? checkQueue(value)
}

function checkMembers (value: Record<string, unknown>, names: readonly string[]): string | undefined {
  const problem = oneOf(value, Object.fromEntries(names.map(name => [name, 'number'])))
  if (problem !== undefined) return problem
  for (const [name, limit] of Object.entries(value)) {
    const least = NEVER_NONE.has(name) ? 1 : 0
    const most = name.endsWith('Ms') ? LONGEST_TIMER : Number.MAX_SAFE_INTEGER
    if (limit !== undefined && !isWhole(limit, least, most)) return `is wrong: \`${name}\` must be a whole number, ${least} to ${most}`
  }
  return undefined
}

/** Nobody waits where there is no limit. */
function checkQueue ({ concurrentCalls, queuedCalls = 0 }: CallLimits): string | undefined {
  return queuedCalls > 0 && (concurrentCalls ?? 0) === 0 ? 'is wrong: `queuedCalls` has no effect without `concurrentCalls`' : undefined
}

export function limitsWithDefaults (limits: LimitOptions = {}): Limits {
  return { ...DEFAULT_LIMITS, ...given(limits) }
}

function given (limits: LimitOptions = {}): Partial<Limits> {
  return Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined))
}

interface Limited {
  readonly limits: Limits
  readonly methods?: Readonly<Record<string, { readonly limits?: CallLimits | undefined }>> | undefined
}

/** How often calls are looked at, at least and at most, in milliseconds. */
const LEAST_LOOK_MS = 10
const MOST_LOOK_MS = 1000
/** How many looks there are within a limit. */
const LOOKS = 10

/** How often it is looked for calls that take too long, in milliseconds; 0 for never. */
export function lookMs ({ limits, methods = {} }: Limited): number {
  const all = [limits, ...Object.values(methods).map(({ limits }) => limits ?? {})] as LimitOptions[]
  const times = all.flatMap(({ requestMs, streamIdleMs, streamLifeMs }) => [requestMs, streamIdleMs, streamLifeMs]).filter(ms => ms !== undefined && ms > 0) as number[]
  return times.length === 0 ? 0 : Math.max(LEAST_LOOK_MS, Math.min(MOST_LOOK_MS, ...times.map(ms => Math.floor(ms / LOOKS))))
}

/** What holds for the calls of one method. */
export function callTimes ({ limits, methods = {} }: Limited, { fullName }: Method): CallTimes {
  const { requestMs, streamIdleMs, streamLifeMs } = limitsWithDefaults({ ...limits, ...given(methods[serviceOf(fullName)]?.limits), ...given(methods[fullName]?.limits) })
  return { requestMs: orInfinity(requestMs), idleMs: orInfinity(streamIdleMs), lifeMs: orInfinity(streamLifeMs) }
}

/** 0 stands for no limit. */
export function orInfinity (limit: number): number {
  return limit === 0 ? Infinity : limit
}

/** The name by which settings for all methods of a service go. */
function serviceOf (fullName: string): string {
  return `${fullName.slice(0, fullName.lastIndexOf('.'))}.*`
}

/** The limits of all calls of a gateway: of itself, its services and its methods. */
export class Admissions {
  readonly #options: Limited
  readonly #ofGateway: CallLimit | undefined
  readonly #ofServices = new Map<string, CallLimit | undefined>()
  readonly #all: CallLimit[] = []

  constructor (options: Limited) {
    this.#options = options
    this.#ofGateway = this.#limit(options.limits)
  }

  /** How many calls wait. */
  get waiting (): number {
    return this.#all.reduce((sum, limit) => sum + limit.waiting, 0)
  }

  /** To be called once for each method. */
  of ({ fullName }: Method): Admission {
    const { methods = {} } = this.#options
    const service = serviceOf(fullName)
    if (!this.#ofServices.has(service)) this.#ofServices.set(service, this.#limit(methods[service]?.limits))
    const limits = [this.#limit(methods[fullName]?.limits), this.#ofServices.get(service), this.#ofGateway]
    return new Admission(limits.filter(limit => limit !== undefined))
  }

  #limit ({ concurrentCalls = 0, queuedCalls = 0 }: CallLimits = {}): CallLimit | undefined {
    if (concurrentCalls === 0) return undefined
    const limit = new CallLimit(concurrentCalls, queuedCalls, this.#options.limits.retryAfterMs)
    this.#all.push(limit)
    return limit
  }
}
