/**
 * `google.rpc.Status` and the messages packed in it, to and from ProtoJSON.
 *
 * @see https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto
 */
import type protobuf from 'protobufjs'
import type { ErrorDetail } from '../errors.ts'
import { DEFAULT_NESTING_LIMIT } from './options.ts'
import { MessageReaders } from './reader/messages.ts'
import { Reading } from './reader/reading.ts'
import { wireShape } from './shape.ts'
import type { TypeRegistry } from './type-registry.ts'
import type { JsonValue } from './value.ts'
import { MessageWriters } from './writer/messages.ts'
import { Writing } from './writer/writing.ts'

const TYPE_URL_PREFIX = 'type.googleapis.com/'

interface PackedMessage { type_url: string, value: Uint8Array }

/** Reads and writes details with the types of a registry. */
export class StatusDetails {
  readonly #readers: MessageReaders
  readonly #writers: MessageWriters
  readonly #status: protobuf.Type
  readonly #any: protobuf.Type

  constructor (types: TypeRegistry) {
    this.#readers = new MessageReaders(wireShape, { ignoreUnknown: false, nestingLimit: DEFAULT_NESTING_LIMIT }, types)
    this.#writers = new MessageWriters(wireShape, {}, types)
    this.#status = types.find('google.rpc.Status')!
    this.#any = types.find('google.protobuf.Any')!
  }

  /**
   * Serializes a `google.rpc.Status`, the value of `grpc-status-details-bin`.
   *
   * @throws Error when a detail names a type that the registry lacks, or does not have that type's form
   */
  encode (code: number, message: string, details: readonly ErrorDetail[]): Buffer {
    return this.#status.encode(this.#status.create({ code, message, details: details.map(detail => this.#pack(detail)) })).finish() as Buffer
  }

  /** The details of a serialized `google.rpc.Status` as JSON; what cannot be decoded becomes `@type` and base64. */
  decode (bytes: Uint8Array): JsonValue[] {
    const { details } = this.#status.decode(bytes) as unknown as { details: Array<Partial<PackedMessage>> }
    return details.map(({ type_url: url = '', value = new Uint8Array() }) => this.#unpack({ type_url: url, value }))
  }

  #pack (detail: ErrorDetail): object {
    const { '@type': name, ...fields } = detail
    const reading = new Reading()
    const packed = this.#readers.of(this.#any)({ '@type': name.includes('/') ? name : TYPE_URL_PREFIX + name, ...fields }, reading)
    const [violation] = reading.violations
    if (violation !== undefined) throw new Error(`The error detail ${name} is wrong${violation.field === '' ? '' : ` at ${violation.field}`}: ${violation.description}`)
    return packed as object
  }

  #unpack (packed: PackedMessage): JsonValue {
    try {
      return JSON.parse(this.#writers.of(this.#any)(packed, new Writing('google.protobuf.Any')))
    } catch {
      return { '@type': packed.type_url, value: Buffer.from(packed.value).toString('base64') }
    }
  }
}
