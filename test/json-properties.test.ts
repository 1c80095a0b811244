/** ProtoJSON readers and writers against random messages, random shapes and mutated texts. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fromBinary, fromJsonString, toBinary, toJson } from '@bufbuild/protobuf'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import fc from 'fast-check'
import type protobuf from 'protobufjs'
import protojson from 'protobufjs/ext/protojson.js'
import t from 'tap'
import { implement, loadProto, type GrpcError, type LoadOptions } from '../src/index.ts'
import { membersIn } from '../src/json/exact-json.ts'
import type { JsonWriteOptions } from '../src/json/options.ts'
import { GeneratedReaders } from '../src/json/reader/generated.ts'
import { MessageReaders } from '../src/json/reader/messages.ts'
import { Reading } from '../src/json/reader/reading.ts'
import type { Shape } from '../src/json/shape.ts'
import type { MessageCodec } from '../src/json/shapes.ts'
import { TypeRegistry } from '../src/json/type-registry.ts'
import type { JsonValue } from '../src/json/value.ts'
import { TextGenerator } from '../src/json/writer/generated-text.ts'
import { ValueGenerator } from '../src/json/writer/generated-value.ts'
import { MessageWriters } from '../src/json/writer/messages.ts'
import { Writing, type ValueWriter } from '../src/json/writer/writing.ts'
import { serviceDescriber } from '../src/schema/from-definition.ts'
import { createFuzz, oracleSchema, readerOf, sayTheSame, stringify, wireCodec, writerOf, type OracleSchema } from './json-fuzz.ts'
import { messageArbitrary } from './message-arbitrary.ts'
import { serve } from './serving.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))
const everyKind = fixture('every-kind.proto')
const SERVICE = 'test.every_kind.EveryKindService'

function requestTypeOf (definition: ServiceDefinition): protobuf.Type {
  return serviceDescriber()(definition).methods[0]!.requestType
}

const everyKindType = requestTypeOf(loadProto(everyKind)[SERVICE]!)
const oracle = oracleSchema(everyKind, 'test.every_kind.EveryKind')

function oracleText ({ schema, registry }: OracleSchema, bytes: Uint8Array): string {
  return stringify(toJson(schema, fromBinary(schema, bytes), { registry }))
}

/** Serialized random messages. */
function serialized (type: protobuf.Type, depth: number): fc.Arbitrary<Uint8Array> {
  return messageArbitrary(type, { depth, unknownEnumNumbers: true }).map(message => type.encode(type.fromObject(message)).finish())
}

type Outcome<T> = { value: T } | { failed: true }

/** The result of a function, or that it fails. */
function outcome<T> (run: () => T): Outcome<T> {
  try {
    return { value: run() }
  } catch {
    return { failed: true }
  }
}

const loadOptions: fc.Arbitrary<LoadOptions> = fc.record({
  keepCase: fc.boolean(),
  longs: fc.constantFrom(String, Number, undefined),
  enums: fc.constantFrom(String, undefined),
  bytes: fc.constantFrom(String, Array, undefined),
  defaults: fc.boolean(),
  arrays: fc.boolean(),
  objects: fc.boolean(),
  oneofs: fc.boolean()
})

const show = (options: object): string => JSON.stringify(options, (_key, value: unknown) => typeof value === 'function' ? value.name : value)

interface Method { requestDeserialize: (bytes: Buffer) => unknown, responseSerialize: (message: unknown) => Uint8Array }

/** Counts how often messages of a type become bytes, or bytes messages, by protobufjs. */
function countUses (type: protobuf.Type): { count: number } {
  const uses = { count: 0 }
  for (const name of ['encode', 'decode'] as const) {
    const original = type[name] as (...args: unknown[]) => unknown
    Object.assign(type, { [name]: (...args: unknown[]) => { uses.count++; return original.apply(type, args) } })
  }
  return uses
}

