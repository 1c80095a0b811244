/**
 * Swaps the certificate of a server under load, on both protocols, and prints how many calls failed and how long it
 * took until new connections were shown the new one: `npx tsx test/certificate-swap.ts [swaps]`. The server is a
 * process of its own.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { credentials, status as codes } from '@grpc/grpc-js'
import { GrpcGateway, implement } from '../src/index.ts'
import { authority, postHttps, serverPair, shownName, type Pair } from './certificates.ts'
import { Greeter, grpcClient } from './serving.ts'

interface Ports { grpc: number, http: number }

/** Puts key and certificate in place, one after the other or both at once behind a link, as Kubernetes does. */
const WAYS: ReadonlyArray<(folder: string, pair: Pair, name: string) => void> = [
  (folder, pair, name) => {
    mkdirSync(join(folder, name))
    writeFileSync(join(folder, name, 'tls.key'), pair.key)
    writeFileSync(join(folder, name, 'tls.crt'), pair.cert)
    symlinkSync(name, join(folder, 'next'))
    renameSync(join(folder, 'next'), join(folder, 'current'))
  },
  (folder, pair) => {
    writeFileSync(join(folder, 'current', 'tls.key'), pair.key)
    writeFileSync(join(folder, 'current', 'tls.crt'), pair.cert)
  }
]

async function serveFrom (folder: string): Promise<void> {
  const gateway = new GrpcGateway({
    services: [implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) })],
    port: 0,
    tls: { key: join(folder, 'current', 'tls.key'), cert: join(folder, 'current', 'tls.crt') }
  })
  const app = await gateway.listen({ port: 0, host: '127.0.0.1', tls: true })
  process.send!({ grpc: gateway.port, http: (app.server.address() as AddressInfo).port } satisfies Ports)
  process.on('disconnect', () => process.exit())
}

async function measure (swaps: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'certificate-swap-'))
  const ca = await authority()
  WAYS[0]!(folder, await serverPair(ca, 'swap-0'), 'swap-0')
  const server = fork(fileURLToPath(import.meta.url), ['--serve', folder])
  const [{ grpc, http }] = await once(server, 'message') as [Ports]
  const trusting = { ca: ca.cert, servername: 'localhost' }

  const counts = { calls: 0, failed: 0 }
  const end = new AbortController()
  const keep = async (call: () => Promise<boolean>): Promise<void> => {
    while (!end.signal.aborted) {
      counts.calls++
      if (!await call().catch(() => false)) counts.failed++
    }
  }
  const newClient = (): ReturnType<typeof grpcClient> => grpcClient(Greeter, `127.0.0.1:${grpc}`, credentials.createSsl(Buffer.from(ca.cert)))
  const sayHello = async (client: ReturnType<typeof grpcClient>): Promise<boolean> => (await client.call('SayHello', { name: 'World' }, { deadline: Date.now() + 5000 })).code === codes.OK
  const post = async (agent: Agent | false): Promise<boolean> => (await postHttps(http, '/grpc/greeter/sayhello', '{"name":"World"}', { agent, ...trusting })).status === 200
  const lasting = newClient()
  const agent = new Agent({ keepAlive: true })
  const load = [
    ...Array.from({ length: 4 }, () => keep(() => sayHello(lasting))),
    ...Array.from({ length: 4 }, () => keep(() => post(agent))),
    ...Array.from({ length: 2 }, () => keep(async () => {
      const client = newClient()
      return await sayHello(client).finally(() => client.raw.close())
    })),
    ...Array.from({ length: 2 }, () => keep(() => post(false)))
  ]
  const seen: number[] = []
  for (let swap = 1; swap <= swaps; swap++) {
    const name = `swap-${swap}`
    const pair = await serverPair(ca, name)
    await sleep(500)
    WAYS[swap % WAYS.length]!(folder, pair, name)
    const start = performance.now()
    await Promise.all([grpc, http].map(async port => {
      while (await shownName(port, trusting) !== name) await sleep(5)
      seen.push(performance.now() - start)
    }))
  }
  end.abort()
  await Promise.all(load)
  lasting.raw.close()
  agent.destroy()
  server.disconnect()
  rmSync(folder, { recursive: true })
  console.log(`${swaps} swaps, ${counts.calls} calls, ${counts.failed} failed; new certificate seen after ${Math.round(Math.min(...seen))} to ${Math.round(Math.max(...seen))} ms`)
}

const [mode, folder] = process.argv.slice(2)
if (mode === '--serve') await serveFrom(folder!)
else await measure(Number(mode ?? 10))
