/** The types of what is packed in requests and replies of Seldon. */
import type protobuf from 'protobufjs'
import { JsonCodecs } from '../../json/codec.ts'
import { TypeRegistry, typeNameOf } from '../../json/type-registry.ts'
import { defaultMessageOptions, deserializer, serializer } from '../../schema/definition.ts'
import { loadRoots, type ProtoSource } from '../../schema/load.ts'
import { membersOf } from './members.ts'
import { SELDON_PROTOS, type PackedMessage } from './schema.ts'

/** Of the data of clients for which no type is registered. Its JSON is a bare array. */
export const DEFAULT_TYPE = 'io.seldon.api.rpc.DefaultCustomPredictRequest'

/** A message type, with its codecs. */
export interface PayloadType {
  readonly name: string
  /** @throws GrpcError INVALID_ARGUMENT */
  fromJson (text: string): object
  toJson (message: object): string
  /** @throws Error for bytes that are no message of the type */
  fromBytes (bytes: Uint8Array): object
  toBytes (message: object): Uint8Array
}

/** The types of some .proto files; more may be added. */
export class PayloadTypes {
  #roots: readonly protobuf.Root[]
  #registry: TypeRegistry
  #codecs: JsonCodecs
  readonly #types = new Map<string, PayloadType>()

  constructor (protos: ProtoSource | undefined) {
    this.#roots = [...protos === undefined ? [] : loadRoots(protos, {}), ...loadRoots(SELDON_PROTOS, {})]
    this.#registry = new TypeRegistry(this.#roots)
    this.#codecs = new JsonCodecs(this.#registry)
  }

  /** Those that are added last come first, so that a type can be replaced. */
  add (protos: ProtoSource): void {
    this.#roots = [...loadRoots(protos, {}), ...this.#roots]
    this.#registry = new TypeRegistry(this.#roots)
    this.#codecs = new JsonCodecs(this.#registry)
    this.#types.clear()
  }

  /** @param name a full name */
  find (name: string): PayloadType | undefined {
    const known = this.#types.get(name)
    if (known !== undefined) return known
    const type = this.#registry.find(name)
    if (type === undefined) return undefined
    const made = payloadType(type, this.#codecs)
    this.#types.set(name, made)
    return made
  }

  /** The JSON of a packed message, without `@type`; null for none. */
  jsonOf (packed: PackedMessage | null | undefined): string {
    if (packed === null || packed === undefined) return 'null'
    const type = this.find(typeNameOf(packed.type_url))
    if (type !== undefined) return type.toJson(type.fromBytes(packed.value))
    return JSON.stringify({ '@type': packed.type_url, value: Buffer.from(packed.value).toString('base64') })
  }
}

function payloadType (type: protobuf.Type, codecs: JsonCodecs): PayloadType {
  const codec = { type, deserialize: deserializer(type, defaultMessageOptions), serialize: serializer(type) }
  const reader = codecs.reader(codec)
  const write = codecs.writer(codec)
  const name = type.fullName.slice(1)
  const isBare = name === DEFAULT_TYPE
  return {
    name,
    fromJson: text => reader.fromText(isBare && text.startsWith('[') ? `{"values":${text}}` : text) as object,
    toJson: message => isBare ? membersOf(write(message)).get('values') ?? '[]' : write(message),
    fromBytes: bytes => codec.deserialize(Buffer.from(bytes)),
    toBytes: codec.serialize
  }
}
