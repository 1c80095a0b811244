/** Options that cannot work are refused at construction, by name. */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import t from 'tap'
import { GrpcGateway, implement, loadProto, type GatewayOptions } from '../src/index.ts'
import { Greeter, grpcClient, Kinds } from './serving.ts'

const service = implement(Greeter, {})

t.test('each option says what it must be', async t => {
  const wrong: Array<[option: string, value: unknown, message?: RegExp]> = [
    ['services', undefined], ['services', []], ['services', service], ['path', 7], ['path', ''], ['host', 7], ['port', '50051'], ['port', 65536], ['port', -1],
    ['exposeHttp', 'no'], ['reflection', 'yes'], ['httpMethods', 'GET'], ['httpMethods', ['get']], ['httpMethods', ['OPTIONS']], ['isSecure', 1], ['serverCredentials', {}], ['tls', 'key'],
    ['interceptors', {}], ['interceptors', [{}]], ['channelOptions', 7], ['protos', 7], ['includeDirs', 'protos'], ['json', { unknownFields: 'drop' }, /unknownFields.*reject, ignore/],
    ['json', { fields: 1 }, /no member `fields`/], ['json', null], ['json', { fieldNames: 'camel' }, /fieldNames.*json, proto/], ['json', { emitDefaults: 1 }], ['json', { int64: 'bigint' }, /string, number/], ['json', { enums: 'value' }],
    ['json', { space: 11 }, /0 to 10/], ['json', { space: '--' }, /white space/], ['json', { nestingLimit: 0 }, /1 to 500/], ['json', { nestingLimit: 501 }], ['types', 7], ['methods', { 'test.Greeter.SayHello': { json: { space: -1 } } }, /space.*test\.Greeter\.SayHello/], ['errors', { format: 'xml' }, /format/], ['errors', { expose: true }], ['errors', { httpStatus: 7 }], ['headers', { incoming: [] }], ['timeout', 5],
    ['streams', { envelope: 'yes' }, /envelope.*true, false/], ['streams', { heartbeatMs: -1 }, /heartbeatMs.*milliseconds/], ['streams', { idleMs: '1s' }], ['streams', { idleMs: 2 ** 31 }, /idleMs/], ['streams', { pingMs: 1 }, /no member `pingMs`/],
    ['timeout', { max: '5s' }], ['limits', { messageBytes: NaN }], ['limits', { messageBytes: -1 }], ['limits', { messageBytes: 1.5 }], ['timeout', { max: -1 }], ['methods', null], ['logger', null], ['path', '/a/:b'], ['path', '/a?b'], ['methods', { 'test.Greeter.Nope': {} }, /test\.Greeter\.Nope.*test\.Greeter\.SayHello/],
    ['methods', { 'test.Greeter.SayHello': { timeout: { max: 'x' } } }, /test\.Greeter\.SayHello/], ['methods', { 'test.Greeter.SayHello': { retries: 1 } }, /retries/], ['logger', console], ['retries', 3, /does not exist/]
  ]
  for (const [option, value, message = /./] of wrong) {
    const options = { services: [service], [option]: value } as unknown as GatewayOptions
    t.throws(() => new GrpcGateway(options), { code: 'FGG_ERR_OPTION', message: new RegExp(`\`${option}\``) }, `${option}: ${JSON.stringify(value)}`)
    t.throws(() => new GrpcGateway(options), { message })
  }
  t.throws(() => new GrpcGateway(undefined as never), { code: 'FGG_ERR_OPTION' })
})

t.test('each service says what it must be', async t => {
  class AsyncHook {
    static async addToServer (): Promise<void> {}
  }
  class EmptyHook {
    static addToServer (): void {}
  }
  class BadDefinition {
    static addToServer (instance: object, server: { implement (definition: object, instance: object): void }): void {
      server.implement({}, instance)
    }
  }
  const wrong: Array<[unknown, RegExp]> = [
    [AsyncHook, /AsyncHook.*must not be async/], [EmptyHook, /EmptyHook.*registered nothing/], [{}, /Object must have a static addToServer/],
    [BadDefinition, /no methods/]
  ]
  t.throws(() => implement({ A: { path: 'A' } } as never, {}), { code: 'FGG_ERR_SERVICE', message: /method path A/ })
  for (const [source, message] of wrong) {
    t.throws(() => new GrpcGateway({ services: [source as object] }), { code: 'FGG_ERR_SERVICE', message }, String(message))
  }
})

t.test('a definition without descriptors says how to give them', async t => {
  const { SayHello } = Greeter
  const bare = { SayHello: { ...SayHello } }
  t.throws(() => new GrpcGateway({ services: [implement(bare, {})] }), { code: 'FGG_ERR_NO_SCHEMA', message: /test\.Greeter.*`protos`/ })
  t.doesNotThrow(() => new GrpcGateway({ services: [implement(bare, {})], protos: new URL('fixtures/test.proto', import.meta.url) }))
  t.throws(() => new GrpcGateway({ services: [implement(bare, {})], protos: 'no-such.proto' }), { code: 'FGG_ERR_PROTO_NOT_FOUND', message: /no-such\.proto/ })
})

t.test('a definition and descriptors that differ are refused', async t => {
  const extended = { ...Greeter, SayMore: { ...Greeter.SayHello, path: '/test.Greeter/SayMore' } }
  t.throws(() => new GrpcGateway({ services: [implement(extended, {})], protos: new URL('fixtures/test.proto', import.meta.url) }), { code: 'FGG_ERR_SERVICE', message: /SayMore/ })
})

t.test('methods that every object inherits are no implementation', async t => {
  const definition = { toString: { ...Kinds.Unary, path: '/test.Kinds/Unary', originalName: 'toString' } }
  const gateway = new GrpcGateway({ services: [implement(definition as never, {})], protos: new URL('fixtures/test.proto', import.meta.url) })
  t.same(gateway.routes().map(({ implemented }) => implemented), [false, false])
})

t.test('definitions of loadProto work on a bare grpc-js server', async t => {
  const server = new Server()
  const definition = loadProto(new URL('fixtures/test.proto', import.meta.url))
  server.addService(definition.Greeter!, { SayHello: (call: { request: { name: string } }, callback: (error: null, reply: object) => void) => callback(null, { message: call.request.name }) })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => error === null ? resolve(bound) : reject(error))
  })
  const client = grpcClient(Greeter, `127.0.0.1:${port}`)
  t.match(await client.call('SayHello', { name: 'a' }), { messages: [{ message: 'a' }] })
  client.raw.close()
  server.forceShutdown()
})
