/** `serve`: a configuration file, an application or services, until a signal ends it. */
import type { AddressInfo } from 'node:net'
import { dirname, resolve } from 'node:path'
import { command, EXIT, expectArguments, portOf, UsageError } from '../command.ts'
import { printLine } from '../output.ts'
import { isConfigFile } from './config-file.ts'
import type { Served } from './target.ts'
import { watch, WATCHED } from './watch.ts'

/** What a watched process tells the one that started it, so that it can start it again on the same ports. */
export interface Listening {
  readonly grpcPort: number
  readonly httpPort: number
  readonly files: readonly string[]
  readonly folder: string
}

export const serve = command({
  usage: '<config.yaml | module[:export]> [key=value ...]',
  about: `Serves, over gRPC and HTTP,
  - the applications of a configuration file in the form of Ray Serve's;
  - an application that a module exports, or a function makes of key=value arguments;
  - services that a module exports: a list \`services\`, or classes with addToServer.
The services of an application are those that its module exports, or those of --proto.`,
  options: {
    'grpc-port': { type: 'string', value: 'port', help: 'Of gRPC; 0 for any free one. Default that of the file, else 9000; 50051 for services' },
    'http-port': { type: 'string', value: 'port', help: 'Of HTTP; 0 for any free one. Default that of the file, else 8000' },
    host: { type: 'string', value: 'address', help: 'Of both. Default that of the file, which is 0.0.0.0; else 127.0.0.1' },
    proto: { type: 'string', value: 'file', multiple: true, help: 'A .proto file or descriptor set with the services. Repeatable' },
    service: { type: 'string', value: 'pkg.Service', multiple: true, help: 'Of those services, the ones to serve. Repeatable. Default all' },
    name: { type: 'string', value: 'name', help: 'Of the application. Default default' },
    'route-prefix': { type: 'string', value: 'path', help: 'Of the application over HTTP. Default /' },
    'app-dir': { type: 'string', value: 'folder', help: 'Where modules and .proto files are looked for. Default that of the file, else the working directory' },
    reflection: { type: 'boolean', help: 'Serve gRPC server reflection, which `call` uses' },
    watch: { type: 'boolean', help: 'Start again on the same ports when a module, .proto file or the configuration changes' }
  },
  notes: `Prints "gRPC <address>" and "HTTP <url>" once it listens; the log goes to stderr. SIGTERM and SIGINT end it in
order: exit code 0. Exit codes: ${EXIT.failure} when it cannot start, ${EXIT.usage} wrong use.`,
  async run (values, [target, ...pairs]) {
    expectArguments(target === undefined ? [] : [target], 1, 1, 'What to serve')
    if (isConfigFile(target!)) refuseForConfigFile(values, pairs)
    const args = Object.fromEntries(pairs.map(builderArgument))
    const ports = { grpcPort: portOf(values['grpc-port'], 'grpc-port'), httpPort: portOf(values['http-port'], 'http-port') }
    if (values.watch === true) return await watch(process.argv.slice(2).filter(arg => arg !== '--watch'), resolve(values['app-dir'] ?? (isConfigFile(target!) ? dirname(target!) : '.')))
    const { serveTarget } = await import('./target.ts')
    const served = await serveTarget(target!, {
      ...ports,
      host: values.host,
      appDir: values['app-dir'],
      reflection: values.reflection,
      name: values.name,
      routePrefix: values['route-prefix'],
      protos: values.proto ?? [],
      services: values.service ?? [],
      args
    })
    const { openControl } = await import('../control.ts')
    await openControl(served)
    announce(served)
    return 0
  }
})

interface ForApplications { name?: string | undefined, 'route-prefix'?: string | undefined, proto?: string[] | undefined, service?: string[] | undefined }

function refuseForConfigFile (values: ForApplications, pairs: readonly string[]): void {
  // In the words of Ray.
  if (pairs.length > 0) throw new UsageError('Application arguments cannot be specified for a config file')
  for (const name of ['name', 'route-prefix', 'proto', 'service'] as const) {
    if (values[name] !== undefined) throw new UsageError(`--${name} cannot be specified for a config file, which says it itself`)
  }
}

function builderArgument (pair: string): [key: string, value: string] {
  const at = pair.indexOf('=')
  if (at < 1) throw new UsageError(`Invalid application argument '${pair}', must be of the form '<key>=<val>'`)
  return [pair.slice(0, at), pair.slice(at + 1)]
}

function announce ({ gateway, app, files, folder }: Served): void {
  printLine(`gRPC ${gateway.address}`)
  printLine(`HTTP ${app.listeningOrigin}`)
  const { port: httpPort } = app.server.address() as AddressInfo
  if (process.env[WATCHED] === undefined) return
  process.send?.({ grpcPort: gateway.port, httpPort, files, folder } satisfies Listening)
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
}
