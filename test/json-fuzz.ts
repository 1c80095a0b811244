/**
 * Mutated JSON against two other implementations of ProtoJSON: `npx tsx test/json-fuzz.ts [count] [seed]`.
 * Whatever the text, the reader gives a message or refuses it; it takes nothing that both of the others refuse, and
 * gives the same message as one that takes it.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { createFileRegistry, equals, fromBinary, fromJsonString, toBinary, toJson, type DescMessage, type JsonValue, type Message, type Registry } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import protojson from 'protobufjs/ext/protojson.js'
import { GrpcError, loadProto, status } from '../src/index.ts'
import { JsonCodecs, type JsonReader, type JsonWriter } from '../src/json/codec.ts'
import type { JsonOptions } from '../src/json/options.ts'
import type { MessageCodec } from '../src/json/shapes.ts'
import { TypeRegistry } from '../src/json/type-registry.ts'
import { deserializer, serializer } from '../src/schema/definition.ts'
import { loadedService } from '../src/schema/load.ts'
import { messageArbitrary } from './message-arbitrary.ts'

const everyKind = fileURLToPath(new URL('fixtures/every-kind.proto', import.meta.url))

export interface OracleSchema {
  readonly schema: DescMessage
  readonly registry: Registry
}

/** A message type as @bufbuild/protobuf has it. */
export function oracleSchema (proto: string, typeName: string): OracleSchema {
  const folder = mkdtempSync(join(tmpdir(), 'oracle-'))
  try {
    copyFileSync(proto, join(folder, basename(proto)))
    execFileSync(fileURLToPath(new URL('../node_modules/.bin/buf', import.meta.url)), ['build', folder, '-o', join(folder, 'set.binpb')])
    const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(join(folder, 'set.binpb'))))
    return { schema: registry.getMessage(typeName)!, registry }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A reader of a type that knows the types of the same files. */
export function readerOf (codec: MessageCodec, options: JsonOptions = {}): JsonReader {
  return new JsonCodecs(new TypeRegistry([codec.type.root])).reader(codec, options)
}

/** A writer of a type that knows the types of the same files. */
export function writerOf (codec: MessageCodec, options: JsonOptions = {}): JsonWriter {
  return new JsonCodecs(new TypeRegistry([codec.type.root])).writer(codec, options)
}

/** A codec whose users see messages as protobufjs encodes them. */
export function wireCodec (type: protobuf.Type): MessageCodec {
  return { type, deserialize: deserializer(type, { longs: String }), serialize: serializer(type) }
}

/** JSON text that keeps -0. */
export function stringify (json: unknown): string {
  const mark = 'the-number-minus-zero'
  return JSON.stringify(json, (_key, value: unknown) => Object.is(value, -0) ? mark : value).replaceAll(`"${mark}"`, '-0')
}

/** Whether two serialized messages say the same, whatever the order of their fields. */
export function sayTheSame ({ schema, registry }: OracleSchema, a: Uint8Array, b: Uint8Array): boolean {
  if (Buffer.compare(a, b) === 0) return true
  const [left, right] = [fromBinary(schema, a), fromBinary(schema, b)]
  if (Buffer.compare(toBinary(schema, left), toBinary(schema, right)) === 0 || equals(schema, left, right, { registry, unpackAny: true, unknown: true })) return true
  // To protojson, -0 is the default of a field without presence.
  const text = (message: Message): string => JSON.stringify(toJson(schema, message, { registry, alwaysEmitImplicit: true }))
  return text(left) === text(right)
}

export interface Fuzz {
  /** A text that is nearly the JSON of a message. The same seed gives the same text. */
  document (seed: number): string
  /** What is wrong with the outcome of reading a text; undefined when nothing is. */
  problemWith (text: string): string | undefined
  /** How many texts were taken so far. */
  taken (): number
}

type Outcome = { readonly bytes: Uint8Array } | { readonly error: unknown }

const SLOW_MS = 2000
/** protojson reads integers of this form as doubles, and @bufbuild/protobuf refuses them. */
const INTEGER_AS_DECIMAL = /"-?(?:[\d.]{9,}[eE][+-]?\d+|\d{9,}\.\d+)"/
/** protojson drops the dot, and @bufbuild/protobuf all before the name of the type. */
const URL_WITH_DOT = /"@type"\s*:\s*"\./
/** What @bufbuild/protobuf says of messages that nest a level deeper than it goes. */
const TOO_DEEP = /recursion/

