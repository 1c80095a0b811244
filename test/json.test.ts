/** ProtoJSON: what is read, what is refused and with which words, and what is written. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { inspect } from 'node:util'
import { fileURLToPath } from 'node:url'
import type protobuf from 'protobufjs'
import t from 'tap'
import { GrpcError, implement, loadProto, status, type LoadOptions } from '../src/index.ts'
import { JsonCodecs } from '../src/json/codec.ts'
import { detectShape } from '../src/json/detect-shape.ts'
import type { JsonOptions } from '../src/json/options.ts'
import { TypeRegistry } from '../src/json/type-registry.ts'
import { serviceDescriber } from '../src/schema/from-definition.ts'
import { readerOf, wireCodec, writerOf } from './json-fuzz.ts'
import { serve } from './serving.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

function typeOf (file: string, service: string, options: LoadOptions = {}): protobuf.Type {
  return serviceDescriber()(loadProto(fixture(file), options)[service]!).methods[0]!.requestType
}

const EveryKind = typeOf('every-kind.proto', 'EveryKindService')
const Order = typeOf('json.proto', 'JsonService')
const Proto2 = typeOf('every-kind-proto2.proto', 'Proto2Service')
const Edition = typeOf('editions.proto', 'EditionService')
const Names = typeOf('json-names.proto', 'NamesService')

const readers = new Map<string, ReturnType<typeof readerOf>>()
const writers = new Map<string, ReturnType<typeof writerOf>>()

function read (type: protobuf.Type, text: string, options: JsonOptions = {}): unknown {
  const key = `${type.fullName} ${JSON.stringify(options)}`
  const reader = readers.get(key) ?? readerOf(wireCodec(type), options)
  readers.set(key, reader)
  return reader.fromText(text)
}

function write (type: protobuf.Type, message: unknown, options: JsonOptions = {}): string {
  const key = `${type.fullName} ${JSON.stringify(options)}`
  const writer = writers.get(key) ?? writerOf(wireCodec(type), options)
  writers.set(key, writer)
  return writer(message)
}

interface Violation { field: string, description: string }

/** What is wrong with a text; fails when nothing is. */
function violationsOf (type: protobuf.Type, text: string, options: JsonOptions = {}): Violation[] {
  let message: unknown
  try {
    message = read(type, text, options)
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error
    strictEqual(error.code, status.INVALID_ARGUMENT)
    const [detail] = error.errorDetails
    strictEqual(detail!['@type'], 'google.rpc.BadRequest')
    return detail!.fieldViolations as Violation[]
  }
  throw new Error(`${text} was read as ${inspect(message)}`)
}

function failureOf (type: protobuf.Type, message: unknown, options: JsonOptions = {}): string {
  let text: string
  try {
    text = write(type, message, options)
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error
    strictEqual(error.code, status.INTERNAL)
    return error.details
  }
  throw new Error(`${inspect(message)} was written as ${text}`)
}

/** Texts that are read as messages. */
function reads (name: string, type: protobuf.Type, cases: ReadonlyArray<readonly [text: string, message: unknown]>, options: JsonOptions = {}): void {
  t.test(name, async t => {
    for (const [text, message] of cases) t.test(text, async () => deepStrictEqual(read(type, text, options), message))
  })
}

/** Texts that are refused for one reason: at the field, in words of which some are given. */
function refuses (name: string, type: protobuf.Type, cases: ReadonlyArray<readonly [text: string, field: string, words: string]>, options: JsonOptions = {}): void {
  t.test(name, async t => {
    for (const [text, field, words] of cases) {
      t.test(text.slice(0, 80), async t => {
        const [violation, ...others] = violationsOf(type, text, options)
        t.equal(violation!.field, field)
        t.ok(violation!.description.includes(words), violation!.description)
        t.same(others, [])
      })
    }
  })
}

/** Messages that are written as texts. */
function writes (name: string, type: protobuf.Type, cases: ReadonlyArray<readonly [message: object, text: string]>, options: JsonOptions = {}): void {
  t.test(name, async t => {
    for (const [message, text] of cases) t.test(text.slice(0, 80), async () => strictEqual(write(type, message, options), text))
  })
}

/** Messages that are written as texts and read from them. */
function roundTrips (name: string, type: protobuf.Type, cases: ReadonlyArray<readonly [message: object, text: string]>): void {
  writes(`${name}, written`, type, cases)
  reads(`${name}, read`, type, cases.map(([message, text]) => [text, message]))
}

const inWellKnown = (text: string): string => `{"wellKnown":${text}}`

reads('32-bit integers are numbers or text, with integral fractions and exponents', EveryKind, [
  ['{"int32Value":2147483647,"uint32Value":4294967295}', { int32Value: 2147483647, uint32Value: 4294967295 }],
  ['{"int32Value":-2147483648,"sint32Value":"-2147483648"}', { int32Value: -2147483648, sint32Value: -2147483648 }],
  ['{"int32Value":1.0,"uint32Value":1e2,"sint32Value":-2.50e1}', { int32Value: 1, uint32Value: 100, sint32Value: -25 }],
  ['{"int32Value":"1.0","uint32Value":"1e2","sfixed32Value":"-1E+1"}', { int32Value: 1, uint32Value: 100, sfixed32Value: -10 }],
  ['{"int32Value":-0,"fixed32Value":"-0"}', {}]
])

refuses('what is no 32-bit integer', EveryKind, [
  ['{"int32Value":2147483648}', 'int32Value', 'expected an int32, -2147483648 to 2147483647, got 2147483648'],
  ['{"int32Value":-2147483649}', 'int32Value', 'got -2147483649'],
  ['{"uint32Value":4294967296}', 'uint32Value', 'expected a uint32, 0 to 4294967295, got 4294967296'],
  ['{"uint32Value":-1}', 'uint32Value', 'got -1'],
  ['{"uint32Value":"-1"}', 'uint32Value', 'got "-1"'],
  ['{"int32Value":1.5}', 'int32Value', 'expected an int32, got 1.5'],
  ['{"int32Value":"1.5"}', 'int32Value', 'got "1.5"'],
  ['{"int32Value":"many"}', 'int32Value', 'got "many"'],
  ['{"int32Value":""}', 'int32Value', 'got ""'],
  ['{"int32Value":" 1"}', 'int32Value', 'got " 1"'],
  ['{"int32Value":"01"}', 'int32Value', 'got "01"'],
  ['{"int32Value":"0x1"}', 'int32Value', 'got "0x1"'],
  ['{"int32Value":true}', 'int32Value', 'got true'],
  ['{"int32Value":[1]}', 'int32Value', 'got an array'],
  ['{"int32Value":{}}', 'int32Value', 'got an object'],
  ['{"int32Value":{"toString":"x"}}', 'int32Value', 'got an object'],
  ['{"uint32Value":{"valueOf":1,"toString":2}}', 'uint32Value', 'got an object'],
  ['{"int32Value":1e400}', 'int32Value', 'got Infinity'],
  ['{"repeatedValues":{"int32Values":[1,null]}}', 'repeatedValues.int32Values[1]', 'got null']
])

reads('64-bit integers are text, or numbers that a double holds exactly', EveryKind, [
  ['{"int64Value":"9223372036854775807","sint64Value":"-9223372036854775808"}', { int64Value: '9223372036854775807', sint64Value: '-9223372036854775808' }],
  ['{"uint64Value":"18446744073709551615"}', { uint64Value: '18446744073709551615' }],
  ['{"int64Value":9007199254740991,"uint64Value":7}', { int64Value: '9007199254740991', uint64Value: '7' }],
  ['{"int64Value":9007199254740992}', { int64Value: '9007199254740992' }],
  ['{"int64Value":9223372036854774784}', { int64Value: '9223372036854774784' }],
  ['{"int64Value":-9223372036854775808}', { int64Value: '-9223372036854775808' }],
  ['{"uint64Value":1e19}', { uint64Value: '10000000000000000000' }],
  ['{"int64Value":1.0,"sfixed64Value":"1e2"}', { int64Value: '1', sfixed64Value: '100' }],
  ['{"int64Value":"9007199254740993"}', { int64Value: '9007199254740993' }],
  ['{"int64Value":"9007199254740993.0"}', { int64Value: '9007199254740993' }],
  ['{"doubleValue":9007199254740993}', { doubleValue: 9007199254740992 }]
])

