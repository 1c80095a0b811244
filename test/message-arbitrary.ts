/** Random messages of any type, for property tests. */
import fc from 'fast-check'
import protobuf from 'protobufjs'

/** A message in the form that `fromObject` takes; unset fields are absent. */
export interface PlainMessage { [field: string]: unknown }

export interface MessageArbitraryOptions {
  /** How many levels of messages may lie in the message. Default 3. */
  depth?: number
  /** Let enums, which must be open, have numbers that they do not name. Default false. */
  unknownEnumNumbers?: boolean
}

/**
 * Random messages of a type: any of its fields, with any value that they may hold, but one field of each oneof at
 * most. Integers of 64 bits are decimal strings, enums are names or numbers, bytes are Buffers. The types of
 * google.protobuf hold only what ProtoJSON can say, such as finite numbers in a `Struct`.
 */
export function messageArbitrary (type: protobuf.Type, { depth = 3, unknownEnumNumbers = false }: MessageArbitraryOptions = {}): fc.Arbitrary<PlainMessage> {
  const made = new Map<string, fc.Arbitrary<PlainMessage>>()

  function ofMessage (type: protobuf.Type, depth: number): fc.Arbitrary<PlainMessage> {
    const key = `${type.fullName} ${depth}`
    const arbitrary = made.get(key) ?? ofWellKnown(type, depth) ?? ofFields(type, depth)
    made.set(key, arbitrary)
    return arbitrary
  }

  function ofWellKnown ({ fullName, root }: protobuf.Type, depth: number): fc.Arbitrary<PlainMessage> | undefined {
    switch (fullName) {
      case '.google.protobuf.Any': return ofAny(root, depth)
      case '.google.protobuf.Duration': return duration
      case '.google.protobuf.FieldMask': return fieldMask
      case '.google.protobuf.ListValue': return listValue(depth)
      case '.google.protobuf.Struct': return struct(depth)
      case '.google.protobuf.Timestamp': return timestamp
      case '.google.protobuf.Value': return value(depth)
      default: return undefined
    }
  }

  function ofAny (root: protobuf.Root, depth: number): fc.Arbitrary<PlainMessage> {
    const packable = ['Duration', 'Empty', 'Int64Value', 'Struct'].map(name => root.lookup(`.google.protobuf.${name}`)).filter(found => found instanceof protobuf.Type)
    if (depth > 0) packable.push(type)
    return fc.oneof(...packable.map(packed => ofMessage(packed, depth - 1).map(message => ({
      type_url: `type.googleapis.com/${packed.fullName.slice(1)}`,
      value: packed.encode(packed.fromObject(message)).finish()
    }))))
  }

  function ofFields (type: protobuf.Type, depth: number): fc.Arbitrary<PlainMessage> {
    const alone = type.fieldsArray.filter(field => field.partOf === null).map(field => {
      const entry = ofField(field, depth)
      return field.required ? entry : maybe(entry)
    })
    const oneofs = type.oneofsArray.map(({ fieldsArray }) => maybe(fc.oneof(...fieldsArray.map(field => ofField(field, depth)))))
    return fc.tuple(...alone, ...oneofs).map(entries => Object.fromEntries(entries.flat()))
  }

  /** The entry of the field in its message; none where it is a message too deep. */
  function ofField (field: protobuf.Field, depth: number): fc.Arbitrary<Array<[string, unknown]>> {
    const { resolvedType } = field.resolve()
    if (resolvedType instanceof protobuf.Type && depth === 0) return fc.constant([])
    return severalOf(field, ofValue(field, depth)).map(value => [[field.name, value]])
  }

  function ofValue ({ type, resolvedType }: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
    if (resolvedType instanceof protobuf.Type) return ofMessage(resolvedType, depth - 1)
    if (resolvedType instanceof protobuf.Enum) return ofEnum(resolvedType)
    return SCALARS[type]!
  }

  function ofEnum ({ values, fullName }: protobuf.Enum): fc.Arbitrary<string | number> {
    const named = fc.constantFrom(...Object.entries(values).flat())
    return unknownEnumNumbers && fullName !== '.google.protobuf.NullValue' ? fc.oneof(named, int32) : named
  }

  return ofMessage(type, depth)
}