export function createFuzz (): Fuzz {
  const oracle = oracleSchema(everyKind, 'test.every_kind.EveryKind')
  const type = loadedService(loadProto(everyKind).EveryKindService!)!.methods[0]!.requestType
  const readers = [false, true].map(ignore => readerOf(wireCodec(type), { unknownFields: ignore ? 'ignore' : 'reject' }))
  const documents = fc.sample(messageArbitrary(type, { depth: 2, unknownEnumNumbers: true }), { numRuns: 300, seed: 1 })
    .map(message => stringify(toJson(oracle.schema, fromBinary(oracle.schema, type.encode(type.fromObject(message)).finish()), { registry: oracle.registry })))
    .filter(text => text.length < 2000)
  const seeds = [...documents, ...DOCUMENTS]
  let taken = 0

  function problemWithMode (text: string, ignore: boolean): string | undefined {
    const start = performance.now()
    const ours = outcome(() => type.encode(type.fromObject(readers[Number(ignore)]!.fromText(text) as object)).finish())
    const took = performance.now() - start
    if (took > SLOW_MS) return `took ${took.toFixed()} ms`
    if ('error' in ours) return isRefusal(ours.error) ? undefined : `threw ${String((ours.error as Error)?.stack ?? ours.error)}`
    taken++
    const others = [
      outcome(() => toBinary(oracle.schema, fromJsonString(oracle.schema, text, { registry: oracle.registry, ignoreUnknownFields: ignore }))),
      outcome(() => type.encode(protojson.fromJsonString(type, text, { ignoreUnknownFields: ignore })).finish())
    ]
    if (others.every(other => 'error' in other)) {
      // What is ignored may hold a member twice.
      const isIgnored = ignore && others.every(other => 'error' in other && /duplicate (?:object )?key/.test(String(other.error)))
      return isIgnored || packsUnknownType(JSON.parse(text), oracle.registry) ? undefined : `was taken, but others say: ${others.map(other => 'error' in other ? String(other.error) : '').join('; ')}`
    }
    const decoded = outcome(() => toBinary(oracle.schema, fromBinary(oracle.schema, ours.bytes)))
    if ('error' in decoded) return TOO_DEEP.test(String(decoded.error)) ? undefined : `gave bytes that are no message: ${String(decoded.error)}`
    if (INTEGER_AS_DECIMAL.test(text) || URL_WITH_DOT.test(text)) return undefined
    // Where the two disagree, one of them has a fault of its own.
    return others.some(other => 'bytes' in other && isSame(oracle, ours.bytes, other.bytes)) ? undefined : 'gave another message'
  }

  return {
    document: seed => mutated(seeds, new Random(seed)),
    problemWith: text => problemWithMode(text, false) ?? problemWithMode(text, true),
    taken: () => taken
  }
}

function outcome (read: () => Uint8Array): Outcome {
  try {
    return { bytes: read() }
  } catch (error) {
    return { error }
  }
}

/** The others may make bytes that are no message. */
function isSame (oracle: OracleSchema, ours: Uint8Array, theirs: Uint8Array): boolean {
  try {
    return sayTheSame(oracle, ours, theirs)
  } catch {
    return false
  }
}

function isRefusal (error: unknown): boolean {
  return error instanceof GrpcError && error.code === status.INVALID_ARGUMENT && error.errorDetails.length === 1 && error.details.length > 0
}

/** The others refuse every type that they do not know; here its bytes are taken as base64. */
function packsUnknownType (json: JsonValue, registry: Registry): boolean {
  if (typeof json !== 'object' || json === null) return false
  const url = Array.isArray(json) ? undefined : json['@type']
  return (typeof url === 'string' && registry.getMessage(url.slice(url.lastIndexOf('/') + 1)) === undefined) ||
    Object.values(json).some(value => packsUnknownType(value, registry))
}

/** A small generator of random numbers, the same for the same seed. */
class Random {
  #state: number

  constructor (seed: number) {
    this.#state = Math.imul(seed, 0x9e3779b1) ^ 0x5bf03635
  }

  /** A whole number from 0 up to a limit. */
  below (limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
  }

  of<T> (items: readonly T[]): T {
    return items[this.below(items.length)]!
  }
}

