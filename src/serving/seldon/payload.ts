/** What is packed in the data of a request and in the `custom` of a reply. */
import { badRequest, GrpcError, type FieldViolation } from '../../errors.ts'
import { typeNameOf } from '../../json/type-registry.ts'
import { cut } from '../../json/value.ts'
import { status } from '../../status.ts'
import { membersOf } from './members.ts'
import type { PayloadType } from './payload-types.ts'
import type { PackedMessage } from './schema.ts'

/** The type URL of data that is JSON text, for a message of the type that is registered for the client. */
export const JSON_TYPE_URL = 'application/json'

const TYPE_URL_PREFIX = 'type.googleapis.com/'
/** Of a type that a client thinks of, in characters. */
const LONGEST_NAME = 200

/** @throws GrpcError INVALID_ARGUMENT, naming the expected type and what came */
export function unpack (data: PackedMessage, type: PayloadType): object {
  if (data.type_url === JSON_TYPE_URL) return unpackJson(Buffer.from(data.value).toString(), type)
  const name = typeNameOf(data.type_url)
  if (name !== type.name) throw invalidData(type, name === '' ? 'no type' : name)
  try {
    return type.fromBytes(data.value)
  } catch {
    throw invalidData(type, 'bytes that are none')
  }
}

export function pack (message: object, type: PayloadType): PackedMessage {
  return { type_url: TYPE_URL_PREFIX + type.name, value: type.toBytes(message) }
}

/** @param got what came in place of the type */
export function invalidData (type: PayloadType, got: string): GrpcError {
  return new GrpcError(status.INVALID_ARGUMENT, 'Invalid data', {
    errorDetails: [{ '@type': 'google.rpc.BadRequest', fieldViolations: [{ field: 'data', description: `expected ${type.name}, got ${cut(got, LONGEST_NAME)}` }] }]
  })
}

/** With `@type` or without. */
function unpackJson (text: string, type: PayloadType): object {
  const members = text.startsWith('{') ? withinData(() => membersOf(text)) : undefined
  const url = members?.get('@type')
  if (url !== undefined) {
    const name = typeNameOf(String(JSON.parse(url)))
    if (name !== type.name) throw invalidData(type, name)
    members!.delete('@type')
  }
  const own = url === undefined ? text : `{${[...members!].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`
  return withinData(() => type.fromJson(own))
}

/** Names the fields of violations as the client sees them. */
function withinData<T> (read: () => T): T {
  try {
    return read()
  } catch (error) {
    const violations = error instanceof GrpcError ? error.errorDetails[0]?.fieldViolations : undefined
    if (!Array.isArray(violations)) throw error
    throw badRequest(violations.map(({ field, description }: FieldViolation) => ({ field: field === '' || field.startsWith('[') ? `data${field}` : `data.${field}`, description })))
  }
}
