/** Asks a server by reflection for the schema of a service. */
import { status, type Client, type ClientDuplexStream, type MethodDefinition } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import descriptor from 'protobufjs/ext/descriptor.js'
import { statusName } from '../../status.ts'
import { CommandError, EXIT } from '../command.ts'
import { loadPackaged } from '../packaged-protos.ts'

interface Request { fileByFilename?: string, fileContainingSymbol?: string, listServices?: string }

interface Response {
  fileDescriptorResponse?: { fileDescriptorProto: Buffer[] }
  listServicesResponse?: { service: Array<{ name: string }> }
  errorResponse?: { errorCode: number, errorMessage: string }
}

/** The field `file` of `google.protobuf.FileDescriptorSet`, as it begins on the wire. */
const FILE_OF_SET = 10

/**
 * @returns a serialized `google.protobuf.FileDescriptorSet`
 * @throws CommandError when the server has no such service, or no reflection
 */
export async function reflectedSchema (client: Client, service: string, deadline: Date | undefined): Promise<Uint8Array> {
  for (const version of ['v1', 'v1alpha']) {
    const conversation = new Conversation(client, version, deadline)
    try {
      return await schemaBy(conversation, service)
    } catch (error) {
      if ((error as { code?: unknown }).code !== status.UNIMPLEMENTED) throw problem(error)
    } finally {
      conversation.end()
    }
  }
  throw new CommandError('The server does not offer reflection. Name the .proto file by --proto, or serve with --reflection', EXIT.status + status.UNIMPLEMENTED)
}

function problem (error: unknown): unknown {
  const { code, details } = error as { code?: unknown, details?: string }
  return typeof code === 'number' ? new CommandError(`${statusName(code)}: ${details ?? ''}`, EXIT.status + code) : error
}

async function schemaBy (conversation: Conversation, service: string): Promise<Uint8Array> {
  const first = await conversation.ask({ fileContainingSymbol: service })
  if (first.errorResponse !== undefined) {
    const { listServicesResponse } = await conversation.ask({ listServices: '' })
    throw new CommandError(`The server has no service ${service}. It has: ${(listServicesResponse?.service ?? []).map(({ name }) => name).join(', ')}`)
  }
  const files = new Map<string, Uint8Array>()
  const missing: string[] = []
  const add = ({ fileDescriptorResponse }: Response): void => {
    for (const bytes of fileDescriptorResponse?.fileDescriptorProto ?? []) {
      const { name, dependency } = descriptor.FileDescriptorProto.decode(bytes) as unknown as { name: string, dependency: string[] }
      files.set(name, bytes)
      missing.push(...dependency)
    }
  }
  add(first)
  // Many servers send a file without those that it imports.
  for (let name = missing.pop(); name !== undefined; name = missing.pop()) {
    if (!files.has(name)) add(await conversation.ask({ fileByFilename: name }))
  }
  const set = protobuf.Writer.create()
  for (const bytes of files.values()) set.uint32(FILE_OF_SET).bytes(bytes)
  return set.finish()
}

/** Requests on one stream, answered one after the other. */
class Conversation {
  readonly #call: ClientDuplexStream<object, object>
  readonly #responses: AsyncIterator<Response>

  constructor (client: Client, version: string, deadline: Date | undefined) {
    const { path, requestSerialize, responseDeserialize } = loadPackaged(`grpc/reflection/${version}/reflection.proto`, `grpc.reflection.${version}.ServerReflection`).ServerReflectionInfo as MethodDefinition<object, object>
    this.#call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, deadline === undefined ? {} : { deadline })
    this.#responses = this.#call[Symbol.asyncIterator]() as AsyncIterator<Response>
  }

  async ask (request: Request): Promise<Response> {
    this.#call.write(request)
    const { value, done } = await this.#responses.next()
    if (done === true) throw new CommandError('The server has ended the reflection')
    return value
  }

  end (): void {
    this.#call.on('error', () => {})
    this.#call.cancel()
  }
}