t.test('JSON is converted to and from what handlers see just as bytes are, and without them', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'json-properties-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const stripped = join(folder, 'every-kind.proto')
  // @grpc/proto-loader makes keys of 64 bits into eight characters, and sends the key false as true.
  writeFileSync(stripped, readFileSync(everyKind, 'utf8').replace(/^ *map<(?:int64|uint64|sint64|fixed64|sfixed64|bool),.*$/gm, ''))
  const oracle = oracleSchema(stripped, 'test.every_kind.EveryKind')

  for (const [loader, load] of Object.entries({
    loadProto: (options: LoadOptions) => loadProto(stripped, options)[SERVICE]!,
    'proto-loader': (options: LoadOptions) => loadSync(stripped, options as object)[SERVICE] as ServiceDefinition
  })) {
    t.test(`definitions of ${loader}`, async t => {
      const type = requestTypeOf(loadProto(stripped)[SERVICE]!)
      const messages = fc.array(serialized(type, 3), { minLength: 6, maxLength: 6 })
      const seen = new Set<string>()
      fc.assert(fc.property(loadOptions, messages, (options, messages) => {
        seen.add(show(options))
        const definition = load(options)
        const method = definition.Echo as MethodDefinition<unknown, unknown> as Method
        // Of the names in JSON, @grpc/proto-loader keeps only those that follow from others.
        const ownType = loader === 'loadProto' ? requestTypeOf(definition) : type
        const codec: MessageCodec = { type: ownType, deserialize: method.requestDeserialize, serialize: method.responseSerialize }
        const [reader, writer] = [readerOf(codec), writerOf(codec)]
        const uses = countUses(ownType)
        for (const bytes of messages) {
          const expected = method.requestDeserialize(bytes as Buffer)
          const text = oracleText(oracle, bytes)
          uses.count = 0
          deepStrictEqual(reader.fromText(text), expected)
          const written = outcome(() => writer(expected))
          // An Any may hold a message of the same type.
          if (!text.includes('@type') && 'value' in written) strictEqual(uses.count, 0, 'messages went by bytes')
          const sent = outcome(() => method.responseSerialize(expected))
          if ('value' in sent && 'value' in written) {
            const back = toBinary(oracle.schema, fromJsonString(oracle.schema, written.value, { registry: oracle.registry }))
            if (!sayTheSame(oracle, back, sent.value)) deepStrictEqual(written.value, oracleText(oracle, sent.value))
          } else {
            // 64-bit integers that numbers have rounded out of their range cannot be sent in either way.
            strictEqual('failed' in written, 'failed' in sent)
          }
        }
      }), { numRuns: 32 })
      t.ok(seen.size >= 20, `${seen.size} combinations of options`)
    })
  }
})

const shapes: fc.Arbitrary<Shape> = fc.record({
  names: fc.constantFrom('proto', 'camel', 'reflection'),
  longs: fc.constantFrom('string', 'number'),
  enums: fc.constantFrom('name', 'number'),
  bytes: fc.constantFrom('buffer', 'base64', 'array'),
  defaults: fc.boolean(),
  arrays: fc.boolean(),
  objects: fc.boolean(),
  oneofs: fc.constantFrom(undefined, 'reflection', 'camel', 'snake')
})

const typesToRead: Readonly<Record<string, protobuf.Type>> = {
  'every-kind': everyKindType,
  proto2: requestTypeOf(loadProto(fixture('every-kind-proto2.proto')).Proto2Service!),
  editions: requestTypeOf(loadProto(fixture('editions.proto')).EditionService!),
  plain: requestTypeOf(loadProto(fixture('plain.proto')).PlainService!)
}

const fuzz = createFuzz()
const ODD_NUMBERS = ['0', '-0', '1', '1.5', '1e2', '2147483648', '4294967295', '9007199254740993', '"7"', '"1e2"', '"NaN"', 'null', '"x"', 'true', '[]', '{}', '{"toString":1}', '[1,null]', '"\\ud800"']

