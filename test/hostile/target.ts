/** The server that is attacked, as a process of its own. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates } from '../../examples/mutual-tls/certificates.ts'
import type { Target } from './attacks.ts'

export interface State {
  /** Resident memory after a garbage collection, in MiB. */
  readonly rss: number
  /** Whether a prototype was polluted, or metadata was injected. */
  readonly isHarmed: boolean
}

export interface TargetProcess {
  readonly target: Target
  state (): Promise<State>
  stop (): Promise<void>
}

export async function startTarget (env: Readonly<Record<string, string>> = {}): Promise<TargetProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'hostile-'))
  const { serverKey, serverCert } = await makeCertificates(folder)
  const child = fork(new URL('server.ts', import.meta.url), {
    execArgv: ['--import', 'tsx', '--expose-gc'],
    env: { ...process.env, TLS_KEY: serverKey, TLS_CERT: serverCert, ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  const ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`The server has ended: ${code ?? signal}`) })
  ended.catch(() => {})
  const told = async (): Promise<unknown> => (await Promise.race([once(child, 'message'), ended]))[0]
  return {
    target: await told() as Target,
    state () {
      child.send({})
      return told() as Promise<State>
    },
    stop: () => stop(child, folder)
  }
}

async function stop (child: ChildProcess, folder: string): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
  rmSync(folder, { recursive: true })
}