refuses('numbers that would not be the same 64-bit integer', EveryKind, [
  ['{"int64Value":9007199254740993}', 'int64Value', 'send this int64 as a string'],
  ['{"uint64Value":9007199254740993}', 'uint64Value', 'send this uint64 as a string'],
  ['{"int64Value":9007199254740993.0}', 'int64Value', 'as a string'],
  ['{"int64Value":9223372036854775807}', 'int64Value', 'as a string'],
  ['{"int64Value":9007199254740990.7}', 'int64Value', 'as a string'],
  ['{"int64Value":9.199999999e+18}', 'int64Value', 'as a string'],
  ['{"int64Value":123456789012345e3}', 'int64Value', 'as a string'],
  ['{"repeatedValues":{"int64Values":[1,9007199254740993]}}', 'repeatedValues.int64Values[1]', 'as a string'],
  ['{"wellKnown":{"int64Wrapper":9007199254740993}}', 'wellKnown.int64Wrapper', 'as a string']
])

refuses('what is no 64-bit integer', EveryKind, [
  ['{"int64Value":"9223372036854775808"}', 'int64Value', 'expected an int64, -9223372036854775808 to 9223372036854775807, got "9223372036854775808"'],
  ['{"int64Value":9223372036854775808}', 'int64Value', 'expected an int64'],
  ['{"uint64Value":"18446744073709551616"}', 'uint64Value', 'expected a uint64, 0 to 18446744073709551615'],
  ['{"uint64Value":-1}', 'uint64Value', 'got -1'],
  ['{"int64Value":0.5}', 'int64Value', 'expected an int64, got 0.5'],
  ['{"int64Value":"1e400"}', 'int64Value', 'expected an int64'],
  ['{"int64Value":{"low":1,"high":0}}', 'int64Value', 'got an object']
])

t.test('an integer of very many digits is refused at once', async t => {
  const start = performance.now()
  for (const text of [`"1.${'0'.repeat(40_000)}1"`, `1.${'0'.repeat(40_000)}1e20`]) violationsOf(EveryKind, `{"int64Value":${text}}`)
  t.ok(performance.now() - start < 500, `${(performance.now() - start).toFixed()} ms`)
})

t.test('numbers past what a double holds, in a deeply nested list, take no memory to speak of', async t => {
  const before = process.memoryUsage().heapUsed
  const start = performance.now()
  violationsOf(EveryKind, `${'['.repeat(1900)}${'12345678901234567891,'.repeat(10_000)}1${']'.repeat(1900)}`)
  const megabytes = (process.memoryUsage().heapUsed - before) / 2 ** 20
  t.ok(performance.now() - start < 500 && megabytes < 50, `${(performance.now() - start).toFixed()} ms, ${megabytes.toFixed()} MiB`)
})

reads('floating-point numbers', EveryKind, [
  ['{"doubleValue":1.5,"floatValue":"1.5e1"}', { doubleValue: 1.5, floatValue: 15 }],
  ['{"doubleValue":"NaN","floatValue":"NaN"}', { doubleValue: NaN, floatValue: NaN }],
  ['{"doubleValue":"Infinity","floatValue":"-Infinity"}', { doubleValue: Infinity, floatValue: -Infinity }],
  ['{"doubleValue":-0,"floatValue":-0.0}', { doubleValue: -0, floatValue: -0 }],
  ['{"floatValue":0.1}', { floatValue: Math.fround(0.1) }],
  ['{"floatValue":3.4028234663852886e38}', { floatValue: 3.4028234663852886e38 }],
  ['{"floatValue":3.4028235e38}', { floatValue: 3.4028234663852886e38 }],
  ['{"floatValue":"-3.4028235e+38"}', { floatValue: -3.4028234663852886e38 }],
  ['{"doubleValue":1.7976931348623157e308}', { doubleValue: Number.MAX_VALUE }],
  ['{"doubleValue":1e-400}', {}]
])

refuses('what is no floating-point number', EveryKind, [
  ['{"doubleValue":1e400}', 'doubleValue', 'expected a double, at most 1.7976931348623157e+308 from zero, got Infinity'],
  ['{"doubleValue":"1e400"}', 'doubleValue', 'got "1e400"'],
  ['{"floatValue":3.5e38}', 'floatValue', 'expected a float, at most'],
  ['{"doubleValue":"nan"}', 'doubleValue', '"NaN", "Infinity" or "-Infinity", got "nan"'],
  ['{"doubleValue":"+Infinity"}', 'doubleValue', 'got "+Infinity"'],
  ['{"doubleValue":""}', 'doubleValue', 'got ""'],
  ['{"doubleValue":"1.5 "}', 'doubleValue', 'got "1.5 "'],
  ['{"doubleValue":".5"}', 'doubleValue', 'got ".5"'],
  ['{"doubleValue":true}', 'doubleValue', 'got true'],
  ['{"doubleValue":[]}', 'doubleValue', 'got an empty array']
])

const hi = Buffer.from('hi')
reads('bytes are base64 or base64url, padded or not', EveryKind, [
  ['{"bytesValue":"aGk="}', { bytesValue: hi }],
  ['{"bytesValue":"aGk"}', { bytesValue: hi }],
  ['{"bytesValue":"+/+/"}', { bytesValue: Buffer.from([0xfb, 0xff, 0xbf]) }],
  ['{"bytesValue":"-_-_"}', { bytesValue: Buffer.from([0xfb, 0xff, 0xbf]) }],
  ['{"bytesValue":"/w=="}', { bytesValue: Buffer.from([0xff]) }],
  ['{"bytesValue":""}', {}]
])

refuses('what is no base64', EveryKind, ['"a"', '"aGk=="', '"aG=k"', '"a Gk"', '"aGk\\n"', '"aG!k"', '"===="', '"="', '"Ł"', '"ŁŁŁŁ"', '"aGk=aGk="', '"\\u0000AAA"', '1', 'true', '{}', '[104,105]']
  .map(text => [`{"bytesValue":${text}}`, 'bytesValue', 'expected bytes: a string in base64, got']))

reads('booleans and strings', EveryKind, [
  ['{"boolValue":true}', { boolValue: true }],
  ['{"boolValue":false}', {}],
  ['{"stringValue":"\\ud83d\\ude80\\u0000\\n\\/"}', { stringValue: '🚀\0\n/' }],
  ['{"stringValue":"漢"}', { stringValue: '漢' }]
])

refuses('what is no boolean or string', EveryKind, [
  ['{"boolValue":"true"}', 'boolValue', 'expected true or false, got "true"'],
  ['{"boolValue":1}', 'boolValue', 'got 1'],
  ['{"stringValue":1}', 'stringValue', 'expected a string, got 1'],
  ['{"stringValue":{}}', 'stringValue', 'got an object'],
  ['{"stringValue":"\\ud800"}', 'stringValue', 'unpaired surrogate'],
  ['{"stringValue":"\\ude80\\ud83d"}', 'stringValue', 'unpaired surrogate'],
  ['{"repeatedValues":{"stringValues":["x","\\udfff"]}}', 'repeatedValues.stringValues[1]', 'unpaired surrogate'],
  ['{"maps":{"byString":{"\\ud800":"1"}}}', 'maps.byString["\\ud800"]', 'the key has an unpaired surrogate'],
  ['{"wellKnown":{"struct":{"a":"\\ud800"}}}', 'wellKnown.struct.a', 'unpaired surrogate'],
  ['{"wellKnown":{"fieldMask":"\\ud800"}}', 'wellKnown.fieldMask', ''],
  ['{"wellKnown":{"any":{"@type":"\\ud800/google.protobuf.Empty"}}}', 'wellKnown.any.@type', '']
])

reads('enum values by name, by number, and open ones by any number', EveryKind, [
  ['{"enumValue":"COLOR_RED"}', { enumValue: 1 }],
  ['{"enumValue":"COLOR_CRIMSON"}', { enumValue: 1 }],
  ['{"enumValue":-1}', { enumValue: -1 }],
  ['{"enumValue":12345}', { enumValue: 12345 }],
  ['{"enumValue":1.0}', { enumValue: 1 }],
  ['{"enumValue":"COLOR_UNSPECIFIED"}', {}]
])

