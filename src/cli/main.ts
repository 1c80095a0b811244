#!/usr/bin/env node
/** The command `fastify-grpc-gateway`. */
import { readFileSync } from 'node:fs'
import { CommandError, EXIT, PROGRAM, UsageError, type Command } from './command.ts'
import { printError, printLine } from './output.ts'

interface Listed {
  readonly summary: string
  /** Only what is needed is loaded. */
  load (): Promise<Command>
}

const COMMANDS: Readonly<Record<string, Listed>> = {
  serve: { summary: 'Serve a configuration file, an application or services', load: async () => (await import('./serve/serve.ts')).serve },
  build: { summary: 'Write the configuration file of applications', load: async () => (await import('./build.ts')).build },
  status: { summary: 'Tell how a running server and its applications are', load: async () => (await import('./status.ts')).status },
  routes: { summary: 'List the HTTP routes of a running server', load: async () => (await import('./routes.ts')).routes },
  healthz: { summary: 'Tell whether a running server is well', load: async () => (await import('./healthz.ts')).healthz },
  drain: { summary: 'Have a running server drain, or take it back', load: async () => (await import('./drain.ts')).drain },
  call: { summary: 'Call an RPC', load: async () => (await import('./call/call.ts')).call }
}

const HELP = `Usage: ${PROGRAM} <command> [options]

Serves gRPC services over gRPC and REST, and talks to servers.

Commands:
${Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(8)}  ${summary}`).join('\n')}

Options:
  -h, --help     Print this, or the help of a command
  -v, --version  Print the version

Exit codes: 0 success, 1 failure, 2 wrong use, 64 + gRPC status code for a call that fails.`

async function main ([name, ...args]: readonly string[]): Promise<number> {
  const wantsHelp = args.slice(0, args.includes('--') ? args.indexOf('--') : undefined).some(arg => arg === '--help' || arg === '-h')
  if (name === '--version' || name === '-v') {
    printLine((JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version)
    return 0
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const asked = name === 'help' ? args[0] : undefined
    printLine(asked === undefined ? HELP : (await load(asked)).help(asked))
    return name === undefined ? EXIT.usage : 0
  }
  const command = await load(name)
  if (wantsHelp) {
    printLine(command.help(name))
    return 0
  }
  try {
    return await command.run(args)
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${error.message}. See ${PROGRAM} ${name} --help`)
    throw error
  }
}

async function load (name: string): Promise<Command> {
  if (!Object.hasOwn(COMMANDS, name)) throw new UsageError(`There is no command ${name}. There are: ${Object.keys(COMMANDS).join(', ')}`)
  return await COMMANDS[name]!.load()
}

function exitCodeOf (error: unknown): number {
  if (error instanceof CommandError) return error.exitCode
  return error instanceof UsageError ? EXIT.usage : EXIT.failure
}

// Of `call … | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : EXIT.failure))

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  // A configuration may have several faults, each with a line of its own.
  for (const line of (error instanceof Error ? error.message : String(error)).split('\n')) if (line.trim() !== '') printError(line)
  process.exitCode = exitCodeOf(error)
}
