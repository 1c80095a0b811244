/** Which types have a JSON of their own. */
import type protobuf from 'protobufjs'

const NAMES: ReadonlySet<string> = new Set([
  'Any', 'Timestamp', 'Duration', 'FieldMask', 'Struct', 'Value', 'ListValue',
  'BoolValue', 'BytesValue', 'DoubleValue', 'FloatValue', 'Int32Value', 'Int64Value', 'StringValue', 'UInt32Value', 'UInt64Value'
].map(name => `.google.protobuf.${name}`))

/** Whether the JSON of the type is anything but an object of its fields. */
export function hasOwnJson (type: protobuf.Type): boolean {
  return NAMES.has(type.fullName)
}
