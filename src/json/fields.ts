/** What JSON has to know of the fields of a message type: names, kinds, enum values. */
import protobuf from 'protobufjs'

/** The scalar types, those with the same JSON together. */
export type ScalarKind = 'int32' | 'uint32' | 'int64' | 'uint64' | 'float' | 'double' | 'bool' | 'string' | 'bytes'

const KINDS: Readonly<Record<string, ScalarKind>> = {
  int32: 'int32',
  sint32: 'int32',
  sfixed32: 'int32',
  uint32: 'uint32',
  fixed32: 'uint32',
  int64: 'int64',
  sint64: 'int64',
  sfixed64: 'int64',
  uint64: 'uint64',
  fixed64: 'uint64',
  float: 'float',
  double: 'double',
  bool: 'bool',
  string: 'string',
  bytes: 'bytes'
}

/** @param type the name of a scalar type, such as `sint64` */
export function scalarKind (type: string): ScalarKind {
  return KINDS[type]!
}

export function isLong (kind: ScalarKind): boolean {
  return kind === 'int64' || kind === 'uint64'
}

interface FieldNames {
  readonly json: string
  readonly proto: string
}

/** The names of a field in JSON; an extension is `[its.full.name]` in both. */
export function namesOf (field: protobuf.Field): FieldNames {
  const declared = (field as { declaringField?: protobuf.Field | null }).declaringField
  if (declared != null) {
    const name = `[${declared.fullName.slice(1).replace(/[^.]+$/, declared.protoName ?? declared.name)}]`
    return { json: name, proto: name }
  }
  const json = field.jsonName ?? field.name
  const { resolvedType } = field
  // A group is a field whose name is that of its type in lower case.
  if (resolvedType instanceof protobuf.Type && (resolvedType as { group?: boolean }).group === true && json.toLowerCase() === resolvedType.name.toLowerCase()) {
    return { json: json.toLowerCase(), proto: json.toLowerCase() }
  }
  return { json, proto: field.protoName ?? field.name }
}

const byName = new WeakMap<protobuf.Type, ReadonlyMap<string, protobuf.Field>>()

/** The fields of a type by every name that JSON may give them. */
export function fieldsByName (type: protobuf.Type): ReadonlyMap<string, protobuf.Field> {
  const known = byName.get(type)
  if (known !== undefined) return known
  const fields = new Map<string, protobuf.Field>()
  for (const field of type.fieldsArray) {
    field.resolve()
    if (!namesOf(field).json.startsWith('[')) fields.set(field.name, field)
  }
  for (const field of type.fieldsArray) fields.set(namesOf(field).proto, field)
  for (const field of type.fieldsArray) fields.set(namesOf(field).json, field)
  byName.set(type, fields)
  return fields
}

/** Whether a value that equals the default is the same as none. */
export function isImplicit (field: protobuf.Field): boolean {
  return !field.hasPresence && !field.repeated && !field.map && !(field.resolvedType instanceof protobuf.Type)
}

/** The enum of `null`, where that is a value. */
export function isNullValue (type: protobuf.ReflectionObject | null): boolean {
  return type?.fullName === '.google.protobuf.NullValue'
}

/** Whether JSON null is a value of the field rather than its absence. */
export function takesNull ({ resolvedType }: protobuf.Field): boolean {
  return isNullValue(resolvedType) || resolvedType?.fullName === '.google.protobuf.Value'
}

/** Whether the enum has no values but those that its file names. */
export function isClosed (type: protobuf.Enum): boolean {
  return (type as unknown as { _features?: { enum_type?: string } })._features?.enum_type === 'CLOSED'
}

/** Whether this is a type of google.protobuf, whose JSON need not be an object of its fields. */
export function isWellKnown (type: protobuf.Type): boolean {
  return type.fullName.startsWith('.google.protobuf.')
}
