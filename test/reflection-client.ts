/** A client of server reflection, and what tells whether descriptors are right. */
import { createFileRegistry, create, fromBinary, toJson, type FileRegistry } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, FileDescriptorSetSchema, type FileDescriptorProto } from '@bufbuild/protobuf/wkt'
import type { Client, ClientDuplexStream, ServiceDefinition } from '@grpc/grpc-js'
import type { Test } from 'tap'
import { loadProto, type GrpcGateway } from '../src/index.ts'
import { grpcClient } from './serving.ts'

export interface ReflectionRequest {
  host?: string
  fileByFilename?: string
  fileContainingSymbol?: string
  fileContainingExtension?: { containingType: string, extensionNumber: number }
  allExtensionNumbersOfType?: string
  listServices?: string
}

export interface ReflectionResponse {
  validHost: string
  originalRequest: ReflectionRequest & { messageRequest: string }
  messageResponse: string
  fileDescriptorResponse?: { fileDescriptorProto: Buffer[] }
  allExtensionNumbersResponse?: { baseTypeName: string, extensionNumber: number[] }
  listServicesResponse?: { service: Array<{ name: string }> }
  errorResponse?: { errorCode: number, errorMessage: string }
}

const definitions = loadProto(['v1', 'v1alpha'].map(version => new URL(`../protos/grpc/reflection/${version}/reflection.proto`, import.meta.url)))

export function reflectionDefinition (version: string): ServiceDefinition {
  return definitions[`grpc.reflection.${version}.ServerReflection`]!
}

/** One stream, on which requests are answered one after the other. */
export class ReflectionClient {
  readonly #client: Client
  readonly #call: ClientDuplexStream<ReflectionRequest, ReflectionResponse>
  readonly #responses: AsyncIterator<ReflectionResponse>
  /** All files that have come, by name. */
  readonly files = new Map<string, FileDescriptorProto>()

  constructor (t: Test, gateway: GrpcGateway, version = 'v1') {
    this.#client = grpcClient(reflectionDefinition(version), gateway.address).raw
    this.#call = (this.#client as unknown as { ServerReflectionInfo (): ClientDuplexStream<ReflectionRequest, ReflectionResponse> }).ServerReflectionInfo()
    this.#responses = this.#call[Symbol.asyncIterator]()
    t.teardown(() => {
      this.#call.cancel()
      this.#client.close()
    })
  }

  async ask (request: ReflectionRequest): Promise<ReflectionResponse> {
    this.#call.write(request)
    const { value } = await this.#responses.next()
    for (const bytes of (value as ReflectionResponse).fileDescriptorResponse?.fileDescriptorProto ?? []) {
      const file = fromBinary(FileDescriptorProtoSchema, bytes)
      this.files.set(file.name, file)
    }
    return value
  }

  async services (): Promise<string[]> {
    const { listServicesResponse } = await this.ask({ listServices: '' })
    return listServicesResponse!.service.map(({ name }) => name)
  }

  /** The names of the files that come in answer to a request. */
  async names (request: ReflectionRequest): Promise<string[]> {
    const { fileDescriptorResponse, errorResponse } = await this.ask(request)
    if (errorResponse !== undefined) throw new Error(errorResponse.errorMessage)
    return fileDescriptorResponse!.fileDescriptorProto.map(bytes => fromBinary(FileDescriptorProtoSchema, bytes).name)
  }

  /** Ends the requests, and waits for the end of the call. */
  async end (): Promise<boolean> {
    this.#call.end()
    const { done } = await this.#responses.next()
    return done === true
  }

  registry (): FileRegistry {
    return strictRegistry([...this.files.values()])
  }
}

/** @throws when a file is not as it should be, or lacks something that it refers to */
export function strictRegistry (files: readonly FileDescriptorProto[]): FileRegistry {
  const byName = new Map(files.map(file => [file.name, file]))
  const ordered = new Set<FileDescriptorProto>()
  const visit = (file: FileDescriptorProto, path: readonly string[]): void => {
    if (path.includes(file.name)) throw new Error(`circle of imports: ${[...path, file.name].join(' → ')}`)
    for (const name of file.dependency) {
      const imported = byName.get(name)
      if (imported === undefined) throw new Error(`${file.name} imports ${name}, which is not there`)
      visit(imported, [...path, file.name])
    }
    ordered.add(file)
  }
  for (const file of files) visit(file, [])
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...ordered] }))
}

/** What can be compared of a file: all but where things stand in it, with custom options read. */
export function comparable (file: FileDescriptorProto, registry: FileRegistry): object {
  const { sourceCodeInfo, syntax, optionDependency, ...json } = toJson(FileDescriptorProtoSchema, file, { registry }) as Record<string, unknown>
  return normalized({ ...json, syntax: syntax ?? 'proto2' }) as object
}

/** Braces after a method give it options, though there are none; numbers can be written in many ways. */
function normalized (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normalized)
  if (typeof value !== 'object' || value === null) return value
  const { options, defaultValue, ...rest } = value as Record<string, any>
  const isFloat = ['TYPE_FLOAT', 'TYPE_DOUBLE'].includes(rest.type) && !/inf|nan/.test(defaultValue)
  return {
    ...Object.fromEntries(Object.entries(rest).map(([name, member]) => [name, normalized(member)])),
    ...(options === undefined || Object.keys(options).length === 0 ? {} : { options: normalized(options) }),
    ...(defaultValue === undefined ? {} : { defaultValue: isFloat ? rest.type === 'TYPE_FLOAT' ? Math.fround(defaultValue) : Number(defaultValue) : defaultValue })
  }
}

/** Comments by paths. Whether the last line of one has an end depends on the tool. */
export function commentsOf ({ sourceCodeInfo }: FileDescriptorProto): Record<string, object> {
  const comments = (sourceCodeInfo?.location ?? []).filter(each => each.leadingComments !== '' || each.trailingComments !== '' || each.leadingDetachedComments.length > 0)
  return Object.fromEntries(comments.map(({ path, leadingComments, trailingComments, leadingDetachedComments }) => [
    path.join('.'),
    [leadingComments, trailingComments, ...leadingDetachedComments].map(comment => comment.trimEnd())
  ]))
}
