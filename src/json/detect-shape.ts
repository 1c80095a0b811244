/**
 * Finds out how messages look to the handlers of a definition, by trying its codec out at start: the options of
 * @grpc/proto-loader are nowhere to be read in what it makes.
 */
import protobuf from 'protobufjs'
import { isLong, isWellKnown, scalarKind } from './fields.ts'
import { messageAt, placesIn, sample, wireValue, type Place } from './probes.ts'
import { ONEOF_NAMES, type LongClass, type OneofNames, type Shape } from './shape.ts'

type Deserialize = (bytes: Buffer) => unknown

/**
 * @param deserialize of the definition
 * @returns undefined when it makes anything but the plain objects of protobufjs' `toObject`, or these with its option `json`
 */
export function detectShape (type: protobuf.Type, deserialize: Deserialize): Shape | undefined {
  const places = placesIn(type)

  /** What handlers see of a message at a place. */
  function look (place: Place, message: object): Record<string, unknown> | undefined {
    let seen: unknown
    try {
      seen = deserialize(type.encode(messageAt(place, message)).finish() as Buffer)
    } catch {
      return undefined
    }
    for (const field of place.path) {
      const value = valueOf(seen, field)
      seen = field.map ? Object.values(value ?? {})[0] : field.repeated ? (value as unknown[] | undefined)?.[0] : value
    }
    return isPlainObject(seen) ? seen : undefined
  }

  /** Looks at the first field that has what is looked for. */
  function lookAtFirst<T> (wanted: (field: protobuf.Field) => boolean, probe: (field: protobuf.Field, place: Place) => T): T | undefined {
    for (const place of places) {
      const field = place.type.fieldsArray.find(wanted)
      if (field !== undefined) return probe(field, place)
    }
    return undefined
  }

  /** What handlers see of one value of a field. */
  function lookAtValue (wanted: (field: protobuf.Field) => boolean, value: (field: protobuf.Field) => unknown): unknown {
    return lookAtFirst(wanted, (field, place) => {
      const seen = valueOf(look(place, { [field.name]: wireValue(field, value(field)) }), field)
      return field.map ? Object.values(seen ?? {})[0] : field.repeated ? (seen as unknown[] | undefined)?.[0] : seen
    })
  }

  /** The form of the name that the shape has for the oneof of a field. */
  function formOfOneof (field: protobuf.Field, place: Place): OneofNames | undefined {
    const seen = look(place, { [field.name]: sample(field) }) ?? {}
    return (Object.keys(ONEOF_NAMES) as OneofNames[]).find(form => ONEOF_NAMES[form](field.partOf!.name) in seen)
  }

  /** Whether unset fields of a sort have a property. */
  function areSet (wanted: (field: protobuf.Field) => boolean): boolean {
    return lookAtFirst(wanted, (field, place) => valueOf(look(place, {}), field) !== undefined) === true
  }

  /** Whether the codec has the option `json`, by which floats may be text, and an Any what it holds. */
  function isForJson (): boolean {
    const float = lookAtValue(({ type }) => type === 'double' || type === 'float', () => NaN)
    const any = lookAtValue(({ resolvedType }) => resolvedType?.fullName === '.google.protobuf.Any', field => sample(field, type))
    return typeof float === 'string' || (isPlainObject(any) && '@type' in any)
  }

  if (look(places[0]!, {}) === undefined || isForJson()) return undefined
  const names = lookAtFirst(field => camel(field) !== field.protoName && !isWellKnown(field.parent as protobuf.Type), (field, place) => {
    const seen = look(place, { [field.name]: wireValue(field, sample(field)) })
    return seen !== undefined && camel(field) in seen ? 'camel' : 'proto'
  }) ?? 'camel'
  const long = lookAtValue(isSingleLong, () => 7)
  const enumValue = lookAtValue(({ resolvedType }) => resolvedType instanceof protobuf.Enum, sample)
  const bytes = lookAtValue(({ type }) => type === 'bytes', () => Buffer.from('x'))
  const oneofs = lookAtFirst(isInTellingOneof, formOfOneof) ?? lookAtFirst(({ partOf }) => partOf != null, formOfOneof)
  return {
    names,
    longs: typeof long === 'number' ? 'number' : typeof long === 'object' && long !== null ? long.constructor as unknown as LongClass : 'string',
    enums: typeof enumValue === 'string' ? 'name' : 'number',
    bytes: typeof bytes === 'string' ? 'base64' : Array.isArray(bytes) ? 'array' : 'buffer',
    defaults: areSet(field => !field.repeated && !field.map && field.partOf == null),
    arrays: areSet(field => field.repeated),
    objects: areSet(field => field.map),
    oneofs
  }
}

/** Whether the form of its oneof's name can be told from other forms. */
function isInTellingOneof ({ partOf }: protobuf.Field): boolean {
  return partOf != null && ONEOF_NAMES.snake(partOf.name) !== ONEOF_NAMES.camel(partOf.name)
}

function camel (field: protobuf.Field): string {
  return protobuf.util.camelCase(field.protoName)
}

function isSingleLong ({ type, resolvedType }: protobuf.Field): boolean {
  return resolvedType === null && isLong(scalarKind(type))
}

/** A field of a message whose names are not known yet. */
function valueOf (message: unknown, field: protobuf.Field): object | null | undefined {
  const seen = (message ?? {}) as Record<string, object | null>
  const property = [camel(field), field.protoName, field.name].find(name => name in seen)
  return property === undefined ? undefined : seen[property]
}

function isPlainObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}