/** JSON of a type as it is, or with some of its values replaced. */
function jsonTexts (type: protobuf.Type): fc.Arbitrary<string> {
  const write = writerOf(wireCodec(type))
  const valid = messageArbitrary(type, { depth: 3 }).map(message => write(type.toObject(type.fromObject(message))))
  const broken = fc.tuple(valid, fc.nat(), fc.constantFrom(...ODD_NUMBERS)).map(([text, at, odd]) => {
    const values = [...text.matchAll(/:(?:"(?:[^"\\]|\\.)*"|[^"{}[\],:]+)/g)]
    const found = values[at % (values.length || 1)]
    return found === undefined ? text : `${text.slice(0, found.index)}:${odd}${text.slice(found.index + found[0].length)}`
  })
  return fc.oneof(valid, broken)
}

const fuzzTexts = fc.nat({ max: 1e9 }).map(seed => fuzz.document(seed))

function parsed (text: string): JsonValue | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

for (const [name, type] of Object.entries(typesToRead)) {
  t.test(`a generated reader that takes a document gives what the closures give: ${name}`, async t => {
    const texts = name === 'every-kind' ? fc.oneof(jsonTexts(type), fuzzTexts) : jsonTexts(type)
    const documents = fc.array(texts, { minLength: 40, maxLength: 40 })
    let taken = 0
    fc.assert(fc.property(shapes, fc.boolean(), documents, (shape, ignoreUnknown, documents) => {
      const readers = new MessageReaders(shape, { ignoreUnknown, nestingLimit: 100 }, new TypeRegistry([type.root]))
      const [fast, exact] = [new GeneratedReaders(readers).of(type), readers.of(type)]
      for (const text of documents) {
        const json = parsed(text)
        if (json === undefined) continue
        const reading = new Reading()
        const message = fast(json, reading)
        if (message === undefined || !reading.isUnharmed || (!ignoreUnknown && reading.members !== membersIn(json))) continue
        taken++
        const exactly = new Reading()
        deepStrictEqual([message, exactly.violations], [exact(parsed(text), exactly), []], text)
      }
    }), { numRuns: 50 })
    t.ok(taken > 500, `${taken} documents were taken`)
  })
}

const ODD_VALUES: readonly unknown[] = [
  undefined, null, 'many', '7', '-0', '007', 7, -0, 0, 1.5, NaN, -Infinity, 2 ** 31, 2 ** 53, 2 ** 63, 2 ** 64, 7n, -1n, true, '', 'a:b', '\ud800', 'é\u2028', [], {}, [null], [undefined], { a: 1 }, { __proto__: null, x: 'y' },
  { low: 7, high: 0, unsigned: false }, Buffer.from('hi'), new Uint8Array([1, 255]), [1, 256], new Date(0), new Map([['a', 1]]), new Set(), Promise.resolve('x'), Symbol('s'), () => 1, JSON.parse('{"__proto__":"x"}'), 'COLOR_RED', 0.1, Math.fround(0.1), 3.4028234663852886e38, 3.5e38, 1e21
]

/** Puts an odd value somewhere into a message. */
function spoil (message: unknown, at: number, odd: unknown): void {
  const places: Array<[Record<string, unknown>, string]> = []
  const visit = (node: unknown, depth: number): void => {
    if (typeof node !== 'object' || node === null || ArrayBuffer.isView(node) || depth > 6) return
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key])
      visit((node as Record<string, unknown>)[key], depth + 1)
    }
  }
  visit(message, 0)
  const [owner, key] = places[at % (places.length || 1)] ?? []
  if (owner !== undefined) Object.defineProperty(owner, key!, { value: odd, enumerable: true, writable: true, configurable: true })
}

const writeOptions: fc.Arbitrary<JsonWriteOptions> = fc.record({
  fieldNames: fc.constantFrom('json', 'proto'),
  emitDefaults: fc.boolean(),
  int64: fc.constantFrom('string', 'number'),
  enums: fc.constantFrom('name', 'number')
})

