/** The ProtoJSON codec that the conformance suite judges. */
import type protobuf from 'protobufjs'
import { JsonCodecs, type JsonReader, type JsonWriter } from '../../src/json/codec.ts'
import type { MessageCodec } from '../../src/json/shapes.ts'
import { TypeRegistry } from '../../src/json/type-registry.ts'
import { deserializer, serializer } from '../../src/schema/definition.ts'

const readers = new Map<string, JsonReader>()
const writers = new Map<string, JsonWriter>()

function codecsOf ({ root }: protobuf.Type): JsonCodecs {
  return new JsonCodecs(new TypeRegistry([root]))
}

/** A codec as that of a definition. */
function codecOf (type: protobuf.Type): MessageCodec {
  return { type, deserialize: deserializer(type, {}), serialize: serializer(type) }
}

/**
 * @returns what `type.encode` takes
 * @throws when the text is no JSON of the type
 */
export function fromJson (type: protobuf.Type, text: string, { ignoreUnknownFields }: { ignoreUnknownFields: boolean }): object {
  const key = `${type.fullName} ${ignoreUnknownFields}`
  const reader = readers.get(key) ?? codecsOf(type).reader(codecOf(type), { unknownFields: ignoreUnknownFields ? 'ignore' : 'reject' })
  readers.set(key, reader)
  return type.fromObject(reader.fromText(text) as object)
}

/** @throws when the message has no JSON */
export function toJson (type: protobuf.Type, message: object): string {
  const writer = writers.get(type.fullName) ?? codecsOf(type).writer(codecOf(type))
  writers.set(type.fullName, writer)
  return writer(type.toObject(message as protobuf.Message))
}