/** Texts of which every member is a way to go. */
const DOCUMENTS = [
  '{}', '{"stringValue":"a:b","string_value":"x"}',
  '{"int32Value":1,"int64Value":"-7","uint64Value":7,"floatValue":1.5,"doubleValue":-0,"boolValue":true,"enumValue":"COLOR_RED","shape":2}',
  '{"oneOfs":{"chosenEnum":"COLOR_BLUE","between":"x","chosenInner":{"innermost":{"depth":-1}}}}',
  '{"oneOfs":{"chosenValue":null},"wellKnown":{"value":null,"nullValue":null,"values":[null,1,"x",{"a":[true]}]}}',
  '{"wellKnown":{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.5s"},"anys":[{"@type":"x/test.every_kind.EveryKind","int32Value":7},{}]}}',
  '{"wellKnown":{"any":{"@type":"type.googleapis.com/no.such.Type","value":"aGk="}}}',
  '{"wellKnown":{"timestamp":"2024-02-29T23:59:59.123456789+01:30","duration":"-0.000000001s","fieldMask":"a.bC,d","struct":{"a":{"b":[1,null]}},"empty":{}}}',
  '{"wellKnown":{"int64Wrapper":"9007199254740993","floatWrapper":"NaN","boolWrapper":false,"bytesWrapper":"_-8","stringWrapper":"","uint64Wrapper":0}}',
  '{"maps":{"byInt32":{"-1":"x"},"byInt64":{"9007199254740993":""},"byUint64":{"18446744073709551615":"COLOR_LAST"},"byBool":{"true":false},"byString":{"__proto__":"1"},"values":{"x":null},"tree":{"":{"child":{}}}}}',
  '{"repeatedValues":{"int64Values":["1",2],"floatValues":[0.1,"Infinity"],"bytesValues":["","/w=="],"enumValues":["COLOR_CRIMSON",-1,5],"stringValues":["a","\\u003a"]}}',
  '{"children":[{"children":[{"stringValue":"x"},{}]},{"inner":{"state":"STATE_ON","all":[{"name":"n"}]}}],"names":{"given-name":"x","_Leading":"y","class":"z"}}',
  '{"optionalValues":{"doubleValue":0,"stringValue":"","bytesValue":"","enumValue":0,"int64Value":"0","messageValue":{}}}'
]

const ODD_VALUES = [
  '0', '-0', '1', '-1', '1.0', '1e2', '1E+2', '-1.5', '1e-7', '0.1', '1e400', '-1e400', '1e39', '3.5e38', '2147483647', '2147483648', '-2147483649', '4294967295', '4294967296',
  '9007199254740991', '9007199254740992', '9007199254740993', '9223372036854774784', '9223372036854775807', '9223372036854775808', '18446744073709551615', '18446744073709551616', '9007199254740990.7', '100000000000000000000000',
  '01', '+1', '.5', '1.', '0x10', '1_0', 'NaN', 'Infinity', '-Infinity', 'undefined', "'x'",
  '"NaN"', '"Infinity"', '"-Infinity"', '"infinity"', '"1"', '"-1"', '"1.0"', '"1e2"', '"1.5"', '"-0"', '"01"', '" 1"', '"1 "', '"+1"', '"0x1"', '""', '"1e400"', '"9223372036854775808"', '"18446744073709551616"', '"true"', '"null"',
  'true', 'false', 'null', '[]', '{}', '[[]]', '[null]', '[1,"1"]', '{"":0}', '{"a":1}', '{"__proto__":{}}', '{"constructor":null}', '{"toString":"x"}', '{"value":1}', '{"@type":""}', '{"@type":"x/google.protobuf.Empty"}', '{"@type":"x/google.protobuf.Any","value":{}}',
  '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude80"', '"\\u0000"', '"\\x"', '"\u0001"', '"\\u12"', '"a\tb"', '"a:b"', '"Łabc"', '"YQ"', '"YQ="', '"YQ=="', '"Y Q="', '"Y"', '"-_+/"', '"YQ==YQ=="',
  '"2024-02-29T00:00:00Z"', '"2023-02-29T00:00:00Z"', '"0001-01-01T00:00:00Z"', '"0000-12-31T23:59:59Z"', '"9999-12-31T23:59:59.999999999Z"', '"9999-12-31T23:59:59-01:00"', '"2024-01-01T00:00:00.1234567890Z"', '"2024-01-01t00:00:00z"', '"2024-01-01T24:00:00Z"', '"2024-01-01T00:00:60Z"', '"2024-01-01T00:00:00+24:00"', '"2024-01-01"',
  '"1s"', '"-1s"', '"0.5s"', '".5s"', '"1.s"', '"+1s"', '"1"', '"-0.0s"', '"315576000000s"', '"315576000001s"', '"1.0000000001s"', '"a,b"', '"a_b"', '"aB.c"', '","', '"A"', '"a..b"', '"a,"', '"COLOR_RED"', '"COLOR_NOPE"', '"SHAPE_ROUND"', '"NULL_VALUE"'
]

const ODD_KEYS = [
  '"__proto__"', '"constructor"', '"toString"', '"hasOwnProperty"', '""', '"nope"', '"@type"', '"value"', '"stringValue"', '"string_value"', '"int32Value"', '"int64Value"', '"uint64Value"', '"floatValue"', '"doubleValue"', '"boolValue"',
  '"bytesValue"', '"enumValue"', '"child"', '"children"', '"oneOfs"', '"one_ofs"', '"wellKnown"', '"maps"', '"names"', '"inner"', '"string\\u0056alue"', '"\\u003a"', '"a:b"', '"\\ud800"', '"0"', '"-0"', '"1"', '"01"', '"true"', '"chosenBool"', '"chosenString"', '"timestamp"', '"duration"', '"struct"', '"any"', '"nullValue"'
]

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^"{}[\],:\s]+|\s+|"/g
const ANY_TEXT = ['{', '}', '[', ']', ',', ':', '"', '\\', ' ', '\n', '\t', '\ufeff', '\u00a0', '\u2028', '/**/', '0', '-', 'e', '.', '\u0000', 'é', '🚀', '\ud800']
const MOST_LENGTH = 20_000