for (const [name, type] of Object.entries(typesToRead)) {
  t.test(`a generated writer that gives a text gives that of the closures: ${name}`, async t => {
    const cases = fc.array(fc.record({ text: jsonTexts(type), spoilt: fc.boolean(), at: fc.nat(), odd: fc.constantFrom(...ODD_VALUES) }), { minLength: 30, maxLength: 30 })
    let written = 0
    fc.assert(fc.property(shapes, writeOptions, cases, (shape, options, cases) => {
      const types = new TypeRegistry([type.root])
      const read = new MessageReaders(shape, { ignoreUnknown: false, nestingLimit: 100 }, types).of(type)
      const writers = new MessageWriters(shape, options, types)
      const exact = writers.of(type)
      const generated: ValueWriter[] = [new TextGenerator(writers).of(type), new ValueGenerator(writers).of(type)]
      for (const { text, spoilt, at, odd } of cases) {
        const message = read(parsed(text), new Reading())
        if (message === undefined) continue
        if (spoilt) spoil(message, at, odd)
        const expected = outcome<string>(() => exact(message, new Writing('')))
        for (const write of generated) {
          const actual: Outcome<string> = outcome<string>(() => write(message, new Writing('')))
          if ('failed' in actual) continue
          written++
          deepStrictEqual(actual, expected)
        }
      }
    }), { numRuns: 30 })
    t.ok(written > 100, `${written} texts`)
  })
}

/** As it is written, which is a little more than it is. protojson takes only what it is. */
const LARGEST_FLOAT = '3.4028235e+38'

t.test('random messages come through the HTTP route as two other implementations write and read them', async t => {
  const definition = loadProto(everyKind)[SERVICE]!
  const { requestDeserialize } = definition.Echo as MethodDefinition<unknown, unknown>
  let seen: unknown
  const echo = implement(definition as never, { Echo: (request: object) => { seen = request; return request } } as never)
  const { post } = await serve(t, { services: [echo] })
  // To protojson, -0 is the default of a field without presence.
  const messages = serialized(everyKindType, 3).filter(bytes => !/[:[,]-0[,\]}]/.test(oracleText(oracle, bytes)))
  await fc.assert(fc.asyncProperty(messages, async bytes => {
    const texts = [oracleText(oracle, bytes), stringify(protojson.toJson(everyKindType, everyKindType.decode(bytes)))]
    for (const text of texts) {
      const { status, text: reply } = await post(`/grpc/${SERVICE}/Echo`, text)
      strictEqual(status, 200, reply)
      deepStrictEqual(seen, requestDeserialize(Buffer.from(bytes)))
      const readBack = [
        toBinary(oracle.schema, fromJsonString(oracle.schema, reply, { registry: oracle.registry })),
        everyKindType.encode(protojson.fromJsonString(everyKindType, reply.replaceAll(LARGEST_FLOAT, String(Math.fround(Number(LARGEST_FLOAT)))))).finish()
      ]
      for (const back of readBack) if (!sayTheSame(oracle, back, bytes)) deepStrictEqual(reply, oracleText(oracle, bytes))
    }
  }), { numRuns: 30, examples: [[Buffer.from([154, 1, 8, 154, 1, 5, 21, 255, 255, 127, 127])]] })
})

/** Decimal texts of all forms, and the exact number that each stands for, as a fraction of powers of ten. */
const decimals = fc.record({ sign: fc.constantFrom('', '-'), digits: fc.bigInt({ min: 1n, max: 10n ** 20n }), point: fc.nat({ max: 6 }), exponent: fc.integer({ min: -6, max: 20 }) })
  .map(({ sign, digits, point, exponent }) => {
    const padded = String(digits).padStart(point + 1, '0')
    const mantissa = point === 0 ? padded : `${padded.slice(0, -point)}.${padded.slice(-point)}`
    const power = exponent - point
    const value = power >= 0 ? digits * 10n ** BigInt(power) : digits % 10n ** BigInt(-power) === 0n ? digits / 10n ** BigInt(-power) : undefined
    return { text: `${sign}${mantissa}${exponent === 0 ? '' : `e${exponent}`}`, value: value === undefined ? undefined : sign === '-' ? -value : value }
  })

