/** Servers as processes of their own: started, asked for their CPU time and stopped by the process that measures. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { messages, type Message, type MessageName } from './messages.ts'
import type { Pinning } from './pinning.ts'

/** Of those that answer with a message. */
export type ServerName = 'gateway' | 'route' | 'route-beside-grpc' | 'loopback' | 'grpc-js' | 'telemetry' | 'applications'

/** Of those that stream. */
export type StreamServerName = 'readings-gateway' | 'readings-by-hand' | 'readings-fastify' | 'readings-grpc-js' | 'endless'

/** The ports on which a server listens, on 127.0.0.1. */
export interface Ports {
  readonly http?: number
  readonly grpc?: number
}

/** What a process has used so far. */
export interface Usage {
  /** CPU time in microseconds. */
  readonly cpu: number
  /** Memory that it has now, in bytes: the resident set size. */
  readonly memory: number
  /** What the server counts, where it does. */
  readonly produced: number
}

export interface ServerProcess {
  readonly ports: Ports
  /** @param afterCollection whether garbage is collected first */
  usage (afterCollection?: boolean): Promise<Usage>
  stop (): void
}

/** @param args of its command line */
export async function startServer (server: ServerName | StreamServerName, args: readonly string[], pinning: Pinning | undefined): Promise<ServerProcess> {
  const [execPath = process.execPath, ...execArgv] = pinning === undefined ? [] : [...pinning.server, process.execPath]
  const child = fork(new URL(`./servers/${server}.js`, import.meta.url), args, { execPath, execArgv })
  const ended = once(child, 'exit').then(() => { throw new Error(`The server ${server} has ended`) })
  ended.catch(() => {})
  const told = async (): Promise<unknown> => (await Promise.race([once(child, 'message'), ended]))[0]
  return {
    ports: await told() as Ports,
    usage (afterCollection = false) {
      child.send({ afterCollection })
      return told() as Promise<Usage>
    },
    stop: () => { child.kill() }
  }
}

/** In a server process: the message to serve. */
export function servedMessage (): Message {
  return messages[process.argv[2] as MessageName]
}

/** In a server process: tells that it listens, and answers from then on. */
export function announce (ports: Ports, produced: () => number = () => 0): void {
  process.on('message', ({ afterCollection }: { afterCollection: boolean }) => {
    if (afterCollection) collectGarbage()
    const { user, system } = process.cpuUsage()
    const usage: Usage = { cpu: user + system, memory: process.memoryUsage.rss(), produced: produced() }
    process.send!(usage)
  })
  process.on('disconnect', () => process.exit())
  process.send!(ports)
}

function collectGarbage (): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}
