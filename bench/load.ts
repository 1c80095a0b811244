/** The programs that put a server under load. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Protocol } from './cases.ts'
import { CONNECTIONS, STREAMS } from './concurrency.ts'
import { packageRoot } from './messages.ts'
import type { Pinning } from './pinning.ts'
import type { Target } from './target.ts'

export interface Outcome {
  readonly count: number
  readonly perSecond: number
}

interface LoadProgram {
  readonly name: string
  commandLine (url: string, bodyFile: string, seconds: number): readonly string[]
  /** What the output says; undefined when requests have failed. */
  outcome (output: string): Outcome | undefined
}

const wrk: LoadProgram = {
  name: 'wrk',
  commandLine: (url, _bodyFile, seconds) => [
    'wrk', '-t1', `-c${CONNECTIONS * STREAMS}`, `-d${seconds}s`, '-s', fileURLToPath(new URL('bench/wrk-post.lua', packageRoot)), url
  ],
  outcome: output => /Non-2xx|Socket errors/.test(output)
    ? undefined
    : { count: numberIn(output, /(\d+) requests in/), perSecond: numberIn(output, /Requests\/sec:\s+([\d.]+)/) }
}

const h2load: LoadProgram = {
  name: 'h2load',
  commandLine: (url, bodyFile, seconds) => [
    'h2load', `-c${CONNECTIONS}`, `-m${STREAMS}`, `-D${seconds}`, '-d', bodyFile,
    '-H', 'content-type: application/grpc', '-H', 'te: trailers', url
  ],
  outcome: output => / 0 failed, 0 errored, 0 timeout/.test(output)
    ? { count: numberIn(output, /(\d+) succeeded/), perSecond: numberIn(output, /([\d.]+) req\/s/) }
    : undefined
}

const autocannon: LoadProgram = {
  name: 'autocannon',
  commandLine: (url, bodyFile, seconds) => [
    process.execPath, createRequire(import.meta.url).resolve('autocannon'), '-j', '-c', String(CONNECTIONS * STREAMS), '-d', String(seconds),
    '-m', 'POST', '-H', 'content-type=application/json', '-i', bodyFile, url
  ],
  outcome (output) {
    const { requests, duration, errors, non2xx } = JSON.parse(output)
    return errors + non2xx > 0 ? undefined : { count: requests.total, perSecond: requests.total / duration }
  }
}

const nodeHttp2: LoadProgram = {
  name: 'node:http2',
  commandLine: (url, bodyFile, seconds) => [
    process.execPath, fileURLToPath(new URL('./http2-load.js', import.meta.url)), url, bodyFile, String(seconds)
  ],
  outcome (output) {
    const { requests, seconds } = JSON.parse(output)
    return { count: requests, perSecond: requests / seconds }
  }
}

function numberIn (output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1])
}

function isInstalled ({ name }: LoadProgram): boolean {
  return spawnSync(name, ['--version']).error === undefined
}

export const loadPrograms: Readonly<Record<Protocol, LoadProgram>> = {
  http: isInstalled(wrk) ? wrk : autocannon,
  grpc: isInstalled(h2load) ? h2load : nodeHttp2
}

/** Sends requests, as many as the server answers. */
export async function load (protocol: Protocol, { url, body }: Target, seconds: number, pinning: Pinning | undefined): Promise<Outcome> {
  const program = loadPrograms[protocol]
  const directory = mkdtempSync(join(tmpdir(), 'bench-'))
  try {
    const bodyFile = join(directory, 'body')
    writeFileSync(bodyFile, body)
    const [command, ...args] = [...pinning?.load ?? [], ...program.commandLine(url, bodyFile, seconds)]
    const { stdout } = await promisify(execFile)(command!, args, { env: { ...process.env, BODY_FILE: bodyFile } })
    const outcome = program.outcome(stdout)
    if (!(outcome !== undefined && outcome.count > 0)) throw new Error(`Requests to ${url} failed:\n${stdout}`)
    return outcome
  } finally {
    rmSync(directory, { recursive: true })
  }
}
