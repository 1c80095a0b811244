/** Servers as processes of their own: started, asked for their CPU time and stopped by the process that measures. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { messages, type Message, type MessageName } from './messages.ts'
import type { Pinning } from './pinning.ts'

export type ServerName = 'gateway' | 'route' | 'route-beside-grpc' | 'loopback' | 'grpc-js'

/** The ports on which a server listens, on 127.0.0.1. */
export interface Ports {
  readonly http?: number
  readonly grpc?: number
}

export interface ServerProcess {
  readonly ports: Ports
  /** The CPU time that the process has taken so far, in microseconds. */
  cpuTime (): Promise<number>
  stop (): void
}

export async function startServer (server: ServerName, message: MessageName, pinning: Pinning | undefined): Promise<ServerProcess> {
  const [execPath = process.execPath, ...execArgv] = pinning === undefined ? [] : [...pinning.server, process.execPath]
  const child = fork(new URL(`./servers/${server}.js`, import.meta.url), [message], { execPath, execArgv })
  const [ports] = await Promise.race([once(child, 'message'), once(child, 'exit')])
  if (!child.connected) throw new Error(`The server ${server} did not start`)
  return {
    ports: ports as Ports,
    async cpuTime () {
      child.send('cpu')
      const [microseconds] = await once(child, 'message')
      return microseconds as number
    },
    stop: () => { child.kill() }
  }
}

/** In a server process: the message to serve. */
export function servedMessage (): Message {
  return messages[process.argv[2] as MessageName]
}

/** In a server process: tells that it listens, and answers from then on. */
export function announce (ports: Ports): void {
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send!(user + system)
  })
  process.on('disconnect', () => process.exit())
  process.send!(ports)
}
