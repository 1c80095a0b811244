/**
 * The messages of descriptor.proto, by their proto names.
 *
 * @see https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto
 */

/** A message as a plain object: fields by their proto names, extensions by their full names in brackets. */
export type MessageValue = Record<string, unknown>

export interface FileDescriptorProto {
  name: string
  package?: string
  dependency: string[]
  public_dependency: number[]
  weak_dependency: number[]
  option_dependency: string[]
  message_type: DescriptorProto[]
  enum_type: EnumDescriptorProto[]
  service: ServiceDescriptorProto[]
  extension: FieldDescriptorProto[]
  options?: MessageValue
  source_code_info?: { location: Location[] }
  syntax?: string
  edition?: number
}

export interface DescriptorProto {
  name: string
  field: FieldDescriptorProto[]
  extension: FieldDescriptorProto[]
  nested_type: DescriptorProto[]
  enum_type: EnumDescriptorProto[]
  extension_range: ExtensionRange[]
  oneof_decl: OneofDescriptorProto[]
  options?: MessageValue
  /** Without their ends. */
  reserved_range: Range[]
  reserved_name: string[]
  visibility?: number
}

export interface Range {
  start: number
  end: number
}

export interface ExtensionRange extends Range {
  options?: MessageValue
}

export interface FieldDescriptorProto {
  name: string
  number: number
  label: number
  type?: number
  type_name?: string
  extendee?: string
  default_value?: string
  oneof_index?: number
  json_name: string
  options?: MessageValue
  proto3_optional?: boolean
}

export interface OneofDescriptorProto {
  name: string
  options?: MessageValue
}

export interface EnumDescriptorProto {
  name: string
  value: EnumValueDescriptorProto[]
  options?: MessageValue
  /** With their ends. */
  reserved_range: Range[]
  reserved_name: string[]
  visibility?: number
}

export interface EnumValueDescriptorProto {
  name: string
  number: number
  options?: MessageValue
}

export interface ServiceDescriptorProto {
  name: string
  method: MethodDescriptorProto[]
  options?: MessageValue
}

export interface MethodDescriptorProto {
  name: string
  input_type: string
  output_type: string
  options?: MessageValue
  client_streaming?: boolean
  server_streaming?: boolean
}

/** Of `SourceCodeInfo`. */
export interface Location {
  path: readonly number[]
  span: readonly number[]
  leading_comments?: string
  trailing_comments?: string
  leading_detached_comments: readonly string[]
}

export const LABEL = { optional: 1, required: 2, repeated: 3 } as const

export const TYPE = {
  double: 1,
  float: 2,
  int64: 3,
  uint64: 4,
  int32: 5,
  fixed64: 6,
  fixed32: 7,
  bool: 8,
  string: 9,
  group: 10,
  message: 11,
  bytes: 12,
  uint32: 13,
  enum: 14,
  sfixed32: 15,
  sfixed64: 16,
  sint32: 17,
  sint64: 18
} as const

/** Field numbers of descriptor.proto, of which the paths of `SourceCodeInfo.Location` are made. */
export const PATH = {
  file: { message_type: 4, enum_type: 5, service: 6, extension: 7, syntax: 12, package: 2 },
  message: { field: 2, nested_type: 3, enum_type: 4, extension: 6, oneof_decl: 8 },
  enum: { value: 2 },
  service: { method: 2 }
} as const

export function newMessage (name: string): DescriptorProto {
  return { name, field: [], extension: [], nested_type: [], enum_type: [], extension_range: [], oneof_decl: [], reserved_range: [], reserved_name: [] }
}
