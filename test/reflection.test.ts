/** gRPC server reflection over real connections: what clients ask, and what they can do with the answers. */
import { fromBinary, fromJson, toBinary, toJson, type DescMethod } from '@bufbuild/protobuf'
import { Client, credentials, status as codes } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { implement, loadProto, type GatewayOptions } from '../src/index.ts'
import { ReflectionClient, reflectionDefinition } from './reflection-client.ts'
import { Greeter, serve } from './serving.ts'

const fixture = (name: string): string => new URL(`fixtures/${name}`, import.meta.url).pathname

const BUILT_IN = ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection']

const { Library } = loadProto(fixture('library/library.proto'))
const { Proto2Service } = loadProto(fixture('every-kind-proto2.proto'), { defaults: false })
const services = [implement(Greeter, { SayHello: ({ name }) => ({ message: `Hello, ${name}!` }) }), implement(Library!, {}), implement(Proto2Service!, { Echo: (message: object) => message })]

async function reflected (t: Test, options: Partial<GatewayOptions> = {}, version?: string): Promise<ReflectionClient> {
  const { gateway } = await serve(t, { services, reflection: true, ...options })
  return new ReflectionClient(t, gateway, version)
}

for (const version of ['v1', 'v1alpha']) {
  t.test(`reflection ${version}`, async t => {
    const client = await reflected(t, {}, version)

    t.test('lists the services, its own among them', async t => {
      t.strictSame(await client.services(), [...BUILT_IN, 'test.Greeter', 'test.every_kind_proto2.Proto2Service', 'test.library.v1.Library'])
    })

    t.test('sends the file of a name with what it imports', async t => {
      t.strictSame(await client.names({ fileByFilename: 'library.proto' }), [
        'library.proto', 'google/api/annotations.proto', 'google/api/client.proto', 'google/api/field_behavior.proto', 'google/protobuf/timestamp.proto',
        'google/rpc/status.proto', 'google/type/date.proto', 'options.proto', 'google/api/http.proto', 'google/protobuf/descriptor.proto', 'google/protobuf/any.proto'
      ])
    })

    t.test('repeats the request and its host', async t => {
      const request = { host: 'example.com', fileContainingExtension: { containingType: 'test.every_kind_proto2.Proto2', extensionNumber: 100 } }
      t.match(await client.ask(request), { validHost: 'example.com', originalRequest: request, messageResponse: 'fileDescriptorResponse' })
    })

    t.test('answers what there is not with an error, and goes on', async t => {
      const missing = [
        { fileByFilename: 'none.proto' }, { fileByFilename: '' }, { fileContainingSymbol: 'test.None' }, { fileContainingSymbol: 'test' },
        { fileContainingExtension: { containingType: 'test.every_kind_proto2.Proto2', extensionNumber: 101 } },
        { fileContainingExtension: { containingType: 'test.None', extensionNumber: 100 } }, { allExtensionNumbersOfType: 'test.None' }, { allExtensionNumbersOfType: 'test.Greeter' }
      ]
      for (const request of missing) {
        t.match(await client.ask(request), { originalRequest: request, messageResponse: 'errorResponse', errorResponse: { errorCode: codes.NOT_FOUND, errorMessage: /^No / } }, JSON.stringify(request))
      }
      t.match(await client.ask({}), { errorResponse: { errorCode: codes.INVALID_ARGUMENT, errorMessage: /./ } })
      t.ok((await client.services()).includes('test.Greeter'))
    })

    t.test('ends when the client does', async t => {
      t.equal(await client.end(), true)
    })
  })
}

t.test('a file is found by whatever it defines', async t => {
  const client = await reflected(t)
  const symbols: Record<string, string[]> = {
    'library.proto': [
      'test.library.v1.Library', 'test.library.v1.Library.GetBook', 'test.library.v1.Book', 'test.library.v1.Book.sub_title', 'test.library.v1.Book.Page', 'test.library.v1.Book.Page.number',
      'test.library.v1.Book.current_place', 'test.library.v1.Book.Binding', 'test.library.v1.Book.BINDING_PAPER', 'test.library.v1.Book.PageByMarkEntry', 'test.library.v1.Book.PageByMarkEntry.value'
    ],
    'options.proto': ['test.options.Owner', 'test.options.LOW', 'test.options.owner'],
    'every-kind-proto2.proto': ['test.every_kind_proto2.extra', 'test.every_kind_proto2.Proto2.OneGroup', 'test.every_kind_proto2.Proto2.onegroup'],
    'google/protobuf/descriptor.proto': ['google.protobuf.FieldOptions', 'google.protobuf.FieldDescriptorProto.TYPE_GROUP'],
    'google/api/annotations.proto': ['google.api.http'],
    'grpc/reflection/v1/reflection.proto': ['grpc.reflection.v1.ServerReflection.ServerReflectionInfo']
  }
  for (const [file, names] of Object.entries(symbols)) {
    for (const symbol of names) t.equal((await client.names({ fileContainingSymbol: symbol }))[0], file, symbol)
  }
})

