/**
 * gRPC server reflection, v1 and v1alpha: clients such as grpcurl ask a server what services it has.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */
import type protobuf from 'protobufjs'
import { implement, type ImplementedService } from '../call/registration.ts'
import type { ServedService } from '../call/served-service.ts'
import type { BidiStreamingMethod } from '../schema/definition.ts'
import { DescriptorPool, type PooledFile } from '../schema/descriptors/pool.ts'
import { sourcesOf } from '../schema/descriptors/sources.ts'
import { loadProto } from '../schema/load.ts'
import { bundledProto } from '../schema/proto-files.ts'
import { status } from '../status.ts'

interface Request {
  host: string
  messageRequest?: 'fileByFilename' | 'fileContainingSymbol' | 'fileContainingExtension' | 'allExtensionNumbersOfType' | 'listServices'
  fileByFilename?: string
  fileContainingSymbol?: string
  fileContainingExtension?: { containingType: string, extensionNumber: number }
  allExtensionNumbersOfType?: string
}

/** What is in a response besides the request. */
interface Answer {
  fileDescriptorResponse?: { fileDescriptorProto: Uint8Array[] }
  allExtensionNumbersResponse?: { baseTypeName: string, extensionNumber: number[] }
  listServicesResponse?: { service: Array<{ name: string }> }
  errorResponse?: { errorCode: status, errorMessage: string }
}

interface Response extends Answer {
  validHost: string
  originalRequest: Request
}

interface ReflectionServices {
  ServerReflection: { ServerReflectionInfo: BidiStreamingMethod<Request, Response> }
}

export class Reflection {
  /** To be served beside those that it describes. */
  readonly services: readonly ImplementedService[]
  #pool = new DescriptorPool([])
  #names: readonly string[] = []

  constructor () {
    this.services = ['v1', 'v1alpha'].map(version => {
      const { ServerReflection } = loadProto<ReflectionServices>(bundledProto(`grpc/reflection/${version}/reflection.proto`))
      return implement(ServerReflection, { ServerReflectionInfo: requests => this.#responses(requests) })
    })
  }

  /**
   * @param services all that the server has
   * @param typeRoots what messages of type `google.protobuf.Any` may hold besides
   * @throws FGG_ERR_PROTO_SYNTAX for a .proto file that is not as protoc would have it
   */
  describe (services: readonly ServedService[], typeRoots: readonly protobuf.Root[]): void {
    const roots = services.flatMap(({ service }) => service.methods.map(({ requestType }) => requestType.root))
    this.#pool = new DescriptorPool(sourcesOf([...roots, ...typeRoots]))
    this.#names = services.map(({ service }) => service.fullName).sort()
  }

  async * #responses (requests: AsyncIterable<Request>): AsyncIterable<Response> {
    const sent = new Set<string>()
    for await (const request of requests) {
      yield { validHost: request.host, originalRequest: request, ...this.#answer(request, sent) }
    }
  }

  /** @param sent the names of files that the client has already */
  #answer (request: Request, sent: Set<string>): Answer {
    switch (request.messageRequest) {
      case 'listServices':
        return { listServicesResponse: { service: this.#names.map(name => ({ name })) } }
      case 'fileByFilename': {
        const name = request.fileByFilename!
        return this.#files(this.#pool.file(name), `No file ${name}`, sent)
      }
      case 'fileContainingSymbol': {
        const symbol = request.fileContainingSymbol!
        return this.#files(this.#pool.fileOf(symbol), `No symbol ${symbol}`, sent)
      }
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = request.fileContainingExtension!
        return this.#files(this.#pool.fileOfExtension(containingType, extensionNumber), `No extension ${extensionNumber} of ${containingType}`, sent)
      }
      case 'allExtensionNumbersOfType': {
        const baseTypeName = request.allExtensionNumbersOfType!
        const extensionNumber = this.#pool.extensionNumbers(baseTypeName)
        return extensionNumber === undefined
          ? error(status.NOT_FOUND, `No message ${baseTypeName}`)
          : { allExtensionNumbersResponse: { baseTypeName, extensionNumber } }
      }
      default:
        return error(status.INVALID_ARGUMENT, 'The request asks for nothing that this server knows')
    }
  }

  /** The file, whether the client has it or not, and all that it imports, unless the client has that. */
  #files (file: PooledFile | undefined, problem: string, sent: Set<string>): Answer {
    if (file === undefined) return error(status.NOT_FOUND, problem)
    const files = new Set([file])
    for (const { imports } of files) {
      for (const name of imports) {
        const imported = this.#pool.file(name)
        if (imported !== undefined) files.add(imported)
      }
    }
    const news = [...files].filter(each => each === file || !sent.has(each.name))
    for (const { name } of news) sent.add(name)
    return { fileDescriptorResponse: { fileDescriptorProto: news.map(({ bytes }) => bytes) } }
  }
}

function error (errorCode: status, errorMessage: string): Answer {
  return { errorResponse: { errorCode, errorMessage } }
}
