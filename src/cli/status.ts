/** `status`: how a server and its applications are. */
import { stringify } from 'yaml'
import { askControl, pidOf } from './control.ts'
import { command, EXIT, expectArguments, UsageError } from './command.ts'
import { TLS_OPTIONS } from './connection.ts'
import { printLine } from './output.ts'
import { applicationsOf, healthOf } from './proxy-api.ts'

export const status = command({
  usage: '[pid] [options]',
  about: `Tells how a server is, as YAML. Without an address: all about one that \`serve\` runs on this machine, which is named
by its process id unless it is the only one of yours. With an address: whether it is well, and its applications.`,
  options: {
    address: { type: 'string', short: 'a', value: 'address', help: 'A URL for HTTP, host:port for gRPC' },
    ...TLS_OPTIONS
  },
  notes: `Exit codes: 0 when the server is well, ${EXIT.failure} when it is not or does not answer.`,
  async run ({ address, ...tls }, positionals) {
    expectArguments(positionals, 0, 1, '')
    if (address === undefined) {
      const local = await askControl('status', pidOf(positionals[0]))
      printLine(stringify(local).trimEnd())
      return local.state === 'serving' ? 0 : EXIT.failure
    }
    if (positionals.length > 0) throw new UsageError('--address does not go together with a process id')
    const { isWell, text } = await healthOf(address, tls)
    const applications = isWell ? await applicationsOf(address, tls).catch(() => []) : []
    printLine(stringify({ address, health: text, applications }).trimEnd())
    return isWell ? 0 : EXIT.failure
  }
})
