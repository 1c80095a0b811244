/** Where the descriptors of loaded types come from. They are made when somebody asks for them. */
import type protobuf from 'protobufjs'

/** Some .proto files, a descriptor set, or what @grpc/proto-loader has left. */
export interface DescriptorSource {
  /** Whether its files are as they were written. */
  readonly isExact: boolean
  /**
   * @returns serialized `google.protobuf.FileDescriptorProto`s: files with all that they import
   * @throws FGG_ERR_PROTO_SYNTAX, naming the file in which something is wrong
   */
  files (): readonly Uint8Array[]
}

const sources = new WeakMap<protobuf.Root, DescriptorSource>()

export function rememberSource (root: protobuf.Root, source: DescriptorSource): void {
  sources.set(root, source)
}

/** Each once, however many of the roots come from it. */
export function sourcesOf (roots: Iterable<protobuf.Root>): Set<DescriptorSource> {
  return new Set([...roots].map(root => sources.get(root)).filter(source => source !== undefined))
}