function mutated (seeds: readonly string[], random: Random): string {
  let text = random.of(seeds)
  for (let left = random.below(4); left >= 0; left--) {
    text = random.below(8) === 0 ? mutateText(text, random) : mutateTokens(text, random)
    if (text.length > MOST_LENGTH) return text.slice(0, MOST_LENGTH)
  }
  return text
}

function mutateText (text: string, random: Random): string {
  const start = random.below(text.length + 1)
  const end = Math.min(text.length, start + 1 + random.below(6))
  switch (random.below(4)) {
    case 0: return text.slice(0, start) + text.slice(end)
    case 1: return text.slice(0, start) + random.of(ANY_TEXT) + text.slice(start)
    case 2: return text.slice(0, end) + text.slice(start)
    default: return text.slice(0, start) + random.of(ANY_TEXT) + text.slice(end)
  }
}

/** Where the value that begins with a token ends. */
function endOfValue (tokens: readonly string[], start: number): number {
  let depth = 0
  for (let i = start; i < tokens.length; i++) {
    if (tokens[i] === '{' || tokens[i] === '[') depth++
    if (tokens[i] === '}' || tokens[i] === ']') depth--
    if (depth <= 0) return i + 1
  }
  return tokens.length
}

function mutateTokens (text: string, random: Random): string {
  const tokens = text.match(TOKEN) ?? []
  const colons = tokens.flatMap((token, i) => token === ':' ? [i] : [])
  if (colons.length === 0) return `{${random.of(ODD_KEYS)}:${random.of(ODD_VALUES)}}`
  const colon = random.of(colons)
  const [member, value] = [Math.max(colon - 1, 0), colon + 1]
  const end = endOfValue(tokens, value)
  const replace = (from: number, to: number, ...added: string[]): string => tokens.toSpliced(from, to - from, ...added).join('')
  const valueText = tokens.slice(value, end).join('')
  switch (random.below(13)) {
    case 0: case 1: case 2: return replace(value, end, random.of(ODD_VALUES))
    case 3: case 4: return replace(member, colon, random.of(ODD_KEYS))
    case 5: return replace(end, end, ',', ...tokens.slice(member, end))
    case 6: return replace(end, end, ',', random.of(ODD_KEYS), ':', random.of(ODD_VALUES))
    case 7: return replace(member, end)
    case 8: {
      const other = random.of(colons) + 1
      return replace(value, end, ...tokens.slice(other, endOfValue(tokens, other)))
    }
    case 9: return replace(value, end, `[${valueText},${random.of([valueText, random.of(ODD_VALUES)])}]`)
    case 10: {
      const [open, close] = random.of([['[', ']'], ['{"child":', '}'], ['{"a":', '}'], ['{"children":[', ']}']] as const)
      const levels = random.of([1, 2, 50, 99, 101, 110, 300])
      return replace(value, end, open.repeat(levels), valueText, close.repeat(levels))
    }
    case 11: {
      const from = random.below(tokens.length)
      return replace(from, Math.min(tokens.length, from + 1 + random.below(5)), ...random.of([[], [random.of(ODD_VALUES)], [random.of(ANY_TEXT)]]))
    }
    default: return replace(colon, colon, random.of([' ', '\n', '\t\r\n', ' \u00a0'])).replaceAll(',', random.of([',', ', ', ' ,\n']))
  }
}

const DEFAULT_COUNT = 1_000_000

function main ([count = String(DEFAULT_COUNT), seed = String(Date.now() % 1e9)]: readonly string[]): number {
  const fuzz = createFuzz()
  const start = performance.now()
  console.log(`seed ${seed}, ${count} texts`)
  for (let i = 0; i < Number(count); i++) {
    const text = fuzz.document(Number(seed) + i)
    const problem = fuzz.problemWith(text)
    if (problem !== undefined) {
      console.error(`Text ${Number(seed) + i} ${problem}\n${JSON.stringify(text)}`)
      return 1
    }
    if ((i + 1) % 50_000 === 0) console.log(`${i + 1} texts, ${fuzz.taken()} taken, ${((performance.now() - start) / 1000).toFixed()} s`)
  }
  return 0
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exitCode = main(process.argv.slice(2))