refuses('what is no value of an enum', EveryKind, [
  ['{"enumValue":"PURPLE"}', 'enumValue', 'expected a value of test.every_kind.EveryKind.Color (COLOR_UNSPECIFIED, COLOR_RED, COLOR_CRIMSON, COLOR_BLUE, COLOR_LAST), got "PURPLE"'],
  ['{"enumValue":"color_red"}', 'enumValue', 'got "color_red"'],
  ['{"enumValue":"1"}', 'enumValue', 'got "1"'],
  ['{"enumValue":1.5}', 'enumValue', 'got 1.5'],
  ['{"enumValue":2147483648}', 'enumValue', 'got 2147483648'],
  ['{"enumValue":"__proto__"}', 'enumValue', 'got "__proto__"'],
  ['{"enumValue":"constructor"}', 'enumValue', 'got "constructor"'],
  ['{"enumValue":true}', 'enumValue', 'got true']
])

const required = '"required":"r"'
reads('closed enums', Edition, [[`{${required},"closed":"CLOSED_TWO","open":9}`, { required: 'r', closed: 2, open: 9 }]])
refuses('numbers that a closed enum does not name', Edition, [[`{${required},"closed":9}`, 'closed', 'expected a value of test.editions.Closed (CLOSED_ONE, CLOSED_TWO), got 9']])

reads('null is no value, but of Value and NullValue it is', EveryKind, [
  ['{"int32Value":null,"stringValue":null,"child":null,"children":null,"enumValue":null,"maps":{"byInt32":null}}', { maps: {} }],
  ['{"optionalValues":{"stringValue":null,"messageValue":null}}', { optionalValues: {} }],
  ['{"wellKnown":{"timestamp":null,"int64Wrapper":null,"struct":null,"any":null,"listValue":null}}', { wellKnown: {} }],
  ['{"wellKnown":{"value":null}}', { wellKnown: { value: { nullValue: 0 } } }],
  ['{"wellKnown":{"values":[null]}}', { wellKnown: { values: [{ nullValue: 0 }] } }],
  ['{"wellKnown":{"nullValue":null}}', { wellKnown: {} }],
  ['{"maps":{"values":{"x":null}}}', { maps: { values: { x: { nullValue: 0 } } } }],
  ['{"oneOfs":{"chosenValue":null}}', { oneOfs: { chosenValue: { nullValue: 0 } } }],
  ['{"oneOfs":{"chosenBool":null,"chosenString":"x"}}', { oneOfs: { chosenString: 'x' } }],
  ['{"wellKnown":{"listValue":[null],"struct":{"a":null}}}', { wellKnown: { listValue: { values: [{ nullValue: 0 }] }, struct: { fields: { a: { nullValue: 0 } } } } }]
])

refuses('null in lists and maps', EveryKind, [
  ['{"children":[{},null]}', 'children[1]', 'expected an object, as test.every_kind.EveryKind is, got null'],
  ['{"repeatedValues":{"stringValues":[null]}}', 'repeatedValues.stringValues[0]', 'got null'],
  ['{"repeatedValues":{"enumValues":[null]}}', 'repeatedValues.enumValues[0]', 'got null'],
  ['{"wellKnown":{"timestamps":[null]}}', 'wellKnown.timestamps[0]', 'got null'],
  ['{"maps":{"byInt32":{"1":null}}}', 'maps.byInt32["1"]', 'got null']
])
refuses('null in place of the message', EveryKind, [['null', '', 'expected an object'], ['[]', '', 'got an empty array'], ['"x"', '', 'got "x"'], ['7', '', 'got 7']])

const bigKey = '9223372036854775807'
reads('map keys of every kind', EveryKind, [
  ['{"maps":{"byInt32":{"-2147483648":"x"},"byUint32":{"4294967295":1},"bySint32":{"-1":1}}}', { maps: { byInt32: { '-2147483648': 'x' }, byUint32: { 4294967295: 1 }, bySint32: { '-1': 1 } } }],
  ['{"maps":{"byFixed32":{"7":7},"bySfixed32":{"-7":"-7"},"byBool":{"true":false,"false":true}}}', { maps: { byFixed32: { 7: 7 }, bySfixed32: { '-7': '-7' }, byBool: { true: false, false: true } } }],
  [`{"maps":{"bySfixed64":{"${bigKey}":{}},"byFixed64":{"18446744073709551615":{}}}}`, { maps: { bySfixed64: { [bigKey]: {} }, byFixed64: { '18446744073709551615': {} } } }],
  ['{"maps":{"byString":{"":"1","a b":"2"}}}', { maps: { byString: { '': '1', 'a b': '2' } } }],
  ['{"maps":{"byString":{}}}', { maps: {} }]
])

refuses('keys that are none of the kind', EveryKind, [
  ['{"maps":{"byInt32":{"x":""}}}', 'maps.byInt32["x"]', 'expected a key that is an int32, -2147483648 to 2147483647, got "x"'],
  ['{"maps":{"byInt32":{"2147483648":""}}}', 'maps.byInt32["2147483648"]', 'got "2147483648"'],
  ['{"maps":{"byUint32":{"-1":1}}}', 'maps.byUint32["-1"]', 'got "-1"'],
  ['{"maps":{"byUint64":{"18446744073709551616":1}}}', 'maps.byUint64["18446744073709551616"]', 'got'],
  ['{"maps":{"byInt32":{"01":""}}}', 'maps.byInt32["01"]', 'got "01"'],
  ['{"maps":{"byInt32":{"":""}}}', 'maps.byInt32[""]', 'got ""'],
  ['{"maps":{"byBool":{"1":true}}}', 'maps.byBool["1"]', 'expected the key "true" or "false", got "1"'],
  ['{"maps":{"byString":[]}}', 'maps.byString', 'expected an object, as a map is, got an empty array']
])

reads('fields by their names in JSON and in the file', Order, [
  ['{"firstName":"a","byName":{}}', { givenName: 'a' }],
  ['{"given_name":"a","by_name":{"x":{}}}', { givenName: 'a', byName: { x: {} } }]
])

refuses('a field under two names', Order, [
  ['{"byName":{},"by_name":{}}', 'by_name', 'the field is given twice, under two names'],
  ['{"firstName":"a","given_name":"b"}', 'given_name', 'the field is given twice, under two names'],
  ['{"given_name":null,"firstName":"b"}', 'firstName', 'the field is given twice, under two names']
])

refuses('members that are given more than once', EveryKind, [
  ['{"int32Value":1,"int32Value":2}', 'int32Value', 'more than once'],
  ['{"stringValue":"x","stringValue":"x"}', 'stringValue', 'more than once'],
  ['{ "int32Value" : 1 ,\n "int32Value" : 2 }', 'int32Value', 'more than once'],
  ['{"stringValue":"a:b:c","int32Value":1,"int32Value":2}', 'int32Value', 'more than once'],
  ['{"stringValue":"\\u003a\\u003A","int32Value":1,"int32Value":2}', 'int32Value', 'more than once'],
  ['{"stringValue":"\\u003a","int32Value":1,"int32\\u0056alue":2}', 'int32Value', 'more than once'],
  ['{"child":{"child":{"boolValue":true,"boolValue":true}}}', 'child.child.boolValue', 'more than once'],
  ['{"children":[{},{"boolValue":true,"boolValue":true}]}', 'children[1].boolValue', 'more than once'],
  ['{"child":{},"child":{}}', 'child', 'more than once'],
  ['{"maps":{"byString":{"a:b":"1","a:b":"2"}}}', 'maps.byString["a:b"]', 'more than once'],
  ['{"maps":{"tree":{"x":{"boolValue":true,"boolValue":false}}}}', 'maps.tree["x"].boolValue', 'more than once'],
  ['{"wellKnown":{"struct":{"a":1,"a":2}}}', 'wellKnown.struct.a', 'more than once'],
  ['{"wellKnown":{"value":[{"a":{"b":1,"b":1}}]}}', 'wellKnown.value[0].a.b', 'more than once'],
  ['{"wellKnown":{"any":{"@type":"x/google.protobuf.Duration","value":"1s","value":"1s"}}}', 'wellKnown.any.value', 'more than once'],
  ['{"wellKnown":{"any":{"@type":"x/google.protobuf.Empty","@type":"x/google.protobuf.Empty"}}}', 'wellKnown.any.@type', 'more than once'],
  ['{"wellKnown":{"any":{"@type":"x/no.such.Type","@type":"x/no.other.Type"}}}', 'wellKnown.any.@type', 'more than once'],
  ['{"boolValue":null,"boolValue":true}', 'boolValue', 'more than once']
])