t.test('a file is found by what it extends', async t => {
  const client = await reflected(t)
  const { allExtensionNumbersResponse } = await client.ask({ allExtensionNumbersOfType: 'google.protobuf.MethodOptions' })
  t.strictSame(allExtensionNumbersResponse, { baseTypeName: 'google.protobuf.MethodOptions', extensionNumber: [1051, 50002, 50003, 50004, 50005, 50007, 50008, 72295728] })
  t.match(await client.ask({ allExtensionNumbersOfType: 'test.library.v1.Book' }), { allExtensionNumbersResponse: { extensionNumber: [] } })
  for (const [extensionNumber, file] of [[72295728, 'google/api/annotations.proto'], [1051, 'google/api/client.proto'], [50002, 'options.proto']] as const) {
    t.equal((await client.names({ fileContainingExtension: { containingType: 'google.protobuf.MethodOptions', extensionNumber } }))[0], file)
  }
})

t.test('what a stream has brought already is not brought again, but for the file that is asked for', async t => {
  const client = await reflected(t)
  await client.names({ fileByFilename: 'library.proto' })
  t.strictSame(await client.names({ fileByFilename: 'google/rpc/status.proto' }), ['google/rpc/status.proto'])
  t.strictSame(await client.names({ fileContainingSymbol: 'test.library.v1.Book' }), ['library.proto'])
  t.strictSame(await client.names({ fileContainingSymbol: 'google.protobuf.Any' }), ['google/protobuf/any.proto'])
})

t.test('a client that knows nothing learns of the methods, and calls them', async t => {
  const { gateway } = await serve(t, { services, reflection: true })
  const client = new ReflectionClient(t, gateway)
  for (const name of await client.services()) await client.names({ fileContainingSymbol: name })
  const registry = client.registry()
  const raw = new Client(gateway.address, credentials.createInsecure())
  t.teardown(() => raw.close())
  const call = async (service: string, method: string, request: object): Promise<unknown> => {
    const { input, output } = registry.getService(service)!.methods.find(({ name }) => name === method) as DescMethod
    const bytes = Buffer.from(toBinary(input, fromJson(input, request as never, { registry })))
    const response = await new Promise<Buffer>((resolve, reject) => {
      raw.makeUnaryRequest(`/${service}/${method}`, (bytes: Buffer) => bytes, bytes => bytes, bytes, (error, value) => error === null ? resolve(value!) : reject(error))
    })
    return toJson(output, fromBinary(output, response), { registry })
  }
  t.strictSame(await call('test.Greeter', 'SayHello', { name: 'you' }), { message: 'Hello, you!' })
  const message = { requiredString: 'a', requiredInt64: '7', requiredEnum: 'HIGH', levels: { low: 'LOW' }, onegroup: { name: 'b' }, '[test.every_kind_proto2.extra]': 'c' }
  t.strictSame(await call('test.every_kind_proto2.Proto2Service', 'Echo', message), message)
})

t.test('without the option there is none', async t => {
  for (const reflection of [undefined, false]) {
    const { client } = await serve(t, { services, reflection })
    for (const version of ['v1', 'v1alpha']) t.match(await client(reflectionDefinition(version)).call('ServerReflectionInfo', []), { code: codes.UNIMPLEMENTED })
  }
})

t.test('it has no routes over HTTP', async t => {
  const { gateway, post } = await serve(t, { services, reflection: true })
  t.notOk(gateway.routes().some(({ rpc }) => rpc.includes('reflection')))
  for (const path of ['grpc.reflection.v1.ServerReflection/ServerReflectionInfo', 'serverreflection/serverreflectioninfo']) {
    t.equal((await post(`/grpc/${path}`, {})).status, 404)
  }
})

t.test('interceptors guard it as they guard any service', async t => {
  const called: string[] = []
  const client = await reflected(t, { interceptors: [({ path }, call) => { called.push(path); return call as never }] })
  await client.services()
  t.strictSame(called, ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'])
})

t.test('a user who has registered the service serves that', async t => {
  const own = implement(reflectionDefinition('v1'), { ServerReflectionInfo: async function * () { yield { validHost: 'own' } } })
  const { gateway } = await serve(t, { services: [...services, own], reflection: true })
  t.match(await new ReflectionClient(t, gateway).ask({ listServices: '' }), { validHost: 'own' })
  t.strictSame((await new ReflectionClient(t, gateway, 'v1alpha').services()).filter(name => name.startsWith('grpc.')), BUILT_IN)
})
