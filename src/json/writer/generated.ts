/** Which of the two generated writers a message type gets. */
import protobuf from 'protobufjs'
import { placesIn } from '../probes.ts'
import { TextGenerator } from './generated-text.ts'
import { ValueGenerator } from './generated-value.ts'
import type { MessageWriters } from './messages.ts'
import type { ValueWriter } from './writing.ts'

export class GeneratedWriters {
  readonly #text: TextGenerator
  readonly #value: ValueGenerator

  constructor (writers: MessageWriters) {
    this.#text = new TextGenerator(writers)
    this.#value = new ValueGenerator(writers)
  }

  /** It throws, whatever it may be, where the closures have to be asked. */
  of (type: protobuf.Type): ValueWriter {
    return isSmall(type) || isDynamic(type) ? this.#text.of(type) : this.#value.of(type)
  }
}

const MOST_SMALL_FIELDS = 8

/** Small messages are put together faster than JSON.stringify does it. */
function isSmall (type: protobuf.Type): boolean {
  return type.fieldsArray.length <= MOST_SMALL_FIELDS && type.fieldsArray.every(field =>
    !field.repeated && !field.map && !(field.resolve().resolvedType instanceof protobuf.Type))
}

const DYNAMIC_TYPES: ReadonlySet<string> = new Set(['Any', 'Struct', 'Value', 'ListValue'].map(name => `.google.protobuf.${name}`))

/** JSON.stringify cannot make the text of a `Struct` without that being parsed first. */
function isDynamic (type: protobuf.Type): boolean {
  return placesIn(type).some(place => DYNAMIC_TYPES.has(place.type.fullName))
}