t.test('members that are given more than once, where unknown fields are ignored', async t => {
  t.match(violationsOf(EveryKind, '{"nope":{"a":1},"child":{"int32Value":1,"int32Value":2}}', { unknownFields: 'ignore' }), [{ field: 'child.int32Value', description: 'more than once' }])
})

refuses('two fields of a oneof', EveryKind, [
  ['{"oneOfs":{"chosenBool":true,"chosenString":"x"}}', 'oneOfs.chosenString', 'another field of the oneof choice is set'],
  ['{"oneOfs":{"chosenValue":null,"chosenBool":false}}', 'oneOfs.chosenBool', 'another field of the oneof'],
  ['{"oneOfs":{"chosenFixed32":0,"chosenInner":{}}}', 'oneOfs.chosenInner', 'another field of the oneof']
])

const requiredOfProto2 = '"requiredString":"s","requiredInt64":"1","requiredEnum":"LOW"'
const proto2 = { requiredString: 's', requiredInt64: '1', requiredEnum: 1 }
reads('groups, extensions and required fields of proto2', Proto2, [
  [`{${requiredOfProto2}}`, proto2],
  [`{${requiredOfProto2},"onegroup":{"name":"n"},"manygroups":[{"name":"m"}]}`, { ...proto2, oneGroup: { name: 'n' }, manyGroups: [{ name: 'm' }] }],
  [`{${requiredOfProto2},"[test.every_kind_proto2.extra]":"e"}`, { ...proto2, '.test.every_kind_proto2.extra': 'e' }],
  [`{${requiredOfProto2},"optionalString":"","defaultInt32":0}`, { ...proto2, optionalString: '', defaultInt32: 0 }]
])

t.test('fields that are required are named', async t => {
  t.match(violationsOf(Proto2, '{"requiredString":null,"requiredEnum":5}'), [
    { field: 'requiredString', description: 'the field is required' }, { field: 'requiredInt64', description: 'the field is required' }
  ])
  t.match(violationsOf(Proto2, `{${requiredOfProto2},"manygroups":[{}],"onegroup":{}}`), [{ field: 'manygroups[0].name', description: 'the field is required' }])
})

t.test('messages nest at most 100 deep, or as deep as the option says', async t => {
  const nested = (levels: number): string => `${'{"child":'.repeat(levels)}{}${'}'.repeat(levels)}`
  read(EveryKind, nested(100))
  t.match(violationsOf(EveryKind, nested(101)), [{ description: 'messages nest deeper than 100 levels' }])
  read(EveryKind, nested(3), { nestingLimit: 3 })
  t.match(violationsOf(EveryKind, nested(4), { nestingLimit: 3 }), [{ field: 'child.child.child.child', description: 'messages nest deeper than 3 levels' }])
  read(EveryKind, nested(500), { nestingLimit: 500 })
  t.match(violationsOf(EveryKind, `{"wellKnown":{"value":${'['.repeat(100)}${']'.repeat(100)}}}`), [{ description: 'messages nest deeper than 100 levels' }])
  t.match(violationsOf(EveryKind, `${'['.repeat(100_000)}${']'.repeat(100_000)}`), [{ description: 'the JSON nests deeper than' }])
  t.match(violationsOf(EveryKind, '{"nope":'.repeat(100_000) + '1' + '}'.repeat(100_000), { unknownFields: 'ignore' }), [{ description: 'the JSON nests deeper than' }])
})

t.test('names that every object has are keys like any other, and no fields', async t => {
  for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const { maps } = read(EveryKind, `{"maps":{"byString":{"${key}":"7"},"tree":{"${key}":{"stringValue":"x"}}}}`) as { maps: Record<string, object> }
    for (const map of [maps.byString!, maps.tree!]) {
      deepStrictEqual(Object.keys(map), [key])
      strictEqual(Object.getPrototypeOf(map), Object.prototype)
    }
    const { wellKnown: { struct } } = read(EveryKind, `{"wellKnown":{"struct":{"${key}":{"polluted":true}}}}`) as { wellKnown: { struct: { fields: object } } }
    deepStrictEqual(Object.keys(struct.fields), [key])
    t.match(violationsOf(EveryKind, `{"${key}":{"polluted":true}}`), [{ field: key, description: `test.every_kind.EveryKind has no field "${key}"` }])
    deepStrictEqual(read(EveryKind, `{"${key}":{"polluted":true},"int32Value":7}`, { unknownFields: 'ignore' }), { int32Value: 7 })
    strictEqual(write(EveryKind, { maps: { byString: Object.defineProperty({}, key, { value: '7', enumerable: true }) } }), `{"maps":{"byString":{"${key}":"7"}}}`)
  }
  strictEqual(({} as Record<string, unknown>).polluted, undefined)
})

roundTrips('fields whose names in JSON every object has', Names, [
  [{ maker: 'm', text: 't', list: ['x'] }, '{"constructor":"m","toString":"t","list":["x"]}'],
  [{ prototype: 'p', list: ['x'] }, '{"__proto__":"p","list":["x"]}'],
  [{}, '{}']
])

t.test('every violation is named by its path, with what was expected and what came', async t => {
  t.same(violationsOf(Order, '{"id":7,"items":[{},{},{},{"price":{"units":"many","ratio":true},"sizes":[1,"x",2.5]}],"labels":{"x y":1,"ok":"","q\\"":[]},"byName":{"a.b":{"nope":1}}}'), [
    { field: 'id', description: 'expected a string, got 7' },
    { field: 'items[3].price.units', description: 'expected an int64, got "many"' },
    { field: 'items[3].price.ratio', description: 'expected a float: a number, "NaN", "Infinity" or "-Infinity", got true' },
    { field: 'items[3].sizes[1]', description: 'expected an int32, got "x"' },
    { field: 'items[3].sizes[2]', description: 'expected an int32, got 2.5' },
    { field: 'labels["x y"]', description: 'expected a string, got 1' },
    { field: 'labels["q\\""]', description: 'expected a string, got an empty array' },
    { field: 'byName["a.b"].nope', description: 'test.json.Order.Item has no field "nope"' }
  ])
})

t.test('an error names its violations in its message too, and shortens long values', async t => {
  const long = 'x'.repeat(1000)
  t.throws(() => read(Order, `{"voucher":"${long}","id":1}`), { code: status.INVALID_ARGUMENT, details: `voucher: expected an int32, got "${'x'.repeat(40)}…"; id: expected a string, got 1` })
  t.ok(violationsOf(Order, `{"${long}":1}`).every(({ field, description }) => field.length <= 201 && description.length <= 201))
})

t.test('at most 100 violations are reported', async t => {
  t.equal(violationsOf(Order, `{"items":[${'{"name":1},'.repeat(500)}{}]}`).length, 100)
  t.equal(violationsOf(Order, `{${Array.from({ length: 300 }, (_, i) => `"nope${i}":1`).join(',')}}`).length, 100)
})

