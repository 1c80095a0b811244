/** Messages to try a codec out with. They are as protobufjs encodes them. */
import protobuf from 'protobufjs'
import { fieldsByName, isClosed, isNullValue, scalarKind, type ScalarKind } from './fields.ts'
import { hasOwnJson } from './well-known-types.ts'

/** Where a type is in a message: the fields that lead to it. */
export interface Place {
  readonly type: protobuf.Type
  readonly path: readonly protobuf.Field[]
}

/** Every type that a message may contain, and a shortest way to it. */
export function placesIn (type: protobuf.Type): Place[] {
  const places: Place[] = [{ type, path: [] }]
  const seen = new Set([type])
  for (const { type, path } of places) {
    for (const field of type.fieldsArray) {
      const { resolvedType } = field.resolve()
      if (!(resolvedType instanceof protobuf.Type) || seen.has(resolvedType)) continue
      seen.add(resolvedType)
      places.push({ type: resolvedType, path: [...path, field] })
    }
  }
  return places
}

/** A message that has another at a place. */
export function messageAt ({ path }: Place, message: object): object {
  return path.reduceRight<object>((message, field) => ({ [field.name]: wireValue(field, message) }), message)
}

const KEYS: Readonly<Record<string, string>> = { bool: 'true', string: 'key' }

/** What a field has whose one value, or whose one element, is given. */
export function wireValue (field: protobuf.Field, value: unknown): unknown {
  if (field instanceof protobuf.MapField) return { [KEYS[field.keyType] ?? '7']: value }
  return field.repeated ? [value] : value
}

const USUAL: Readonly<Record<ScalarKind, unknown>> = {
  string: 'x', bytes: Buffer.from('x'), bool: true, float: 0.5, double: 0.5, int32: 7, uint32: 7, int64: 7, uint64: 7
}

const EXTREME: Readonly<Record<ScalarKind, unknown>> = {
  string: '', bytes: Buffer.alloc(0), bool: false, float: NaN, double: -Infinity, int32: -(2 ** 31), uint32: 2 ** 32 - 1, int64: -(2 ** 40), uint64: 2 ** 40
}

/** A value for a field, and not its default. */
export function sample (field: protobuf.Field, root?: protobuf.Type): unknown {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return messagesOf(resolvedType, root)[0]
  if (resolvedType instanceof protobuf.Enum) return Object.values(resolvedType.values).find(number => number !== field.typeDefault) ?? field.typeDefault
  return USUAL[scalarKind(field.type)]
}

/** The other end of what a field may have: falsy, very large, not finite, without a name. */
function extreme (field: protobuf.Field, root: protobuf.Type): unknown {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return messagesOf(resolvedType, root)[0]
  if (resolvedType instanceof protobuf.Enum) return isClosed(resolvedType) || isNullValue(resolvedType) ? field.typeDefault : 123_456_789
  return EXTREME[scalarKind(field.type)]
}

/**
 * Messages that between them have every field of the type.
 *
 * @param root a type that the codec knows
 */
export function probesOf (type: protobuf.Type, root: protobuf.Type): object[] {
  if (hasOwnJson(type)) return messagesOf(type, root)
  const alone = type.fieldsArray.filter(({ partOf }) => partOf == null)
  const inOneofs = type.fieldsArray.filter(({ partOf }) => partOf != null)
  return [
    {},
    ...[sample, extreme].flatMap(value => [
      Object.fromEntries(alone.map(field => [field.name, wireValue(field, value(field, root))])),
      ...inOneofs.map(field => ({ [field.name]: value(field, root) }))
    ])
  ]
}

/** Messages that JSON can say, of a type whose JSON may be that of its fields or one of its own. */
function messagesOf (type: protobuf.Type, root = type): object[] {
  if (!hasOwnJson(type)) return [{}]
  const field = (name: string): string => fieldsByName(type).get(name)!.name
  const anyOf = (name: string, value: Buffer): object => ({ [field('typeUrl')]: `type.googleapis.com/${name}`, [field('value')]: value })
  switch (type.name) {
    case 'Any': return [anyOf(hasOwnJson(root) ? 'google.protobuf.Empty' : root.fullName.slice(1), Buffer.alloc(0)), anyOf('google.protobuf.StringValue', Buffer.from('\n\x01x')), {}]
    case 'Value': return [{ [field('boolValue')]: true }, { [field('stringValue')]: '' }, { [field('numberValue')]: 0.5 }, { [field('nullValue')]: 0 }]
    case 'Struct': case 'ListValue': case 'FieldMask': return [{}]
    case 'Timestamp': case 'Duration': return [{ [field('seconds')]: 7, [field('nanos')]: 7 }, {}]
    default: return [{ [field('value')]: USUAL[scalarKind(type.fields.value!.type)] }, { [field('value')]: EXTREME[scalarKind(type.fields.value!.type)] }, {}]
  }
}
