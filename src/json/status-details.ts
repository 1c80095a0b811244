/**
 * `google.rpc.Status` and the messages packed in it, to and from ProtoJSON.
 *
 * @see https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto
 */
import protobuf from 'protobufjs'
import protojson from 'protobufjs/ext/protojson.js'
import type { ErrorDetail } from '../errors.ts'
import { bundledProto } from '../schema/proto-files.ts'
import type { JsonValue } from './codec.ts'

const TYPE_URL_PREFIX = 'type.googleapis.com/'

interface PackedMessage { type_url: string, value: Uint8Array }

/** Finds message types by name: in the files of the services that are served, in google.rpc and google.protobuf. */
export class TypeRegistry {
  readonly #roots: Set<protobuf.Root>

  constructor (roots: Iterable<protobuf.Root> = []) {
    this.#roots = new Set([...roots, googleTypes()])
  }

  find (name: string): protobuf.Type | undefined {
    for (const root of this.#roots) {
      const found = root.lookup(`.${name}`, protobuf.Type)
      // protobufjs takes a type of that name in another package too.
      if (found?.fullName === `.${name}`) return found as protobuf.Type
    }
    return undefined
  }
}

const GOOGLE_FILES = [
  'google/rpc/status.proto', 'google/rpc/error_details.proto', 'google/protobuf/empty.proto', 'google/protobuf/field_mask.proto',
  'google/protobuf/struct.proto', 'google/protobuf/timestamp.proto', 'google/protobuf/wrappers.proto'
]

let google: protobuf.Root | undefined

function googleTypes (): protobuf.Root {
  if (google === undefined) {
    google = new protobuf.Root()
    google.resolvePath = (_importer, file) => protobuf.common.get(file) === null ? bundledProto(file) : file
    google.loadSync(GOOGLE_FILES)
    google.resolveAll()
  }
  return google
}

/**
 * Serializes a `google.rpc.Status`, the value of `grpc-status-details-bin`.
 *
 * @throws Error when a detail names a type that the registry lacks, or does not have that type's form
 */
export function encodeStatusDetails (code: number, message: string, details: readonly ErrorDetail[], types: TypeRegistry): Buffer {
  const status = types.find('google.rpc.Status')!
  return status.encode(status.create({ code, message, details: details.map(detail => pack(detail, types)) })).finish() as Buffer
}

/** The details of a serialized `google.rpc.Status` as JSON; a type that the registry lacks becomes `@type` and base64. */
export function decodeStatusDetails (bytes: Uint8Array, types: TypeRegistry): JsonValue[] {
  const status = types.find('google.rpc.Status')!
  const { details } = status.decode(bytes) as unknown as { details: Array<Partial<PackedMessage>> }
  return details.map(({ type_url: url = '', value = new Uint8Array() }) => unpack({ type_url: url, value }, types))
}

function pack ({ '@type': name, ...fields }: ErrorDetail, types: TypeRegistry): PackedMessage {
  const typeName = name.slice(name.lastIndexOf('/') + 1)
  const type = types.find(typeName)
  if (type === undefined) throw new Error(`No message type ${typeName} is known, which an error detail names`)
  const json = type.fullName.startsWith('.google.protobuf.') ? fields.value : fields
  return {
    type_url: name.includes('/') ? name : TYPE_URL_PREFIX + typeName,
    value: type.encode(protojson.fromJson(type, json)).finish()
  }
}

function unpack ({ type_url: url, value }: PackedMessage, types: TypeRegistry): JsonValue {
  const type = types.find(url.slice(url.lastIndexOf('/') + 1))
  try {
    if (type !== undefined) {
      const json = protojson.toJson(type, type.decode(value))
      return type.fullName.startsWith('.google.protobuf.') ? { '@type': url, value: json } : { '@type': url, ...json }
    }
  } catch {
    // A detail that does not decode by its own type is passed on as it came.
  }
  return { '@type': url, value: Buffer.from(value).toString('base64') }
}
