/** The shapes of definitions, each proved to be what the definition's own codec makes. */
import { isDeepStrictEqual } from 'node:util'
import type protobuf from 'protobufjs'
import { makerOf } from '../schema/definition.ts'
import { detectShape } from './detect-shape.ts'
import { messageAt, placesIn, probesOf } from './probes.ts'
import { MessageReaders } from './reader/messages.ts'
import { Reading } from './reader/reading.ts'
import { wireShape, type Shape } from './shape.ts'
import type { TypeRegistry } from './type-registry.ts'
import { MessageWriters } from './writer/messages.ts'
import { Writing } from './writer/writing.ts'

/** The codec that a definition has for a message type. */
export interface MessageCodec {
  readonly type: protobuf.Type
  readonly deserialize: (bytes: Buffer) => unknown
  readonly serialize: (message: never) => Uint8Array
}

/** A shape, and the types for which it has been proved. */
interface KnownShape {
  readonly shape: Shape
  /** By what made the codec. */
  readonly proved: Map<string, Set<protobuf.Type>>
  readonly readers: MessageReaders
  readonly writers: MessageWriters
}

/** Finds shapes; those that are equal are one object. */
export class Shapes {
  readonly #types: TypeRegistry
  readonly #known: KnownShape[] = []
  readonly #wireWriters: MessageWriters
  /** By the function that makes messages; a method may have several routes. */
  readonly #found = new Map<MessageCodec['deserialize'], Shape | undefined>()

  constructor (types: TypeRegistry) {
    this.#types = types
    this.#wireWriters = new MessageWriters(wireShape, {}, types)
  }

  /** @returns undefined when it cannot be known how messages look, so that they have to go by bytes */
  of (codec: MessageCodec): Shape | undefined {
    if (!this.#found.has(codec.deserialize)) this.#found.set(codec.deserialize, this.#find(codec))
    return this.#found.get(codec.deserialize)
  }

  #find (codec: MessageCodec): Shape | undefined {
    // Of other functions it cannot be known what else they do: they may trim texts, or refuse messages.
    const maker = makerOf(codec.deserialize)
    if (maker === undefined || maker !== makerOf(codec.serialize)) return undefined
    const detected = detectShape(codec.type, codec.deserialize)
    if (detected === undefined) return undefined
    const known = this.#intern(detected)
    const proved = known.proved.get(maker) ?? new Set()
    known.proved.set(maker, proved)
    return this.#prove(codec, known, proved) ? known.shape : undefined
  }

  #intern (shape: Shape): KnownShape {
    const equal = this.#known.find(known => Object.entries(shape).every(([name, value]) => known.shape[name as keyof Shape] === value))
    if (equal !== undefined) return equal
    const known: KnownShape = {
      shape,
      proved: new Map(),
      readers: new MessageReaders(shape, { ignoreUnknown: false, nestingLimit: Infinity }, this.#types),
      writers: new MessageWriters(shape, {}, this.#types)
    }
    this.#known.push(known)
    return known
  }

  /** Whether every field of every type in the message is converted just as by bytes. */
  #prove ({ type, deserialize, serialize }: MessageCodec, { readers, writers }: KnownShape, proved: Set<protobuf.Type>): boolean {
    const read = readers.of(type)
    const write = writers.of(type)
    const writeWire = this.#wireWriters.of(type)
    const decodedText = (bytes: Uint8Array): string => writeWire(type.toObject(type.decode(bytes)), new Writing(''))
    const unproved = placesIn(type).filter(place => !proved.has(place.type))
    try {
      for (const place of unproved) {
        for (const probe of probesOf(place.type, type)) {
          const bytes = type.encode(messageAt(place, probe)).finish()
          const seen = deserialize(bytes as Buffer)
          if (!isDeepStrictEqual(read(JSON.parse(decodedText(bytes)), new Reading()), seen)) return false
          if (write(seen, new Writing('')) !== decodedText((serialize as (message: unknown) => Uint8Array)(seen))) return false
        }
      }
    } catch {
      return false
    }
    for (const place of unproved) proved.add(place.type)
    return true
  }
}