t.test('what is no JSON is named with line and column', async t => {
  const cases: ReadonlyArray<readonly [text: string, words: string]> = [
    ['', 'expected a JSON value at line 1, column 1, got the end of the text'],
    ['{', 'expected a member name in double quotes at line 1, column 2, got the end of the text'],
    ['{"id":"x"', "expected ',' or '}' at line 1, column 10, got the end of the text"],
    ['{"id":"x",}', 'expected a member name in double quotes at line 1, column 11, got "}"'],
    ["{'id':1}", 'expected a member name in double quotes at line 1, column 2, got "\'"'],
    ['{"id" "x"}', 'expected \':\' at line 1, column 7, got "\\""'],
    ['{"id":}', 'expected a JSON value at line 1, column 7 (in "id"), got "}"'],
    ['{"id":"x', "expected the '\"' that ends the string at line 1, column 9 (in \"id\"), got the end of the text"],
    ['{"id":"\\x"}', 'expected an escape of JSON at line 1, column 8 (in "id"), got "\\\\"'],
    ['{"id":"a\tb"}', 'expected a control character to be escaped at line 1, column 9 (in "id"), got "\\t"'],
    ['{\n  "id": "x",\n  "items": [\n    {"name": nope}\n  ]\n}', 'expected a JSON value at line 4, column 14 (in "items[0].name"), got "n"'],
    ['{\r\n"items": [1 2]}', "expected ',' or ']' at line 2, column 13 (in \"items\"), got \"2\""],
    ['{} {}', 'expected the end of the text at line 1, column 4, got "{"'],
    ['{"voucher":01}', "expected ',' or '}' at line 1, column 13"],
    ['{"voucher":.5}', 'expected a JSON value at line 1, column 12'],
    ['{"voucher":NaN}', 'expected a JSON value at line 1, column 12 (in "voucher"), got "N"'],
    ['\ufeff{}', 'expected a JSON value at line 1, column 1'],
    ['{"id":"🚀" 🚀}', 'at line 1, column 12, got "🚀"'],
    ['{}\u00a0', 'expected the end of the text at line 1, column 3']
  ]
  for (const [text, words] of cases) {
    const [violation, ...others] = violationsOf(Order, text)
    t.equal(violation!.field, '')
    t.ok(violation!.description.startsWith('The request body is not valid JSON: ') && violation!.description.includes(words), `${JSON.stringify(text)}: ${violation!.description}`)
    t.same(others, [])
  }
})

refuses('fields that the message does not have', Order, [
  ['{"nope":1}', 'nope', 'test.json.Order has no field "nope"'],
  ['{"Id":"x"}', 'Id', 'test.json.Order has no field "Id"'],
  ['{"":1}', '', 'test.json.Order has no field ""'],
  ['{"parent":{"parent":{"nope":null}}}', 'parent.parent.nope', 'test.json.Order has no field "nope"']
])

reads('unknown fields and enum names are ignored at every depth on demand', EveryKind, [
  ['{"nope":1,"int32Value":7}', { int32Value: 7 }],
  ['{"nope":{"a":[{"b":"c:d"}]},"child":{"nope":[1],"stringValue":"x"}}', { child: { stringValue: 'x' } }],
  ['{"children":[{"nope":1}],"maps":{"tree":{"x":{"nope":{}}}}}', { children: [{}], maps: { tree: { x: {} } } }],
  ['{"enumValue":"PURPLE","int32Value":7}', { int32Value: 7 }],
  ['{"repeatedValues":{"enumValues":["COLOR_RED","PURPLE",-1]},"maps":{"shapes":{"a":"SHAPE_ROUND","b":"NO_SHAPE"}}}', { repeatedValues: { enumValues: [1, -1] }, maps: { shapes: { a: 1 } } }],
  ['{"wellKnown":{"any":{"@type":"x/test.every_kind.EveryKind","nope":1}}}', { wellKnown: { any: { type_url: 'x/test.every_kind.EveryKind' } } }]
], { unknownFields: 'ignore' })

refuses('wrong values where unknown fields are ignored', EveryKind, [
  ['{"nope":1,"int32Value":"x"}', 'int32Value', 'expected an int32'],
  ['{"enumValue":true}', 'enumValue', 'expected a value of']
], { unknownFields: 'ignore' })

const order = { id: 'x', givenName: 'g', items: [{ name: 'n', price: { units: '9007199254740993' } }] }
writes('names as in JSON', Order, [[order, '{"id":"x","items":[{"name":"n","price":{"units":"9007199254740993"}}],"firstName":"g"}']])
writes('names as in the file', Order, [[{ givenName: 'g', byName: { a: {} } }, '{"by_name":{"a":{}},"given_name":"g"}']], { fieldNames: 'proto' })
writes('defaults on demand, but of fields without presence only', Order, [
  [{}, '{"id":"","items":[],"labels":{},"byName":{},"firstName":""}'],
  [{ voucher: 0, items: [{}] }, '{"id":"","items":[{"name":"","sizes":[]}],"labels":{},"byName":{},"firstName":"","voucher":0}']
], { emitDefaults: true })
writes('64-bit integers with all their digits', EveryKind, [
  [{ int64Value: '9223372036854775807', uint64Value: '18446744073709551615', sint64Value: '-7' }, '{"int64Value":9223372036854775807,"uint64Value":18446744073709551615,"sint64Value":-7}'],
  [{ int64Value: 7, uint64Value: 9007199254740993n, repeatedValues: { int64Values: ['1', '9007199254740993'] } }, '{"int64Value":7,"uint64Value":9007199254740993,"repeatedValues":{"int64Values":[1,9007199254740993]}}'],
  [{ wellKnown: { int64Wrapper: { value: '9007199254740993' } } }, '{"wellKnown":{"int64Wrapper":9007199254740993}}']
], { int64: 'number' })
writes('enum values as numbers', EveryKind, [[{ enumValue: 'COLOR_BLUE', shape: 2, repeatedValues: { enumValues: ['COLOR_RED', 9] } }, '{"enumValue":-1,"shape":2,"repeatedValues":{"enumValues":[1,9]}}']], { enums: 'number' })
writes('enum values as names, where they have one', EveryKind, [[{ enumValue: 1, shape: 77 }, '{"enumValue":"COLOR_RED","shape":77}']])

t.test('text laid out for people says the same', async t => {
  const message = { stringValue: 'a:{"b",\\[', doubleValue: -0, uint64Value: '18446744073709551615', inners: [{}, { all: [{ name: 'é\u2028' }] }], maps: { byString: { 'x y': '1' } }, repeatedValues: {} }
  for (const space of [2, 1, 10, '\t', ' \t']) {
    const pretty = write(EveryKind, message, { space, int64: 'number' })
    const compact = write(EveryKind, message, { int64: 'number' })
    t.match(pretty, /\n/)
    t.same(JSON.parse(pretty), JSON.parse(compact))
    t.match(pretty, /"doubleValue": -0,/)
    t.match(pretty, /"uint64Value": 18446744073709551615,/)
    t.equal(pretty, JSON.stringify(JSON.parse(pretty), null, space).replace('"doubleValue": 0', '"doubleValue": -0').replace('18446744073709552000', '18446744073709551615'))
  }
  t.equal(write(EveryKind, {}, { space: 2 }), '{}')
  t.equal(write(EveryKind, { int32Value: 7 }, { space: 0 }), '{"int32Value":7}')
})

t.test('a float has the few digits that tell it apart', async t => {
  const cases: ReadonlyArray<readonly [float: number, text: string]> = [
    [Math.fround(0.1), '0.1'], [Math.fround(3.14159), '3.14159'], [16777216, '16777216'], [1.5, '1.5'], [Math.fround(1e-10), '1e-10'], [Math.fround(1.17549435e-38), '1.1754944e-38']
  ]
  for (const [float, text] of cases) {
    const json = write(EveryKind, { floatValue: float, repeatedValues: { floatValues: [float] } })
    t.equal(json, `{"floatValue":${text},"repeatedValues":{"floatValues":[${text}]}}`)
    t.equal((read(EveryKind, json) as { floatValue: number }).floatValue, float)
  }
})

t.test('a double that is no float is written as the float that it becomes', async t => {
  for (const double of [-3.4028234663852894e38, 3.4028235e38, 0.1, 1 / 3, 16777217]) {
    t.equal(Math.fround(Number(JSON.parse(write(EveryKind, { floatValue: double })).floatValue)), Math.fround(double), String(double))
    t.doesNotThrow(() => read(EveryKind, write(EveryKind, { floatValue: double })), String(double))
  }
})

writes('-0 and what is not finite', EveryKind, [
  [{ doubleValue: -0, floatValue: -0 }, '{"doubleValue":-0,"floatValue":-0}'],
  [{ doubleValue: NaN, floatValue: -Infinity }, '{"doubleValue":"NaN","floatValue":"-Infinity"}'],
  [{ repeatedValues: { doubleValues: [-0, 0, Infinity] } }, '{"repeatedValues":{"doubleValues":[-0,0,"Infinity"]}}'],
  [{ int32Value: -0, int64Value: '-0' }, '{}']
])

