/**
 * How a definition's messages look to handlers. There are the shapes that @grpc/proto-loader and `loadProto` make,
 * and the one that protobufjs' own encoder takes.
 */
import protobuf from 'protobufjs'
import { isLong, isWellKnown, scalarKind, type ScalarKind } from './fields.ts'
import { snakeCase } from './text-forms.ts'

/** An integer of 64 bits: a number where that is exact. */
export type Integer = number | bigint

/** What makes an object for an integer of 64 bits: the class Long of one of the copies of `long`. */
export interface LongClass {
  fromBits: (low: number, high: number, unsigned: boolean) => object
}

export interface Shape {
  /** Names of properties: as in the .proto file, as protobufjs makes them lowerCamelCase, or those of the reflection. */
  readonly names: 'proto' | 'camel' | 'reflection'
  readonly longs: 'string' | 'number' | LongClass
  readonly enums: 'name' | 'number'
  readonly bytes: 'buffer' | 'base64' | 'array'
  /** Whether unset fields have their default values. */
  readonly defaults: boolean
  readonly arrays: boolean
  readonly objects: boolean
  /** Whether a property named after each oneof names the field that is set, and the form of that property's name. */
  readonly oneofs: OneofNames | undefined
}

/** What the `encode` of protobufjs takes, and its `toObject` gives. */
export const wireShape: Shape = {
  names: 'reflection', longs: 'string', enums: 'number', bytes: 'buffer', defaults: false, arrays: false, objects: false, oneofs: undefined
}

export function propertyOf ({ names }: Shape, field: protobuf.Field): string {
  // protobufjs brings the types of google.protobuf with it, and does not rename their fields.
  if (names === 'reflection' || field.declaringField != null || isWellKnown(field.parent as protobuf.Type)) return field.name
  const name = field.protoName ?? field.name
  return names === 'proto' ? name : protobuf.util.camelCase(name)
}

/** The property that names the field of a oneof; undefined where the shape has none. */
export function oneofPropertyOf ({ oneofs }: Shape, { partOf }: protobuf.Field): string | undefined {
  return oneofs === undefined || partOf == null ? undefined : ONEOF_NAMES[oneofs](partOf.name)
}

/** Names of oneofs from those that the reflection has, which may have lost the case of the .proto file. */
export const ONEOF_NAMES = {
  reflection: (name: string) => name,
  camel: protobuf.util.camelCase,
  snake: snakeCase
} as const

export type OneofNames = keyof typeof ONEOF_NAMES

/** Gives a value of a field, or of an element of it, the form that handlers see. */
type Shaper = (value: never) => unknown

/** @returns undefined when the form is that of the canonical value: numbers, text, booleans, Buffers, messages */
export function shaperOf (shape: Shape, field: protobuf.Field): Shaper | undefined {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return undefined
  if (resolvedType instanceof protobuf.Enum) return shape.enums === 'number' ? undefined : enumShaper(resolvedType)
  const kind = scalarKind(field.type)
  if (isLong(kind)) return longShaper(shape, kind === 'uint64')
  if (kind !== 'bytes' || shape.bytes === 'buffer') return undefined
  return shape.bytes === 'array' ? (bytes: Buffer) => [...bytes] : (bytes: Buffer) => bytes.toString('base64')
}

function enumShaper ({ valuesById }: protobuf.Enum): Shaper {
  return (number: number) => valuesById[number] ?? number
}

function longShaper ({ longs }: Shape, unsigned: boolean): Shaper {
  if (longs === 'string') return String
  if (longs === 'number') return Number
  return (value: Integer) => {
    const bits = BigInt.asUintN(64, BigInt(value))
    return longs.fromBits(Number(bits & 0xffffffffn) | 0, Number(bits >> 32n) | 0, unsigned)
  }
}

const ZEROS: Readonly<Record<ScalarKind, unknown>> = {
  int32: 0, uint32: 0, int64: 0, uint64: 0, float: 0, double: 0, bool: false, string: '', bytes: Buffer.alloc(0)
}

/** The canonical default of a field without a label: its declared one, or zero. */
export function defaultOf (field: protobuf.Field): unknown {
  const declared: unknown = field.options?.default === undefined ? undefined : field.typeDefault
  if (field.resolvedType instanceof protobuf.Type) return null
  if (field.resolvedType instanceof protobuf.Enum) return field.typeDefault
  const kind = scalarKind(field.type)
  if (declared === undefined || declared === null) return ZEROS[kind]
  if (isLong(kind)) return BigInt(String(declared))
  return kind === 'bytes' ? Buffer.from(declared as Uint8Array) : declared
}

/**
 * What a field has in a message where it is not set, in the form that handlers see; `undefined` when nothing.
 * Lists, maps and bytes are made anew by each call of the function.
 */
export function unsetOf (shape: Shape, field: protobuf.Field): (() => unknown) | undefined {
  if (field.map) return shape.objects || shape.defaults ? () => ({}) : undefined
  if (field.repeated) return shape.arrays || shape.defaults ? () => [] : undefined
  if (!shape.defaults || field.partOf != null) return undefined
  const value = defaultOf(field)
  const shaper = shaperOf(shape, field)
  return () => value === null || shaper === undefined ? value : shaper(value as never)
}
