/** `call`: one RPC of any kind, with requests and responses as JSON. */
import { Metadata, status, type Client, type MethodDefinition } from '@grpc/grpc-js'
import { JsonCodecs } from '../../json/codec.ts'
import { TypeRegistry } from '../../json/type-registry.ts'
import { loadedService, loadProto, type ProtoSource } from '../../schema/load.ts'
import type { Method } from '../../schema/service.ts'
import { statusName } from '../../status.ts'
import { command, CommandError, EXIT, UsageError } from '../command.ts'
import { credentialsOf, grpcClient, TLS_OPTIONS } from '../connection.ts'
import { printError } from '../output.ts'
import { exchange } from './exchange.ts'
import { reflectedSchema } from './reflection.ts'
import { requestsOf } from './requests.ts'

const DEFAULT_ADDRESS = '127.0.0.1:50051'

export const call = command({
  usage: "</pkg.Service/Method> ['{json}' ...]",
  about: `Calls an RPC of any kind over gRPC, and prints each response as a line of JSON. The schema comes from the server, by
reflection, or from --proto. Requests are arguments; - reads stdin, and so does an RPC with a request stream and no
arguments, one message from each line as it comes. An RPC with one request gets an empty message by default.`,
  options: {
    address: { type: 'string', short: 'a', value: 'host:port', help: `Default ${DEFAULT_ADDRESS}` },
    header: { type: 'string', short: 'H', value: 'key:value', multiple: true, help: 'Metadata; of keys that end with -bin, base64. Repeatable' },
    proto: { type: 'string', value: 'file', multiple: true, help: 'A .proto file or descriptor set with the service. Repeatable' },
    'include-dir': { type: 'string', short: 'I', value: 'folder', multiple: true, help: 'Where imports of --proto are looked for. Repeatable' },
    timeout: { type: 'string', value: 'seconds', help: 'How long the call may take. Default as long as it takes' },
    'emit-defaults': { type: 'boolean', help: 'Print fields with their default value too' },
    verbose: { type: 'boolean', help: 'Print headers, trailers and the status to stderr' },
    ...TLS_OPTIONS
  },
  notes: `Exit codes: 0 when the status is OK, ${EXIT.status} + the gRPC status code when it is not (NOT_FOUND: ${EXIT.status + status.NOT_FOUND}), ${EXIT.failure} when the RPC is not
known, ${EXIT.usage} wrong use, and a request that is no message of the RPC.

Example: call /helloworld.Greeter/SayHello '{"name":"World"}' -H 'authorization: Bearer abc'`,
  async run ({ address = DEFAULT_ADDRESS, header = [], proto, 'include-dir': includeDirs, timeout, 'emit-defaults': emitDefaults, verbose = false, ...tls }, [path, ...texts]) {
    const [, serviceName, methodName] = /^\/?([\w.]+)[/.](\w+)$/.exec(path ?? '') ?? []
    if (serviceName === undefined || methodName === undefined) throw new UsageError(path === undefined ? 'The RPC to call is missing' : `An RPC is named /pkg.Service/Method, not ${path}`)
    if (!/^[^\s/]+:\d+$/.test(address)) throw new UsageError(`--address must be host:port, not ${address}`)
    const metadata = metadataOf(header)
    const deadline = deadlineOf(timeout)
    const client = grpcClient(address, credentialsOf(tls))
    try {
      const source = proto ?? await reflectedSchema(client, serviceName, deadline)
      return await callMethod(client, methodIn(source, includeDirs, serviceName, methodName), texts, { metadata, deadline, emitDefaults, verbose })
    } finally {
      client.close()
      // A call that ends before its requests do leaves it open.
      process.stdin.destroy()
    }
  }
})

interface CallSettings {
  readonly metadata: Metadata
  readonly deadline: Date | undefined
  readonly emitDefaults: boolean | undefined
  readonly verbose: boolean
}

interface FoundMethod {
  readonly method: Method
  readonly definition: MethodDefinition<object, object>
}

async function callMethod (client: Client, { method, definition }: FoundMethod, texts: readonly string[], { metadata, deadline, emitDefaults, verbose }: CallSettings): Promise<number> {
  const codecs = new JsonCodecs(new TypeRegistry([method.requestType.root, method.responseType.root]))
  const { requestDeserialize, requestSerialize, responseDeserialize, responseSerialize } = definition
  const reader = codecs.reader({ type: method.requestType, deserialize: requestDeserialize, serialize: requestSerialize })
  const write = codecs.writer({ type: method.responseType, deserialize: responseDeserialize, serialize: responseSerialize }, { emitDefaults })
  const requests = requestsOf(texts, definition.requestStream, reader)
  const { code, details, metadata: trailers } = await exchange(client, definition, requests, {
    metadata,
    options: deadline === undefined ? {} : { deadline },
    onHeaders: headers => { if (verbose) printMetadata('header', headers) },
    onMessage: message => printed(write(message))
  })
  if (verbose) {
    printMetadata('trailer', trailers)
    process.stderr.write(`status: ${statusName(code)}\n`)
  }
  if (code === status.OK) return 0
  printError(`${statusName(code)}: ${details}`)
  return EXIT.status + code
}

/** Waits when who reads is slower than the server. */
async function printed (line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await new Promise(resolve => process.stdout.once('drain', resolve))
}

function printMetadata (kind: string, metadata: Metadata): void {
  for (const [key, value] of Object.entries(metadata.toHttp2Headers())) {
    for (const each of [value].flat()) process.stderr.write(`${kind} ${key}: ${String(each)}\n`)
  }
}

function methodIn (source: ProtoSource, includeDirs: readonly string[] | undefined, serviceName: string, methodName: string): FoundMethod {
  const definition = loadProto(source, { includeDirs })[serviceName]
  const service = definition === undefined ? undefined : loadedService(definition)
  if (service === undefined) throw new CommandError(`There is no service ${serviceName}`)
  const method = service.methods.find(({ name }) => name === methodName)
  if (method === undefined) throw new CommandError(`${service.fullName} has no method ${methodName}. It has: ${service.methods.map(({ name }) => name).join(', ')}`)
  return { method, definition: definition![methodName]! }
}

function metadataOf (headers: readonly string[]): Metadata {
  const metadata = new Metadata()
  for (const header of headers) {
    const at = header.indexOf(':')
    if (at < 1) throw new UsageError(`--header must be key:value, not ${header}`)
    const key = header.slice(0, at).trim()
    const value = header.slice(at + 1).trim()
    try {
      metadata.add(key, key.toLowerCase().endsWith('-bin') ? Buffer.from(value, 'base64') : value)
    } catch (error) {
      throw new UsageError(`--header ${key} is wrong: ${(error as Error).message}`)
    }
  }
  return metadata
}

function deadlineOf (timeout: string | undefined): Date | undefined {
  if (timeout === undefined) return undefined
  const seconds = /^\d*\.?\d+$/.test(timeout) ? Number(timeout) : NaN
  if (!(seconds > 0)) throw new UsageError(`--timeout must be seconds above 0, not ${timeout}`)
  return new Date(Date.now() + seconds * 1000)
}
