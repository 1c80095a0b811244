/** `routes`: which paths lead where. */
import type { RouteInfo } from '../gateway/options.ts'
import { askControl, pidOf } from './control.ts'
import { command, expectArguments, UsageError } from './command.ts'
import { printLine } from './output.ts'
import { applicationsOf } from './proxy-api.ts'

export const routes = command({
  usage: '[pid] [options]',
  about: `Lists, one in a line, the prefixes of applications and the HTTP routes of RPCs of a server that \`serve\` runs on
this machine, which is named by its process id unless it is the only one of yours. With an address: the prefixes.`,
  options: { address: { type: 'string', short: 'a', value: 'url', help: 'A URL, such as http://127.0.0.1:8000' } },
  async run ({ address }, positionals) {
    expectArguments(positionals, 0, 1, '')
    if (address === undefined) {
      const { routes, applications } = await askControl('routes', pidOf(positionals[0])) as unknown as { routes: RouteInfo[], applications: Array<{ name: string, routePrefix: string | null }> }
      for (const { name, routePrefix } of applications) if (routePrefix !== null) printLine(`${routePrefix} ${name}`)
      for (const { httpMethods, url, rpc } of routes) printLine(`${httpMethods.join(',')} ${url} ${rpc}`)
      return 0
    }
    if (positionals.length > 0) throw new UsageError('--address does not go together with a process id')
    if (!/^https?:/.test(address)) throw new UsageError('Routes are those of HTTP: --address must be a URL')
    for (const { name, routePrefix } of await applicationsOf(address, {})) printLine(`${routePrefix} ${name}`)
    return 0
  }
})
