import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { loadSync } from '@grpc/proto-loader'
import type { ServiceDefinition } from '@grpc/grpc-js'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import t from 'tap'
import { loadProto, type MessageOptions } from '../src/index.ts'
import { camelCase } from '../src/schema/definition.ts'
import { loadedService } from '../src/schema/load.ts'
import { messageArbitrary, type PlainMessage } from './message-arbitrary.ts'

const EVERY_KIND = fileURLToPath(new URL('fixtures/every-kind.proto', import.meta.url))
const PROTO2 = fileURLToPath(new URL('fixtures/every-kind-proto2.proto', import.meta.url))

const messageOptions: fc.Arbitrary<MessageOptions> = fc.record({
  keepCase: fc.boolean(),
  longs: fc.constantFrom(undefined, String, Number),
  enums: fc.constantFrom(undefined, String),
  bytes: fc.constantFrom(undefined, Array, String),
  defaults: fc.boolean(),
  arrays: fc.boolean(),
  objects: fc.boolean(),
  oneofs: fc.boolean(),
  json: fc.boolean()
})

for (const [file, service] of [[EVERY_KIND, 'test.every_kind.EveryKindService'], [PROTO2, 'test.every_kind_proto2.Proto2Service']] as const) {
  t.test(`diff ${file.split('/').pop()}`, async () => {
    const type = loadedService((loadProto(file))[service]!)!.methods[0]!.requestType
    const messages = fc.array(messageArbitrary(type, { unknownEnumNumbers: file === EVERY_KIND }), { minLength: 5, maxLength: 5 })
    fc.assert(fc.property(messageOptions, messages, (options, messages) => {
      const ours = loadProto(file, options)[service]!.Echo!
      const theirs = (loadSync(file, options) as any)[service]!.Echo! as ServiceDefinition['Echo']
      const type = loadedService(loadProto(file, options)[service]!)!.methods[0]!.requestType
      for (const message of messages) {
        const bytes = loadProto(file)[service]!.Echo!.requestSerialize(message)
        const expected = corrected(type, theirs!.requestDeserialize(bytes) as PlainMessage, options)
        assert.deepEqual(ordered(ours.requestDeserialize(bytes)), ordered(expected))
      }
    }), { numRuns: 60 })
  })
}

t.test('camelCase', async () => {
  const lodash = createRequire(createRequire(import.meta.url).resolve('@grpc/proto-loader'))('lodash.camelcase')
  fc.assert(fc.property(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]*$/), name => assert.equal(camelCase(name), lodash(name))), { numRuns: 10000 })
})

function corrected (type: protobuf.Type, message: PlainMessage, options: MessageOptions): PlainMessage {
  const nested = (field: protobuf.Field, value: unknown) => field.resolvedType instanceof protobuf.Type && value !== null ? corrected(field.resolvedType, value as PlainMessage, options) : value
  const anyType = typeof message['@type'] === 'string' ? type.root.lookupType(message['@type'].split('/')[1]!) : type
  for (const field of anyType.fieldsArray) {
    const value = message[field.name]
    if (value === undefined) continue
    if (field instanceof protobuf.MapField) {
      const long = /64$/.test(field.keyType)
      message[field.name] = Object.fromEntries(Object.entries(value as object).map(([key, v]) => [long ? (protobuf.util as any).longFromHash(key, /^(u|f)/.test(field.keyType)).toString() : key, nested(field, v)]))
    } else if (field.repeated) {
      message[field.name] = (value as unknown[]).map(v => nested(field, v))
    } else if (value === null && typeof field.typeDefault === 'number') {
      message[field.name] = options.json === true ? String(field.typeDefault) : field.typeDefault
    } else if (value === 'bytes!!') {
      message[field.name] = Buffer.from(value).toString('base64')
    } else {
      message[field.name] = nested(field, value)
    }
  }
  return message
}

function ordered (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.entries(value).map(([k, v]) => [k, ordered(v)])
}
