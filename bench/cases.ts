/** What is compared with what. */
import type { MessageName } from './messages.ts'
import type { ServerName } from './server-process.ts'

export type Protocol = 'http' | 'grpc'

/** A server under load. */
export interface Row {
  readonly letter: string
  readonly server: ServerName
  readonly title: string
}

/** Rows that answer the same requests. */
export interface Case {
  readonly name: string
  readonly message: MessageName
  readonly protocol: Protocol
  /** The first is the gateway; the ratios are to each of the others. */
  readonly rows: readonly [Row, ...Row[]]
}

const rows: Readonly<Record<Protocol, Case['rows']>> = {
  http: [
    { letter: 'a', server: 'gateway', title: 'gateway, HTTP' },
    { letter: 'b', server: 'route', title: 'Fastify route by hand, no schema' },
    { letter: 'f', server: 'route-beside-grpc', title: 'the same, in a process that serves gRPC too' },
    { letter: 'c', server: 'loopback', title: 'Fastify route → grpc-js client → grpc-js server' }
  ],
  grpc: [
    { letter: 'd', server: 'gateway', title: 'gateway, gRPC' },
    { letter: 'e', server: 'grpc-js', title: 'grpc-js server with proto-loader' }
  ]
}

export const cases: readonly Case[] = (['hello', 'medium'] as const).flatMap(message =>
  (['http', 'grpc'] as const).map(protocol => ({ name: `${message}-${protocol}`, message, protocol, rows: rows[protocol] })))
