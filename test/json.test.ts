/** ProtoJSON readers and writers. */
import { deepStrictEqual } from 'node:assert/strict'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import fc from 'fast-check'
import t from 'tap'
import { fileURLToPath } from 'node:url'
import { loadProto, type LoadOptions } from '../src/index.ts'
import { compileReader, compileWriter } from '../src/json/codec.ts'
import { plainReader, plainWriter } from '../src/json/plain.ts'
import { loadedService } from '../src/schema/load.ts'

const proto = fileURLToPath(new URL('fixtures/plain.proto', import.meta.url))
const NAME = 'test.plain.PlainService'
const type = loadedService(loadProto(proto)[NAME]!)!.methods[0]!.requestType

/** JSON that is nearly right: names of fields in every form, values of every kind, members twice. */
const name = fc.constantFrom('text', 'flag', 'ratio', 'count', 'size', 'delta', 'code', 'offsetValue', 'offset_value', 'givenName', 'given_name', 'firstName', 'nope', '__proto__')
const value = fc.oneof(
  fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)), fc.constantFrom('"a:b"', '"\\ud800"', '""', '"7"', 'true', 'false', 'null', '0', '-0', '1', '-1', '1.5', '1e2', '2147483647', '2147483648', '4294967295', '-2147483648', '1e400', '[]', '{}', '"NaN"'),
  fc.integer().map(String), fc.double().filter(Number.isFinite).map(String)
)
const text = fc.array(fc.tuple(name, value), { maxLength: 4 }).map(members => `{${members.map(([name, value]) => `"${name}":${value}`).join(',')}}`)

interface Codec { requestDeserialize: (bytes: Buffer) => unknown, responseSerialize: (message: never) => Buffer }

const shapes: LoadOptions[] = [{}, { defaults: false }, { keepCase: true }, { keepCase: true, defaults: false, oneofs: false }]

for (const options of shapes) {
  for (const [loader, definition] of Object.entries({ loadProto: loadProto(proto, options)[NAME]!, 'proto-loader': loadSync(proto, options as object)[NAME] as ServiceDefinition })) {
    const { requestDeserialize, responseSerialize } = definition.Echo as MethodDefinition<unknown, unknown> as Codec

    t.test(`plain messages are read and written as by bytes: ${loader} with ${JSON.stringify(options)}`, async t => {
      t.ok(plainReader(type, requestDeserialize), 'the short way is taken')
      const writes = plainWriter(type, responseSerialize)
      t.ok(writes)
      const short = compileReader(type, requestDeserialize)
      // A codec whose objects have a prototype of their own is no plain one.
      const long = compileReader(type, bytes => Object.assign(Object.create({}), requestDeserialize(bytes)))
      const outcome = (read: () => unknown): unknown => {
        try {
          return { ...read() as object }
        } catch (error) {
          return (error as Error).message
        }
      }
      let taken = 0
      fc.assert(fc.property(text, text => {
        const expected = outcome(() => long.fromText(text))
        deepStrictEqual(outcome(() => short.fromText(text)), expected)
        if (typeof expected !== 'object' || expected === null) return
        if (writes!(expected as Record<string, unknown>) !== undefined) taken++
        const longWriter = compileWriter(type, ((message: object) => responseSerialize({ ...message } as never)) as never)
        deepStrictEqual(compileWriter(type, responseSerialize)(expected), longWriter(expected))
        deepStrictEqual(JSON.parse(compileWriter(type, responseSerialize)(expected)), JSON.parse(slowJson(responseSerialize, expected)))
      }), { numRuns: 3000 })
      if (loader === 'loadProto' && options.defaults !== false) t.ok(taken > 0, `the short way was taken ${taken} times`)
    })
  }
}

/** By a writer that is told of one more property, which makes it no plain one. */
function slowJson (serialize: Codec['responseSerialize'], message: object): string {
  const opaque = (given: Record<string, unknown>): Buffer => {
    if (given.opaque === undefined) throw new Error('not to be probed')
    return serialize(given as never)
  }
  return compileWriter(type, opaque as never)({ ...message, opaque: true })
}
