/** Requests and replies in the JSON of Seldon's REST API: without `@type`, every member always there, null for none. */
import type { JsonForm } from '../../call/registration.ts'
import { badRequest } from '../../errors.ts'
import { membersOf } from './members.ts'
import type { PayloadTypes } from './payload-types.ts'
import { JSON_TYPE_URL } from './payload.ts'
import type { ClassificationReply, ClassificationRequest } from './schema.ts'

export function seldonJson (types: PayloadTypes): JsonForm {
  return { read: requestOf, write: reply => replyJson(reply as ClassificationReply, types) }
}

/** Of data, the text is kept: its type is known when the client is. */
function requestOf (text: string): ClassificationRequest {
  const { meta = 'null', data = 'null' } = knownMembers(text.trim() === '' ? '{}' : text, ['meta', 'data'], '')
  return {
    meta: meta === 'null' ? null : { puid: puidOf(knownMembers(meta, ['puid'], 'meta.').puid ?? '""') },
    data: data === 'null' ? null : { type_url: JSON_TYPE_URL, value: Buffer.from(data) }
  }
}

/** @throws GrpcError INVALID_ARGUMENT for a member that is none of those */
function knownMembers (text: string, names: readonly string[], path: string): Record<string, string> {
  const members = membersOf(text)
  const unknown = [...members.keys()].filter(name => !names.includes(name))
  if (unknown.length > 0) throw badRequest(unknown.map(name => ({ field: path + name, description: 'there is no such field' })))
  return Object.fromEntries(members)
}

/** Clients send numbers for it, too. */
function puidOf (text: string): string {
  if (text === 'null') return ''
  if (text.startsWith('"')) return JSON.parse(text) as string
  if (/^[-\d]/.test(text)) return text
  throw badRequest([{ field: 'meta.puid', description: 'expected a string' }])
}

export function replyJson ({ meta, predictions = [], custom }: ClassificationReply, types: PayloadTypes): string {
  const { puid = '', modelName = '', variation = '' } = meta ?? {}
  const listed = predictions.map(({ prediction, predictedClass, confidence }) => ({ prediction: number(prediction), predictedClass, confidence: number(confidence) }))
  return `{"meta":${JSON.stringify({ puid, modelName, variation })},"predictions":${JSON.stringify(listed)},"custom":${types.jsonOf(custom)}}`
}

/** JSON has no NaN and no infinity; ProtoJSON writes them as text. */
function number (value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}
