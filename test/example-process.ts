/** Examples as processes of their own, on free ports. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface Running { output: string, grpc: string, http: string, child: ChildProcess, ended: Promise<number | null> }

/** Starts a command on free ports and waits until it says where it listens. */
export async function run (t: Test, command: string[], ready = /HTTP \S+\n/, env: NodeJS.ProcessEnv = {}): Promise<Running> {
  const child = spawn(command[0]!, command.slice(1), { cwd: root, env: { ...process.env, ...env, GRPC_PORT: '0', HTTP_PORT: '0' }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await new Promise<void>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      output += chunk.toString()
      if (ready.test(output)) resolve()
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    child.once('exit', code => reject(new Error(`${command.join(' ')} ended with ${code}: ${output}`)))
  })
  return { output, child, ended, grpc: /gRPC (\S+)/.exec(output)![1]!, http: /HTTP (\S+)/.exec(output)![1]! }
}

export const example = (file: string): string[] => [process.execPath, '--import', 'tsx', join('examples', file)]

export async function endsOnSigterm (t: Test, { child, ended }: Running): Promise<void> {
  child.kill('SIGTERM')
  t.equal(await ended, 0, 'SIGTERM ends it in order')
}
