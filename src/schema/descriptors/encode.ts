/** Messages in the binary format, by the descriptors of their types. */
import protobuf from 'protobufjs'
import { LABEL, TYPE, type DescriptorProto, type FieldDescriptorProto, type FileDescriptorProto, type MessageValue } from './descriptor.ts'
import type { SymbolTable } from './symbols.ts'

/** Numbers of `FeatureSet.MessageEncoding` */
const DELIMITED = 2

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const START_GROUP = 3
const END_GROUP = 4
const FIXED32 = 5

/** For each scalar type, its wire type and how it is written. Whole numbers of 64 bits are strings or bigints. */
const SCALARS: Readonly<Record<number, [wireType: number, write: (writer: protobuf.Writer, value: never) => void]>> = {
  [TYPE.double]: [FIXED64, (writer, value) => writer.double(value)],
  [TYPE.float]: [FIXED32, (writer, value) => writer.float(value)],
  [TYPE.int64]: [VARINT, (writer, value) => writer.int64(String(value))],
  [TYPE.uint64]: [VARINT, (writer, value) => writer.uint64(String(value))],
  [TYPE.int32]: [VARINT, (writer, value) => writer.int32(value)],
  [TYPE.fixed64]: [FIXED64, (writer, value) => writer.fixed64(String(value))],
  [TYPE.fixed32]: [FIXED32, (writer, value) => writer.fixed32(value)],
  [TYPE.bool]: [VARINT, (writer, value) => writer.bool(value)],
  [TYPE.string]: [LENGTH, (writer, value) => writer.string(value)],
  [TYPE.bytes]: [LENGTH, (writer, value) => writer.bytes(value)],
  [TYPE.uint32]: [VARINT, (writer, value) => writer.uint32(value)],
  [TYPE.enum]: [VARINT, (writer, value) => writer.int32(value)],
  [TYPE.sfixed32]: [FIXED32, (writer, value) => writer.sfixed32(value)],
  [TYPE.sfixed64]: [FIXED64, (writer, value) => writer.sfixed64(String(value))],
  [TYPE.sint32]: [VARINT, (writer, value) => writer.sint32(value)],
  [TYPE.sint64]: [VARINT, (writer, value) => writer.sint64(String(value))]
}

/** @param type the full name of the message's type */
export function encode (symbols: SymbolTable, type: string, value: MessageValue): Uint8Array {
  const writer = protobuf.Writer.create()
  const { descriptor, file } = symbols.definition(type, 'message')
  writeMessage(writer, symbols, descriptor, file, value)
  return writer.finish()
}

function writeMessage (writer: protobuf.Writer, symbols: SymbolTable, type: DescriptorProto, file: FileDescriptorProto, message: MessageValue): void {
  for (const [key, value] of Object.entries(message)) {
    if (value === undefined) continue
    const field = symbols.field(type, key)!
    const home = key.startsWith('[') ? symbols.definition(key.slice(1, -1), 'extension').file : file
    const values = field.label === LABEL.repeated ? value as unknown[] : [value]
    for (const each of values) writeField(writer, symbols, field, home, each)
  }
}

function writeField (writer: protobuf.Writer, symbols: SymbolTable, field: FieldDescriptorProto, file: FileDescriptorProto, value: unknown): void {
  const scalar = SCALARS[field.type!]
  if (scalar !== undefined) {
    const [wireType, write] = scalar
    writer.uint32(tag(field, wireType))
    write(writer, value as never)
    return
  }
  const { descriptor, file: home } = symbols.definition(field.type_name!, 'message')
  if (isDelimited(field, file)) {
    writer.uint32(tag(field, START_GROUP))
    writeMessage(writer, symbols, descriptor, home, value as MessageValue)
    writer.uint32(tag(field, END_GROUP))
  } else {
    writer.uint32(tag(field, LENGTH)).fork()
    writeMessage(writer, symbols, descriptor, home, value as MessageValue)
    writer.ldelim()
  }
}

function tag ({ number }: FieldDescriptorProto, wireType: number): number {
  return (number << 3 | wireType) >>> 0
}

function isDelimited ({ type, options }: FieldDescriptorProto, file: FileDescriptorProto): boolean {
  const [ofField, ofFile] = [options, file.options].map(options => (options?.features as MessageValue | undefined)?.message_encoding)
  return type === TYPE.group || (ofField ?? ofFile) === DELIMITED
}