writes('unpaired surrogates become the replacement character', EveryKind, [
  [{ stringValue: 'a\ud800b' }, '{"stringValue":"a\ufffdb"}'],
  [{ repeatedValues: { stringValues: ['\udfff'] }, maps: { byString: { '\ud800': 1 } } }, '{"repeatedValues":{"stringValues":["\ufffd"]},"maps":{"byString":{"\ufffd":"1"}}}']
])

const long = { low: -1, high: 2147483647, unsigned: false }
writes('other forms of a value that lose nothing', EveryKind, [
  [{ int32Value: '7', uint32Value: 7n, sint32Value: { low: 7, high: 0, unsigned: false } }, '{"int32Value":7,"uint32Value":7,"sint32Value":7}'],
  [{ int64Value: long, uint64Value: { low: -1, high: -1, unsigned: true }, sint64Value: -7n, fixed64Value: 7 }, '{"int64Value":"9223372036854775807","uint64Value":"18446744073709551615","sint64Value":"-7","fixed64Value":"7"}'],
  [{ bytesValue: new Uint8Array([104, 105]) }, '{"bytesValue":"aGk="}'],
  [{ bytesValue: [104, 105] }, '{"bytesValue":"aGk="}'],
  [{ bytesValue: 'aGk=' }, '{"bytesValue":"aGk="}'],
  [{ bytesValue: '_-8' }, '{"bytesValue":"/+8="}'],
  [{ stringValue: 7, doubleValue: '1.5', boolValue: 1 }, '{"stringValue":"7","doubleValue":1.5,"boolValue":true}'],
  [{ stringValue: null, child: undefined, children: null }, '{}'],
  [Object.assign(Object.create({ inherited: 1 }), { stringValue: 'x', another: 1 }), '{"stringValue":"x"}']
])

t.test('a value of a wrong type fails with the name of its field', async t => {
  const cases: ReadonlyArray<readonly [message: unknown, words: string]> = [
    [{ stringValue: {} }, 'at stringValue: expected a string, got an object'],
    [{ stringValue: [] }, 'at stringValue: expected a string, got an empty array'],
    [{ stringValue: Promise.resolve('x') }, 'at stringValue: expected a string, got a Promise object'],
    [{ stringValue: new Date(0) }, 'at stringValue: expected a string, got a Date object'],
    [{ stringValue: Symbol('x') }, 'at stringValue: expected a string, got a symbol'],
    [{ int32Value: 'many' }, 'at int32Value: expected an int32, got "many"'],
    [{ int32Value: 1.5 }, 'at int32Value: expected an int32, got 1.5'],
    [{ int32Value: 2 ** 31 + 1 }, 'at int32Value: expected an int32, got 2147483649'],
    [{ uint32Value: -1 }, 'at uint32Value: expected a uint32, got -1'],
    [{ int64Value: '9223372036854775808' }, 'at int64Value: expected an int64'],
    [{ uint64Value: -1n }, 'at uint64Value: expected a uint64, got -1'],
    [{ int64Value: NaN }, 'at int64Value: expected an int64, got NaN'],
    [{ floatValue: 1e39 }, 'at floatValue: expected a float, got 1e+39'],
    [{ doubleValue: 'x' }, 'at doubleValue: expected a double, got "x"'],
    [{ boolValue: 'yes' }, 'at boolValue: expected a bool, got "yes"'],
    [{ bytesValue: 7 }, 'at bytesValue: expected bytes'],
    [{ bytesValue: [256] }, 'at bytesValue: expected bytes'],
    [{ bytesValue: 'no base64!' }, 'at bytesValue: expected bytes'],
    [{ enumValue: 'PURPLE' }, 'at enumValue: expected a value of test.every_kind.EveryKind.Color, got "PURPLE"'],
    [{ enumValue: 1.5 }, 'at enumValue: expected a value of'],
    [{ child: 'x' }, 'at child: expected an object, as test.every_kind.EveryKind is, got "x"'],
    [{ child: new Date(0) }, 'at child: expected an object, as test.every_kind.EveryKind is, got a Date object'],
    [{ names: [] }, 'at names: expected an object, as test.every_kind.EveryKind.Names is, got an empty array'],
    [{ children: {} }, 'at children: expected a list, got an object'],
    [{ children: [{}, { children: [null] }] }, 'at children[1].children[0]: expected an object'],
    [{ repeatedValues: { stringValues: 'x' } }, 'at repeatedValues.stringValues: expected a list, got "x"'],
    [{ repeatedValues: { int32Values: [1, undefined] } }, 'at repeatedValues.int32Values[1]: expected an int32, got nothing'],
    [{ maps: { byString: new Map([['x', 1]]) } }, 'at maps.byString: expected a map: an object by keys, got a Map object'],
    [{ maps: { byString: { 'x y': 'z' } } }, 'at maps.byString["x y"]: expected an int64, got "z"'],
    [{ maps: { byInt32: { x: '' } } }, 'at maps.byInt32["x"]: expected an int32, got "x"'],
    [{ maps: { tree: { x: { inner: { state: 'ON' } } } } }, 'at maps.tree["x"].inner.state: expected a value of'],
    [{ wellKnown: { timestamp: new Date(0) } }, 'at wellKnown.timestamp: expected an object, as google.protobuf.Timestamp is, got a Date object'],
    [{ wellKnown: { timestamp: { seconds: '253402300800' } } }, 'at wellKnown.timestamp: expected a time between the years 1 and 9999'],
    [{ wellKnown: { duration: { seconds: 1, nanos: -1 } } }, 'at wellKnown.duration: expected a duration'],
    [{ wellKnown: { value: { numberValue: NaN } } }, 'at wellKnown.value: expected a finite number, got NaN'],
    [{ wellKnown: { fieldMask: { paths: ['aB'] } } }, 'at wellKnown.fieldMask: a path of the field mask'],
    [{ wellKnown: { any: { type_url: 'x/google.protobuf.Duration', value: Buffer.from([255]) } } }, 'at wellKnown.any: the bytes are no google.protobuf.Duration'],
    [null, 'expected an object'], [undefined, 'got nothing'], ['x', 'got "x"'], [[], 'got an empty array'], [Promise.resolve({}), 'got a Promise object']
  ]
  for (const [message, words] of cases) {
    const details = failureOf(EveryKind, message)
    t.ok(details.startsWith('The response test.every_kind.EveryKind is wrong') && details.includes(words), `${details} | ${words}`)
    t.notMatch(details, '[object')
  }
})

t.test('an array, a Date or a promise is no message where defaults are written', async t => {
  for (const [value, words] of [[[], 'an empty array'], [new Date(0), 'a Date object'], [Promise.resolve({}), 'a Promise object']] as const) {
    t.match(failureOf(EveryKind, { inner: value }, { emitDefaults: true }), `at inner: expected an object, as test.every_kind.EveryKind.Inner is, got ${words}`)
    t.match(failureOf(EveryKind, value, { emitDefaults: true }), `expected an object, as test.every_kind.EveryKind is, got ${words}`)
  }
})

t.test('a message that contains itself is refused', async t => {
  const cyclic: Record<string, unknown> = { stringValue: 'x' }
  cyclic.child = cyclic
  t.match(failureOf(EveryKind, cyclic), 'messages nest deeper than 100 levels; does one contain itself?')
  const list: Record<string, unknown> = {}
  list.children = [list]
  t.match(failureOf(EveryKind, list), 'does one contain itself?')
})