/** A list, a map, or the single value, as the field has it. */
function severalOf (field: protobuf.Field, single: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const size = { maxLength: field.resolvedType instanceof protobuf.Type ? 2 : 5 }
  if (field instanceof protobuf.MapField) {
    return fc.array(fc.tuple(MAP_KEYS[field.keyType]!, single), size).map(entries => Object.fromEntries(entries))
  }
  return field.repeated ? fc.array(single, size) : single
}

/** More often absent than not, lest messages of many fields grow beyond measure. */
function maybe<T> (entries: fc.Arbitrary<T[]>): fc.Arbitrary<T[]> {
  return fc.oneof({ withCrossShrink: true }, { arbitrary: fc.constant<T[]>([]), weight: 2 }, { arbitrary: entries, weight: 1 })
}

/** The values that break things are as likely as all others together. */
function withEdges<T> (arbitrary: fc.Arbitrary<T>, ...edges: T[]): fc.Arbitrary<T> {
  return fc.oneof({ withCrossShrink: true }, arbitrary, fc.constantFrom(...edges))
}

function integer (min: number, max: number): fc.Arbitrary<number> {
  return withEdges(fc.integer({ min, max }), 0, 1, min, max)
}

function longInteger (min: bigint, max: bigint): fc.Arbitrary<string> {
  const edges = [0n, 1n, -1n, 2n ** 31n, 2n ** 53n + 1n, min, max].filter(edge => edge >= min && edge <= max)
  return withEdges(fc.bigInt({ min, max }), ...edges).map(String)
}

const int32 = integer(-(2 ** 31), 2 ** 31 - 1)
const uint32 = integer(0, 2 ** 32 - 1)
const int64 = longInteger(-(2n ** 63n), 2n ** 63n - 1n)
const uint64 = longInteger(0n, 2n ** 64n - 1n)
const string = withEdges(fc.string({ unit: 'binary', maxLength: 12 }), '', 'text', '\0"\\\n', 'ÿ€漢🚀')

const SCALARS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  double: withEdges(fc.double(), 0, -0, NaN, Infinity, -Infinity),
  float: withEdges(fc.float(), 0, -0, NaN, Infinity, -Infinity),
  int32,
  sint32: int32,
  sfixed32: int32,
  uint32,
  fixed32: uint32,
  int64,
  sint64: int64,
  sfixed64: int64,
  uint64,
  fixed64: uint64,
  bool: fc.boolean(),
  string,
  bytes: fc.uint8Array({ maxLength: 12 }).map(array => Buffer.from(array))
}

const keys = withEdges(string, '__proto__', 'constructor', '0')

const MAP_KEYS: Readonly<Record<string, fc.Arbitrary<unknown>>> = { ...SCALARS, string: keys }

const nanos = withEdges(fc.integer({ min: 0, max: 999_999_999 }), 0, 1, 120_000, 500_000_000, 999_999_999)

/** From the start of the year 1 to the end of the year 9999. */
const timestamp = fc.record({ seconds: longInteger(-62_135_596_800n, 253_402_300_799n), nanos })

const duration = fc.tuple(fc.bigInt({ min: 0n, max: 315_576_000_000n }), nanos, fc.constantFrom(1, -1))
  .map(([seconds, nanos, sign]) => ({ seconds: String(BigInt(sign) * seconds), nanos: sign * nanos }))

const fieldMask = fc.record({ paths: fc.array(fc.constantFrom('name', 'inner.state', 'string_value', 'a.b_c.d'), { maxLength: 3 }) })

function value (depth: number): fc.Arbitrary<PlainMessage> {
  const single = [
    fc.constant({ nullValue: 0 }),
    fc.record({ numberValue: withEdges(fc.double({ noDefaultInfinity: true, noNaN: true }), 0, -0, 1, Number.MAX_VALUE, Number.MIN_VALUE) }),
    fc.record({ stringValue: string }),
    fc.record({ boolValue: fc.boolean() })
  ]
  if (depth <= 0) return fc.oneof(...single)
  return fc.oneof(...single, fc.record({ structValue: struct(depth - 1) }), fc.record({ listValue: listValue(depth - 1) }))
}

function struct (depth: number): fc.Arbitrary<PlainMessage> {
  return fc.array(fc.tuple(keys, value(depth)), { maxLength: 3 }).map(entries => ({ fields: Object.fromEntries(entries) }))
}

function listValue (depth: number): fc.Arbitrary<PlainMessage> {
  return fc.record({ values: fc.array(value(depth), { maxLength: 3 }) })
}