t.test('a number that is taken for a 64-bit integer is exactly what the text says', async t => {
  const reader = readerOf(wireCodec(everyKindType))
  let taken = 0
  fc.assert(fc.property(decimals, fc.constantFrom('int64Value', 'uint64Value'), ({ text, value }, field) => {
    const read = outcome(() => reader.fromText(`{"${field}":${text}}`) as Record<string, string>)
    const quoted = outcome(() => reader.fromText(`{"${field}":"${text}"}`) as Record<string, string>)
    const fits = value !== undefined && value === (field === 'int64Value' ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value))
    deepStrictEqual(quoted, fits ? { value: { [field]: String(value) } } : { failed: true }, `"${text}"`)
    // Below 2^45, a fraction of so many digits that JSON.parse drops it is not told from none.
    if ('failed' in read || value === undefined) return
    taken++
    deepStrictEqual(read, { value: { [field]: String(value) } }, text)
  }), { numRuns: 2000 })
  t.ok(taken > 100, `${taken} numbers were taken`)
})

t.test('a float is read back as the float that the binary format has', async () => {
  const codec = wireCodec(everyKindType)
  const [write, reader] = [writerOf(codec), readerOf(codec)]
  const doublesNearFloats = fc.tuple(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.double({ min: -1e-7, max: 1e-7, noNaN: true })).map(([float, error]) => float * (1 + error)).filter(value => Number.isFinite(Math.fround(value)))
  fc.assert(fc.property(fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), doublesNearFloats), value => {
    const text = write({ floatValue: value })
    strictEqual((reader.fromText(text) as { floatValue?: number }).floatValue ?? 0, Math.fround(value) === 0 && !Object.is(value, -0) ? 0 : Math.fround(value), text)
  }), { numRuns: 5000 })
})

t.test('mutated texts are refused as INVALID_ARGUMENT, or read as others read them', async t => {
  fc.assert(fc.property(fc.noShrink(fc.nat({ max: 1e9 })), seed => {
    const text = fuzz.document(seed)
    const problem = fuzz.problemWith(text)
    if (problem !== undefined) throw new Error(`Text ${seed} ${problem}: ${JSON.stringify(text)}`)
  }), { numRuns: 5000 })
  t.ok(fuzz.taken() > 500, `${fuzz.taken()} readings gave a message`)
})

t.test('lines that are read at once give what each of them gives alone', async t => {
  const reader = readerOf(wireCodec(everyKindType))
  const cuts = fc.constantFrom('{}', '', ' ', '\r', '{},{}', '{} , {}', '{', '}', '[]', '[{},{}]', ',', '{},', ',{}', 'null', '{"int32_value":1', '"string_value":"a"}', '{"stringValue":"},{"}', '{"stringValue":"a:b"}', '{"int32Value":1,"int32Value":2}')
  const texts = serialized(everyKindType, 2).map(bytes => oracleText(oracle, bytes))
  const line = fc.oneof({ arbitrary: texts, weight: 6 }, { arbitrary: cuts, weight: 1 }, { arbitrary: fuzzTexts, weight: 1 }).map(text => text.replaceAll('\n', ' '))
  let atOnce = 0
  fc.assert(fc.property(fc.array(line, { minLength: 1, maxLength: 4 }), lines => {
    const messages = reader.fromLines(lines.join('\n'))
    if (messages === undefined) return
    atOnce++
    deepStrictEqual(messages, lines.map(text => reader.fromText(text)))
  }), { numRuns: 1500 })
  t.ok(atOnce > 300, `${atOnce} times`)
})

t.test('violations name fields in a text that clients can be sent', async () => {
  const reader = readerOf(wireCodec(everyKindType))
  fc.assert(fc.property(fuzzTexts, text => {
    try {
      reader.fromText(text)
    } catch (error) {
      const { errorDetails: [detail] } = error as GrpcError
      const violations = detail!.fieldViolations as Array<{ field: string, description: string }>
      strictEqual(violations.length > 0 && violations.length <= 100, true)
      for (const { field, description } of violations) deepStrictEqual([field.isWellFormed(), description.isWellFormed()], [true, true], text)
    }
  }), { numRuns: 2000 })
})
