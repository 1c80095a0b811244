/** grpc-js service definitions, as @grpc/proto-loader makes them. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { mergeOptions, type Options } from './service.ts'

/** How messages look to handlers. The names and meanings are those of @grpc/proto-loader. */
export interface MessageOptions {
  /** Keep field names as in the .proto file; else they are lowerCamelCase. Default false. */
  keepCase?: boolean | undefined
  /** How 64-bit integers look: `String`, `Number`, or `Long` objects when undefined. Default `String`. */
  longs?: typeof String | typeof Number | undefined
  /** How enum values look: `String` for names, or numbers when undefined. Default `String`. */
  enums?: typeof String | undefined
  /** How bytes look: `Array`, `String` for base64, or Buffers when undefined. Default undefined. */
  bytes?: typeof Array | typeof String | undefined
  /** Set unset fields to their default values. Default true. */
  defaults?: boolean | undefined
  /** Set unset repeated fields to `[]` even without `defaults`. Default false. */
  arrays?: boolean | undefined
  /** Set unset map fields to `{}` even without `defaults`. Default false. */
  objects?: boolean | undefined
  /** Set a property with each oneof's name to the name of the field that is set. Default true. */
  oneofs?: boolean | undefined
  /** `NaN` and `Infinity` as strings, `google.protobuf.Any` unpacked where its type is known. Default false. */
  json?: boolean | undefined
}

export const defaultMessageOptions: MessageOptions = { longs: String, enums: String, defaults: true, oneofs: true }

/** A method of a definition, for typed implementations: `{ SayHello: UnaryMethod<HelloRequest, HelloReply> }`. */
export type UnaryMethod<Request, Response> = MethodDefinition<Request, Response> & { requestStream: false, responseStream: false }
export type ServerStreamingMethod<Request, Response> = MethodDefinition<Request, Response> & { requestStream: false, responseStream: true }
export type ClientStreamingMethod<Request, Response> = MethodDefinition<Request, Response> & { requestStream: true, responseStream: false }
export type BidiStreamingMethod<Request, Response> = MethodDefinition<Request, Response> & { requestStream: true, responseStream: true }

/** What @grpc/proto-loader adds to a method of a grpc-js definition. */
export interface LoadedMethodDefinition extends MethodDefinition<object, object> {
  readonly originalName: string
  readonly options: Options
}

export function definitionFrom (reflection: protobuf.Service, options: MessageOptions): ServiceDefinition {
  const definition: Record<string, LoadedMethodDefinition> = {}
  for (const method of reflection.methodsArray) definition[method.name] = methodDefinition(method, options)
  return definition
}

function methodDefinition (method: protobuf.Method, options: MessageOptions): LoadedMethodDefinition {
  const requestType = method.resolvedRequestType!
  const responseType = method.resolvedResponseType!
  compile(requestType)
  compile(responseType)
  return {
    path: `/${method.parent!.fullName.slice(1)}/${method.name}`,
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    requestSerialize: serializer(requestType),
    requestDeserialize: deserializer(requestType, options),
    responseSerialize: serializer(responseType),
    responseDeserialize: deserializer(responseType, options),
    originalName: camelCase(method.name),
    options: { deprecated: false, idempotency_level: 'IDEMPOTENCY_UNKNOWN', ...mergeOptions(method.parsedOptions) }
  }
}

const compiled = new WeakSet<protobuf.Type>()

/**
 * Compiles the codecs of a type and of all types in it. For a proto3 `optional` field, the protobufjs 7 below
 * @grpc/proto-loader sets the oneof that the field implies, `_nickname: 'nickname'`, as it does any other oneof.
 * protobufjs 8 does not, unless it takes that oneof for one that the file declares.
 */
function compile (type: protobuf.Type): void {
  if (compiled.has(type)) return
  compiled.add(type)
  for (const oneof of type.oneofsArray) Object.defineProperty(oneof, 'isProto3Optional', { value: false, configurable: true })
  type.setup()
  for (const oneof of type.oneofsArray) Reflect.deleteProperty(oneof, 'isProto3Optional')
  for (const { resolvedType } of type.fieldsArray) {
    if (resolvedType instanceof protobuf.Type) compile(resolvedType)
  }
}

/** The functions that are made here. */
const made = new WeakSet<object>()

export function deserializer (type: protobuf.Type, options: MessageOptions): (bytes: Buffer) => object {
  const conversion = options as protobuf.IConversionOptions
  const deserialize = (bytes: Buffer): object => type.toObject(type.decode(bytes), conversion)
  made.add(deserialize)
  return deserialize
}

export function serializer (type: protobuf.Type): (message: object) => Buffer {
  const serialize = (message: object): Buffer => {
    if (Array.isArray(message)) throw new TypeError(`Expected an object for ${type.fullName.slice(1)}, got an array`)
    return type.encode(type.fromObject(message)).finish() as Buffer
  }
  made.add(serialize)
  return serialize
}

const PROTO_LOADER_SOURCE = /^function (?:deserialize\(argBuf\) \{\s*return cls\.toObject\(cls\.decode\(argBuf\), options\);|serialize\(arg\) \{[^]*cls\.fromObject\(arg\);\s*return cls\.encode\(message\)\.finish\(\);)\s*\}$/

/** What made a function of a codec, where it is known to do nothing but protobufjs' conversion to or from objects. */
export function makerOf (codecFunction: (value: never) => unknown): 'loadProto' | 'proto-loader' | undefined {
  if (made.has(codecFunction)) return 'loadProto'
  return PROTO_LOADER_SOURCE.test(String(codecFunction)) ? 'proto-loader' : undefined
}

/** The second name by which grpc-js finds the handler of a method: `getURLOf` becomes `getUrlOf`, as lodash does it. */
export function camelCase (name: string): string {
  const words = name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+/g) ?? []
  return words.map((word, i) => i === 0 ? word.toLowerCase() : word[0]!.toUpperCase() + word.slice(1).toLowerCase()).join('')
}