const time = (text: string): string => inWellKnown(`{"timestamp":"${text}"}`)
roundTrips('timestamps', EveryKind, [
  [{ wellKnown: { timestamp: {} } }, time('1970-01-01T00:00:00Z')],
  [{ wellKnown: { timestamp: { seconds: '-1', nanos: 500_000_000 } } }, time('1969-12-31T23:59:59.500Z')],
  [{ wellKnown: { timestamp: { seconds: '1709164800', nanos: 120_000 } } }, time('2024-02-29T00:00:00.000120Z')],
  [{ wellKnown: { timestamp: { seconds: '1709164800', nanos: 1 } } }, time('2024-02-29T00:00:00.000000001Z')],
  [{ wellKnown: { timestamp: { seconds: '-62135596800' } } }, time('0001-01-01T00:00:00Z')],
  [{ wellKnown: { timestamp: { seconds: '253402300799', nanos: 999_999_999 } } }, time('9999-12-31T23:59:59.999999999Z')]
])
reads('timestamps with offsets and few digits', EveryKind, [
  [time('1970-01-01T01:30:00+01:30'), { wellKnown: { timestamp: {} } }],
  [time('1969-12-31T23:00:00.1-01:00'), { wellKnown: { timestamp: { nanos: 100_000_000 } } }],
  [time('0001-01-01T01:00:00+01:00'), { wellKnown: { timestamp: { seconds: '-62135596800' } } }]
])
refuses('what is no timestamp', EveryKind, [
  '2023-02-29T00:00:00Z', '2024-13-01T00:00:00Z', '2024-01-01T24:00:00Z', '2024-01-01T00:60:00Z', '2024-01-01T00:00:60Z', '2024-01-01 00:00:00Z', '2024-01-01t00:00:00z', '2024-01-01T00:00:00', '2024-01-01',
  '0000-12-31T00:00:00Z', '10000-01-01T00:00:00Z', '9999-12-31T23:59:59-00:01', '0001-01-01T00:00:00+00:01', '2024-01-01T00:00:00.1234567890Z', '2024-01-01T00:00:00.Z', '2024-01-01T00:00:00+24:00', ''
].map(text => [time(text), 'wellKnown.timestamp', 'expected a time such as "2006-01-02T15:04:05.999Z", got']))

const duration = (text: string): string => inWellKnown(`{"duration":"${text}"}`)
roundTrips('durations', EveryKind, [
  [{ wellKnown: { duration: {} } }, duration('0s')],
  [{ wellKnown: { duration: { seconds: '3', nanos: 500_000_000 } } }, duration('3.500s')],
  [{ wellKnown: { duration: { nanos: -1 } } }, duration('-0.000000001s')],
  [{ wellKnown: { duration: { seconds: '-3', nanos: -120_000 } } }, duration('-3.000120s')],
  [{ wellKnown: { duration: { seconds: '315576000000' } } }, duration('315576000000s')],
  [{ wellKnown: { duration: { seconds: '-315576000000' } } }, duration('-315576000000s')]
])
refuses('what is no duration', EveryKind, ['1', '1.s', '.5s', '+1s', '1.0000000001s', '315576000001s', '-315576000001s', '1S', '1 s', 's', '', '1e2s'].map(text => [duration(text), 'wellKnown.duration', 'expected a duration such as "3.5s", got']))

roundTrips('field masks', EveryKind, [
  [{ wellKnown: { fieldMask: { paths: ['name', 'author.birth_year'] } } }, inWellKnown('{"fieldMask":"name,author.birthYear"}')],
  [{ wellKnown: { fieldMask: {} } }, inWellKnown('{"fieldMask":""}')]
])
refuses('what is no field mask', EveryKind, ['"a_b"', '","', '"a,"', '"a b"', '1', '[]'].map(text => [inWellKnown(`{"fieldMask":${text}}`), 'wellKnown.fieldMask', 'expected a field mask']))

roundTrips('Struct, Value and ListValue', EveryKind, [
  [{ wellKnown: { struct: { fields: { a: { numberValue: 1.5 }, b: { listValue: { values: [{ boolValue: false }, { nullValue: 0 }] } }, c: { structValue: { fields: { d: { stringValue: 'x:y' } } } } } } } }, inWellKnown('{"struct":{"a":1.5,"b":[false,null],"c":{"d":"x:y"}}}')],
  [{ wellKnown: { struct: {} } }, inWellKnown('{"struct":{}}')],
  [{ wellKnown: { value: { numberValue: -0 } } }, inWellKnown('{"value":-0}')],
  [{ wellKnown: { value: { stringValue: '' } } }, inWellKnown('{"value":""}')],
  [{ wellKnown: { value: { structValue: {} }, listValue: { values: [{ listValue: {} }] } } }, inWellKnown('{"value":{},"listValue":[[]]}')]
])
writes('a Value without a kind', EveryKind, [[{ wellKnown: { value: {} } }, inWellKnown('{"value":null}')]])
refuses('what is no Struct or ListValue', EveryKind, [
  [inWellKnown('{"struct":[]}'), 'wellKnown.struct', 'expected an object, got an empty array'],
  [inWellKnown('{"listValue":{}}'), 'wellKnown.listValue', 'expected an array, got an object'],
  [inWellKnown('{"value":1e400}'), 'wellKnown.value', 'expected a double']
])

roundTrips('wrappers and Empty', EveryKind, [
  [{ wellKnown: { int64Wrapper: { value: '9007199254740993' }, uint64Wrapper: {} } }, inWellKnown('{"int64Wrapper":"9007199254740993","uint64Wrapper":"0"}')],
  [{ wellKnown: { doubleWrapper: {}, floatWrapper: { value: NaN }, int32Wrapper: { value: -1 }, uint32Wrapper: { value: 1 } } }, inWellKnown('{"doubleWrapper":0,"floatWrapper":"NaN","int32Wrapper":-1,"uint32Wrapper":1}')],
  [{ wellKnown: { boolWrapper: {}, stringWrapper: {}, bytesWrapper: { value: hi } } }, inWellKnown('{"boolWrapper":false,"stringWrapper":"","bytesWrapper":"aGk="}')],
  [{ wellKnown: { empty: {} } }, inWellKnown('{"empty":{}}')]
])
refuses('members of an Empty', EveryKind, [[inWellKnown('{"empty":{"a":1}}'), 'wellKnown.empty.a', 'google.protobuf.Empty has no field "a"']])

const URL_PREFIX = 'type.googleapis.com/'
const any = (members: string): string => inWellKnown(`{"any":{${members}}}`)
function packed (typeName: string, bytes: Uint8Array): object {
  return { wellKnown: { any: { type_url: URL_PREFIX + typeName, ...bytes.length > 0 ? { value: Buffer.from(bytes) } : {} } } }
}
roundTrips('Any of types that are known', EveryKind, [
  [packed('test.every_kind.EveryKind', EveryKind.encode({ int32Value: 7 } as never).finish()), any(`"@type":"${URL_PREFIX}test.every_kind.EveryKind","int32Value":7`)],
  [packed('test.every_kind.EveryKind', Buffer.alloc(0)), any(`"@type":"${URL_PREFIX}test.every_kind.EveryKind"`)],
  [packed('google.protobuf.Duration', Buffer.from([8, 1])), any(`"@type":"${URL_PREFIX}google.protobuf.Duration","value":"1s"`)],
  [packed('google.protobuf.Any', Buffer.from([10, 3, 120, 47, 121])), any(`"@type":"${URL_PREFIX}google.protobuf.Any","value":{"@type":"x/y","value":""}`)],
  [packed('google.protobuf.Value', Buffer.from([8, 0])), any(`"@type":"${URL_PREFIX}google.protobuf.Value","value":null`)],
  [packed('google.protobuf.Empty', Buffer.alloc(0)), any(`"@type":"${URL_PREFIX}google.protobuf.Empty"`)],
  [{ wellKnown: { any: {} } }, any('')]
])
roundTrips('Any of a type that is not known', EveryKind, [
  [packed('no.such.Type', hi), any(`"@type":"${URL_PREFIX}no.such.Type","value":"aGk="`)]
])
refuses('what is no Any', EveryKind, [
  [any('"value":"x"'), 'wellKnown.any.@type', 'expected the URL of a type such as "type.googleapis.com/google.protobuf.Duration", got nothing'],
  [any('"@type":7'), 'wellKnown.any.@type', 'got 7'],
  [any('"@type":"google.protobuf.Duration"'), 'wellKnown.any.@type', 'got "google.protobuf.Duration"'],
  [any('"@type":"x/no.such.Type","text":"x"'), 'wellKnown.any', 'the type no.such.Type is not known here; a server learns it by the option `types`'],
  [any('"@type":"x/no.such.Type","value":{}'), 'wellKnown.any', 'option `types`'],
  [any('"@type":"x/no.such.Type","value":"!"'), 'wellKnown.any.value', 'expected bytes'],
  [any('"@type":"x/google.protobuf.Duration"'), 'wellKnown.any', '"value" is missing'],
  [any('"@type":"x/google.protobuf.Duration","value":"1s","other":1'), 'wellKnown.any.other', '"@type" of this type allows no member but "value"'],
  [any('"@type":"x/google.protobuf.Duration","value":"1"'), 'wellKnown.any.value', 'expected a duration'],
  [any('"@type":"x/test.every_kind.EveryKind","children":[{"int32Value":"x"}]'), 'wellKnown.any.children[0].int32Value', 'expected an int32'],
  [inWellKnown('{"any":[]}'), 'wellKnown.any', 'expected an object with "@type", got an empty array']
])

