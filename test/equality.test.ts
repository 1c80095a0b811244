/**
 * A call over HTTP and the same call over gRPC give the handler the same object, and the client the same answer.
 * The JSON of requests, and what the gRPC answer would be as JSON, come from another implementation of protobuf.
 */
import { deepStrictEqual } from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createFileRegistry, fromBinary, fromJson, toBinary, toJson, type JsonValue } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import type { Client, MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import fc from 'fast-check'
import t from 'tap'
import { implement, loadProto, type LoadOptions } from '../src/index.ts'
import { loadedService } from '../src/schema/load.ts'
import { messageArbitrary } from './message-arbitrary.ts'
import { grpcClient, serve } from './serving.ts'

const proto = fileURLToPath(new URL('fixtures/every-kind.proto', import.meta.url))
const SERVICE = 'test.every_kind.EveryKindService'

/** The schema of the message as @bufbuild/protobuf has it. */
function oracleSchema () {
  const folder = mkdtempSync(join(tmpdir(), 'equality-test-'))
  copyFileSync(proto, join(folder, 'every-kind.proto'))
  execFileSync(fileURLToPath(new URL('../node_modules/.bin/buf', import.meta.url)), ['build', folder, '-o', join(folder, 'set.binpb')])
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(join(folder, 'set.binpb'))))
  return { schema: registry.getMessage('test.every_kind.EveryKind')!, registry }
}

const { schema, registry } = oracleSchema()
const oracleJson = (bytes: Uint8Array): JsonValue => toJson(schema, fromBinary(schema, bytes), { registry })
/** The same JSON as the oracle writes it: a float with all the digits of the double that holds it. */
const asOracle = (json: JsonValue): JsonValue => oracleJson(toBinary(schema, fromJson(schema, json, { registry })))

const requestType = loadedService(loadProto(proto)[SERVICE]!)!.methods[0]!.requestType
// JSON.stringify writes -0 as 0.
const messages = messageArbitrary(requestType, { depth: 3, unknownEnumNumbers: true })
  .map(message => requestType.encode(requestType.fromObject(message)).finish())
  .filter(bytes => !holdsNegativeZero(oracleJson(bytes)))

function holdsNegativeZero (value: unknown): boolean {
  if (typeof value === 'number') return Object.is(value, -0)
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsNegativeZero)
}

const shapes: LoadOptions[] = [
  {},
  { keepCase: true, longs: undefined, enums: undefined, defaults: false, oneofs: false },
  { longs: Number, bytes: String, arrays: true, objects: true, defaults: false },
  { bytes: Array, json: true }
]

for (const options of shapes) {
  for (const [loader, definition] of Object.entries({
    loadProto: loadProto(proto, options)[SERVICE]!,
    'proto-loader': loadSync(proto, options as object)[SERVICE] as ServiceDefinition
  })) {
    t.test(`definitions of ${loader} with ${JSON.stringify(options, (_key, value) => typeof value === 'function' ? value.name : value)}`, async t => {
      const seen: unknown[] = []
      const echo = implement(definition as never, { Echo: (request: object) => { seen.push(request); return request } } as never)
      const { post, gateway } = await serve(t, { services: [echo], protos: proto })
      const client = bytesClient(definition, gateway.address)
      t.teardown(() => client.raw.close())

      await fc.assert(fc.asyncProperty(messages, async bytes => {
        seen.length = 0
        const overGrpc = await client.echo(bytes)
        const overHttp = await post(`/grpc/${SERVICE}/Echo`, oracleJson(bytes))
        deepStrictEqual(seen[1], seen[0])
        // Some shapes cannot be sent back: 64-bit integers as numbers may leave their range.
        if (overGrpc.code === 0) deepStrictEqual([overHttp.status, asOracle(overHttp.json)], [200, oracleJson(overGrpc.reply!)])
        else deepStrictEqual(overHttp.json.code, overGrpc.code)
      }), { numRuns: 60 })
      t.pass('60 messages')
    })
  }
}

/** A client that sends and gets bytes. */
function bytesClient (definition: ServiceDefinition, address: string): { raw: Client, echo (bytes: Uint8Array): Promise<{ code: number, details: string, reply: Buffer | undefined }> } {
  const asIs = (bytes: Buffer): Buffer => bytes
  const { path } = definition.Echo as MethodDefinition<unknown, unknown>
  const echo = { path, requestStream: false, responseStream: false, requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs }
  const client = grpcClient({ echo }, address)
  return {
    raw: client.raw,
    async echo (bytes) {
      const { messages, code, details } = await client.call('echo', Buffer.from(bytes))
      return { code, details, reply: messages[0] as Buffer | undefined }
    }
  }
}
