/** `healthz`: whether a server is well, for people and for probes of containers. */
import { command, EXIT, expectArguments } from './command.ts'
import { TLS_OPTIONS } from './connection.ts'
import { printLine } from './output.ts'
import { healthOf } from './proxy-api.ts'

export const DEFAULT_ADDRESS = 'http://127.0.0.1:8000'

export const healthz = command({
  usage: '[options]',
  about: 'Asks a server whether it is well: /-/healthz or /readyz over HTTP, RayServeAPIService or grpc.health.v1 over gRPC.',
  options: {
    address: { type: 'string', short: 'a', value: 'address', help: `A URL for HTTP, host:port for gRPC. Default ${DEFAULT_ADDRESS}` },
    ...TLS_OPTIONS
  },
  notes: `Prints what the server answers. Exit codes: 0 when it is well, ${EXIT.failure} when it is not or does not answer.`,
  async run ({ address = DEFAULT_ADDRESS, ...tls }, positionals) {
    expectArguments(positionals, 0, 0, '')
    const { isWell, text } = await healthOf(address, tls)
    printLine(text)
    return isWell ? 0 : EXIT.failure
  }
})
