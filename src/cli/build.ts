/** `build`: the configuration file of applications, to be edited and served. */
import { writeFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { stringify } from 'yaml'
import { builtApplication } from '../serving/config/applications.ts'
import { importModule, importPath, type ImportPath } from '../serving/config/modules.ts'
import { servicesAt } from '../serving/config/services.ts'
import { BoundDeployment } from '../serving/deployment.ts'
import { deploymentNames } from '../serving/deployment-names.ts'
import { command, CommandError, expectArguments } from './command.ts'
import { printLine } from './output.ts'
import { applicationExport } from './serve/target.ts'

export const build = command({
  usage: '<module:export ...>',
  about: `Writes the configuration file of applications, which are named app1, app2 and so on, with the options of their
deployments as they are in the code.`,
  options: {
    output: { type: 'string', short: 'o', value: 'file', help: 'Where to write it. Default stdout' },
    proto: { type: 'string', value: 'file', multiple: true, help: 'A .proto file or descriptor set with the services. Repeatable' },
    service: { type: 'string', value: 'pkg.Service', multiple: true, help: 'Of those services, the ones to serve. Repeatable. Default all' },
    'app-dir': { type: 'string', value: 'folder', help: 'Where modules and .proto files are looked for. Default the working directory' },
    'grpc-port': { type: 'string', value: 'port', help: 'Default 9000' },
    'http-port': { type: 'string', value: 'port', help: 'Default 8000' }
  },
  notes: 'Paths in the file begin at its own folder, or at the working directory for stdout.',
  async run ({ output, proto = [], service = [], 'app-dir': appDir = '.', 'grpc-port': grpcPort = '9000', 'http-port': httpPort = '8000' }, paths) {
    expectArguments(paths, 1, Infinity, 'An application, module:export,')
    const folder = resolve(appDir)
    const base = output === undefined ? resolve('.') : dirname(resolve(output))
    const applications = []
    for (const [i, path] of paths.entries()) applications.push(await described(importPath(path, folder), base, `app${i + 1}`, paths.length === 1))
    const text = stringify({
      proxy_location: 'EveryNode',
      http_options: { host: '0.0.0.0', port: Number(httpPort) },
      grpc_options: { port: Number(grpcPort), grpc_servicer_functions: await functions(proto, service, folder, base) },
      logging_config: { log_level: 'INFO', enable_access_log: true },
      applications
    }, { lineWidth: 0 })
    if (output === undefined) printLine(text.trimEnd())
    else write(output, text)
    return 0
  }
})

async function described (imported: ImportPath, base: string, name: string, isOnly: boolean): Promise<object> {
  const exported = applicationExport(await importModule(imported), imported)
  const application = exported instanceof BoundDeployment ? exported : await builtApplication(exported, {}, imported.text)
  return {
    name,
    route_prefix: isOnly ? '/' : `/${name}`,
    import_path: `${fileFrom(base, imported.file)}:${imported.exportName ?? 'default'}`,
    args: {},
    deployments: [...deploymentNames(application)].map(([{ deployment: { options: { replicas, maxOngoingRequests, maxQueuedRequests } } }, name]) => ({
      name,
      ...(replicas === undefined ? {} : { num_replicas: replicas }),
      ...(maxOngoingRequests === undefined ? {} : { max_ongoing_requests: maxOngoingRequests }),
      ...(maxQueuedRequests === undefined ? {} : { max_queued_requests: maxQueuedRequests })
    }))
  }
}

/** All are looked up, so that a wrong name is told here. */
async function functions (protos: readonly string[], services: readonly string[], folder: string, base: string): Promise<string[]> {
  const paths: string[] = []
  for (const proto of protos) {
    const names = services.length === 0 ? [''] : services.map(service => `:${service}`)
    for (const name of names) {
      await servicesAt(`${proto}${name}`, folder)
      paths.push(`${fileFrom(base, resolve(folder, proto))}${name}`)
    }
  }
  return paths
}

function fileFrom (base: string, file: string): string {
  return relative(base, file).replaceAll('\\', '/')
}

function write (file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new CommandError(`Cannot write ${file}: ${(error as Error).message}`)
  }
}