const everyKindService = loadProto(fixture('every-kind.proto')).EveryKindService!
const ECHO = '/grpc/test.every_kind.EveryKindService/Echo'
const packedReason = `{"wellKnown":{"any":{"@type":"${URL_PREFIX}test.json_types.Reason","text":"x","number":"7"}}}`

t.test('over HTTP, the option `types` makes a type known to Any', async t => {
  const services = [implement(everyKindService as never, { Echo: (request: object) => request } as never)]
  const { post } = await serve(t, { services, types: fixture('json-types.proto') })
  const { text } = await post(ECHO, packedReason)
  t.equal(text, packedReason)
  t.match((await post(ECHO, packedReason.replace('"x"', 'true'))).json, { status: 400, details: [{ fieldViolations: [{ field: 'wellKnown.any.text', description: 'expected a string, got true' }] }] })

  const { post: postWithout } = await serve(t, { services })
  const refused = await postWithout(ECHO, packedReason)
  t.equal(refused.status, 400)
  t.match(refused.json.detail, 'option `types`')
})

t.test('details of errors may be of a type of the option `types`, over both protocols', async t => {
  const detail = { '@type': 'test.json_types.Reason', text: 'x', number: '7' }
  const fail = (): never => { throw new GrpcError(status.ABORTED, 'no', { errorDetails: [detail] }) }
  const { post, client } = await serve(t, { services: [implement(everyKindService as never, { Echo: fail } as never)], types: fixture('json-types.proto') })
  t.match((await post(ECHO, {})).json, { status: 409, details: [{ '@type': `${URL_PREFIX}test.json_types.Reason`, text: 'x', number: '7' }] })
  const { code, trailers } = await client(everyKindService).call('Echo', {})
  t.equal(code, status.ABORTED)
  const [bytes] = trailers.get('grpc-status-details-bin')
  t.match(Buffer.from(bytes as Buffer).toString('latin1'), 'type.googleapis.com/test.json_types.Reason')
})

t.test('over HTTP, what is wrong answers 400, whatever the names and values are', async t => {
  const { post } = await serve(t, { services: [implement(everyKindService as never, { Echo: (request: object) => request } as never)] })
  const texts = ['{"nope":1}', '{', '{"\\ud800":1}', `{"${'x'.repeat(199)}🚀":1}`, '{"int32Value":{"toString":1}}', '{"maps":{"byString":{"\\ud800":"1"}}}', `{"stringValue":"${'\\n'.repeat(1_500_000)}","nope":1}`]
  for (const text of texts) {
    const { status, json } = await post(ECHO, text)
    t.equal(status, 400, `${text.slice(0, 40)} ${JSON.stringify(json).slice(0, 300)}`)
    t.equal(json.details?.[0]?.fieldViolations?.length, 1, text.slice(0, 40))
  }
})

t.test('over HTTP, a wrong response answers 500 with the name of its field, and options of a method are kept', async t => {
  const { post } = await serve(t, {
    services: [implement(everyKindService as never, { Echo: ({ stringValue }: { stringValue: string }) => stringValue === 'bad' ? { children: [{ int32Value: 'many' }] } : { int64Value: '7', stringValue: '\ud800' } } as never)],
    json: { int64: 'number' },
    logger: silentLogger
  })
  t.same((await post(ECHO, {})).text, '{"stringValue":"\ufffd","int64Value":7}')
  const wrong = await post(ECHO, { stringValue: 'bad' })
  t.equal(wrong.status, 500)
  t.notMatch(wrong.text, '[object')
})

const silentLogger = { debug () {}, info () {}, warn () {}, error () {}, child () { return silentLogger } } as never

t.test('two codecs of the same source are told apart', async t => {
  const plain = wireCodec(EveryKind)
  const codecOf = (change: (message: Record<string, unknown>) => unknown) => ({ ...plain, deserialize: (bytes: Buffer) => change(plain.deserialize(bytes) as Record<string, unknown>) })
  const codecs = new JsonCodecs(new TypeRegistry([EveryKind.root]))
  const [asIs, shouting] = [codecs.reader(codecOf(message => message)), codecs.reader(codecOf(message => message.stringValue === undefined ? message : { ...message, stringValue: String(message.stringValue).toUpperCase() }))]
  t.same(asIs.fromText('{"stringValue":"x"}'), { stringValue: 'x' })
  t.same(shouting.fromText('{"stringValue":"x"}'), { stringValue: 'X' })
})

t.test('without code generation, closures read and write the same', async t => {
  const definition = loadProto(fixture('every-kind.proto')).EveryKindService!
  const { requestDeserialize: deserialize, responseSerialize: serialize } = definition.Echo!
  const texts = [
    '{}', '{"stringValue":"a:b","int32Value":"1e2","int64Value":7,"floatValue":0.1,"doubleValue":-0,"bytesValue":"aGk","enumValue":"COLOR_RED"}', '{"int32Value":"x","nope":1}', '{"children":[{"inner":{"state":1}},{"names":{"given-name":"x"}}]}',
    '{"oneOfs":{"chosenInt64":"7","between":"b"}}', '{"oneOfs":{"chosenBool":true,"chosenString":"x"}}', '{"maps":{"byString":{"x":"1"},"byInt32":{"1":"a"},"tree":{"__proto__":{}}}}', '{"wellKnown":{"timestamp":"2024-02-29T00:00:00Z","duration":"1.5s","struct":{"a":[1,null]},"int64Wrapper":"7","fieldMask":"aB"}}',
    '{"wellKnown":{"timestamp":"x","values":[null,1]}}', '{"repeatedValues":{"int64Values":["1",2],"floatValues":[1.5,"NaN"],"enumValues":["COLOR_BLUE",9]}}', '{"optionalValues":{"int32Value":0,"stringValue":""}}', '[]', '{"constructor":1}', '{"wellKnown":{"any":{"@type":"x/no.such.Type","value":"aGk="}}}'
  ]
  const messages = [{}, { stringValue: {} }, { int32Value: '7', floatValue: 0.1 }, { children: [{ int32Value: 1.5 }] }, { maps: { byString: { x: 'y' } } }, { enumValue: 'NOPE' }, { children: {} }, { child: [] }, { wellKnown: { duration: { seconds: 1, nanos: -1 } } }]
  const type = serviceDescriber()(definition).methods[0]!.requestType
  const task = { proto: fixture('every-kind.proto'), typeName: 'test.every_kind.EveryKind', shape: detectShape(type, deserialize)!, texts, messages }
  const child = JSON.parse(execFileSync(process.execPath, ['--disallow-code-generation-from-strings', '--import', 'tsx', fixture('json-closures.ts'), JSON.stringify(task)], { encoding: 'utf8' }))

  const codec = { type, deserialize, serialize: serialize as (message: never) => Uint8Array }
  const [reader, writer] = [readerOf(codec), writerOf(codec)]
  const written = (message: unknown): unknown => {
    try {
      return writer(message)
    } catch (error) {
      return { details: (error as GrpcError).details }
    }
  }
  t.equal(child.mayGenerate, false)
  t.same(child.read, texts.map(text => {
    try {
      return { written: written(reader.fromText(text)) }
    } catch (error) {
      return { violations: (error as GrpcError).errorDetails[0]!.fieldViolations }
    }
  }))
  t.same(child.written, messages.map(written))
})
