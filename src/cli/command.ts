/** Commands: their options, from which their help is written, and what they do. */
import { parseArgs } from 'node:util'

export const PROGRAM = 'fastify-grpc-gateway'

/** Exit codes besides 0; a call that fails has 64 more than its gRPC status code. */
export const EXIT = { failure: 1, usage: 2, status: 64 } as const

interface OptionSpec {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: true
  /** What stands for the value in the help. */
  readonly value?: string
  readonly help: string
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

type ValueOf<S extends OptionSpec> = S extends { multiple: true } ? string[] : S extends { type: 'boolean' } ? boolean : string

export type Values<O extends OptionSpecs> = { readonly [K in keyof O]?: ValueOf<O[K]> | undefined }

interface CommandSpec<O extends OptionSpecs> {
  /** After its name: `<pid>`. */
  readonly usage: string
  /** What it does, in whole lines. */
  readonly about: string
  readonly options: O
  /** What stands below the options in the help: exit codes, examples. */
  readonly notes?: string
  /** @returns the exit code */
  run (values: Values<O>, positionals: readonly string[]): Promise<number>
}

export interface Command {
  help (name: string): string
  /** @throws UsageError for arguments that are none of its own */
  run (args: readonly string[]): Promise<number>
}

/** The command is not used as its help says. */
export class UsageError extends Error {}

/** The command cannot do what it is to do; the message is for users. */
export class CommandError extends Error {
  readonly exitCode: number

  constructor (message: string, exitCode: number = EXIT.failure) {
    super(message)
    this.exitCode = exitCode
  }
}

export function command<const O extends OptionSpecs> ({ usage, about, options, notes, run }: CommandSpec<O>): Command {
  return {
    help: name => [`Usage: ${PROGRAM} ${name} ${usage}`, about, `Options:\n${optionsHelp(options)}`, ...(notes === undefined ? [] : [notes])].join('\n\n'),
    async run (args) {
      const { values, positionals } = parsed(args, options)
      return await run(values as Values<O>, positionals)
    }
  }
}

function parsed (args: readonly string[], specs: OptionSpecs): { values: object, positionals: string[] } {
  const options = Object.fromEntries(Object.entries(specs).map(([name, { type, short, multiple }]) => [name, { type, ...(short === undefined ? {} : { short }), ...(multiple === undefined ? {} : { multiple }) }]))
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    // Node.js goes on about how to give values that look like options.
    throw new UsageError((error as Error).message.split(/\.? ?\n|\. /)[0])
  }
}

function optionsHelp (options: OptionSpecs): string {
  const rows = Object.entries(options).map(([name, { short, value, help }]): [string, string] => [`${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` <${value}>`}`, help])
  rows.push(['-h, --help', 'Print this'])
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`).join('\n')
}

/** @throws UsageError */
export function portOf (text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN
  if (!(port < 65536)) throw new UsageError(`--${option} must be a port number, 0 to 65535, not ${text}`)
  return port
}

/** @throws UsageError when there are more arguments than the command takes, or fewer */
export function expectArguments (positionals: readonly string[], least: number, most: number, what: string): void {
  if (positionals.length < least) throw new UsageError(`${what} is missing`)
  if (positionals.length > most) throw new UsageError(`There is an argument too many: ${positionals[most]!}`)
}
