import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { loadPackageDefinition, type MethodDefinition, type ServiceClientConstructor, type ServiceDefinition } from '@grpc/grpc-js'
import { loadFileDescriptorSetFromBuffer, loadSync, type Options as ProtoLoaderOptions, type PackageDefinition } from '@grpc/proto-loader'
import fc from 'fast-check'
import Fastify from 'fastify'
import protobuf from 'protobufjs'
import protojson from 'protobufjs/ext/protojson.js'
import t from 'tap'
import { GrpcGateway, implement, loadProto, registerGrpcHttpRoutes, type LoadOptions, type MessageOptions, type ProtoSource } from '../src/index.ts'
import { TypeRegistry } from '../src/json/type-registry.ts'
import { camelCase } from '../src/schema/definition.ts'
import { serviceDescriber } from '../src/schema/from-definition.ts'
import { loadedService } from '../src/schema/load.ts'
import { mergeOptions, type Service } from '../src/schema/service.ts'
import { messageArbitrary, type PlainMessage } from './message-arbitrary.ts'

const require = createRequire(import.meta.url)
const PROJECT = fileURLToPath(new URL('..', import.meta.url))
const FIXTURES = join(PROJECT, 'test/fixtures')
const LIBRARY = join(FIXTURES, 'library/library.proto')
const EVERY_KIND = join(FIXTURES, 'every-kind.proto')
const PROTO2 = join(FIXTURES, 'every-kind-proto2.proto')
const EDITIONS = join(FIXTURES, 'editions.proto')

const SERVICES = ['test.library.v1.Library', 'test.library.v1.Archive', 'test.every_kind.EveryKindService', 'test.every_kind_proto2.Proto2Service', 'test.editions.EditionService']

t.test('loadProto on .proto files', async t => {
  t.test('has each service under its full name, and under its short name', async t => {
    const services = loadProto(LIBRARY)
    t.strictSame(Object.keys(services).sort(), ['Archive', 'Library', 'test.library.v1.Archive', 'test.library.v1.Library'])
    t.equal(services.Library, services['test.library.v1.Library'])
  })

  t.test('has the names, the paths and the kinds of methods', async t => {
    const { name, fullName, methods } = modelOf(LIBRARY, 'Library')
    t.strictSame({ name, fullName }, { name: 'Library', fullName: 'test.library.v1.Library' })
    t.strictSame(methods.map(({ name, fullName, path, kind }) => [name, fullName, path, kind]), [
      ['GetBook', 'test.library.v1.Library.GetBook', '/test.library.v1.Library/GetBook', 'unary'],
      ['ListBooks', 'test.library.v1.Library.ListBooks', '/test.library.v1.Library/ListBooks', 'serverStreaming'],
      ['AddBooks', 'test.library.v1.Library.AddBooks', '/test.library.v1.Library/AddBooks', 'clientStreaming'],
      ['Discuss', 'test.library.v1.Library.Discuss', '/test.library.v1.Library/Discuss', 'bidiStreaming']
    ])
  })

  t.test('has the types of requests and responses', async t => {
    const { methods } = modelOf(LIBRARY, 'Library')
    t.strictSame(methods.map(({ requestType, responseType }) => [requestType.fullName, responseType.fullName]), [
      ['.test.library.v1.GetBookRequest', '.test.library.v1.Book'],
      ['.test.library.v1.ListBooksRequest', '.test.library.v1.Book'],
      ['.test.library.v1.Book', '.google.rpc.Status'],
      ['.test.library.v1.Remark', '.test.library.v1.Remark']
    ])
  })

  t.test('has the comments of services, methods, messages, fields, oneofs and enums', async t => {
    const { comment, methods } = modelOf(LIBRARY, 'Library')
    t.equal(comment, 'Keeps books.\n\nIndented, after an empty line.')
    t.strictSame(methods.map(({ comment }) => comment), ['Gets one book.', 'Lists the books\nof a shelf.', undefined, undefined])
    const { responseType: book } = methods[0]!
    t.equal(book.comment, 'What one can read.')
    t.equal(book.fields.name!.comment, 'Its resource name.')
    t.equal(book.fields.subTitle!.comment, 'Below the title.')
    t.equal(book.oneofs.currentPlace!.comment, 'Where it is.')
    const binding = book.lookupEnum('Binding')
    t.equal(binding.comment, 'How a book is bound.')
    t.strictSame({ ...binding.comments }, { BINDING_UNSPECIFIED: 'Nobody knows.', BINDING_PAPER: 'With paper.' })
  })

  t.test('has google.api.http rules, with a list of additional bindings even for one', async t => {
    const rules = modelOf(LIBRARY, 'Library').methods.map(({ options }) => options['(google.api.http)'])
    t.strictSame(rules, [
      { get: '/v1/{name=shelves/*/books/*}', additional_bindings: [{ get: '/v1/books/{name}' }] },
      {
        get: '/v1/{shelf.name=shelves/*}/books',
        response_body: 'title',
        additional_bindings: [{ get: '/v1/books' }, { custom: { kind: 'LIST', path: '/v1/books' } }]
      },
      { post: '/v1/books', body: '*' },
      undefined
    ])
  })

  t.test('has custom options by their full names, in the form of their types', async t => {
    const { options, methods } = modelOf(LIBRARY, 'Library')
    t.strictSame(options, {
      '(google.api.default_host)': 'library.example.com',
      '(test.options.owner)': {
        team_name: 'shelves',
        mails: ['a@example.com'],
        level: 'HIGH',
        deputies: [{ team_name: 'books', mails: ['b@example.com', 'c@example.com'] }],
        shifts: { night: 2 }
      }
    })
    t.strictSame(methods[1]!.options['(google.api.method_signature)'], ['shelf', 'shelf,since'])
    t.match(methods[2]!.options, {
      '(test.options.level)': 'HIGH',
      '(test.options.tags)': ['one', 'two'],
      '(test.options.levels)': ['LOW'],
      '(test.options.quota)': '9007199254740991',
      '(test.options.weight)': -1.5,
      '(test.options.audited)': true
    })
    const { requestType, responseType: book } = methods[0]!
    t.strictSame(optionsOf(requestType.fields.name!), { '(google.api.field_behavior)': ['REQUIRED'] })
    t.strictSame(optionsOf(book), { '(test.options.table)': 'books' })
    t.strictSame(optionsOf(book.fields.title!), { deprecated: true, '(test.options.column)': 'book_title' })
    t.strictSame(optionsOf(book.oneofs.currentPlace!), { '(test.options.group)': 'place' })
    t.strictSame(optionsOf(book.lookupEnum('Binding')), { '(test.options.set)': 'bindings' })
  })

  t.test('leaves an option as it is whose definition is nowhere', async t => {
    const dir = t.testdir({ 'a.proto': proto('a', 'option (nobody.knows) = "it";') })
    t.strictSame(modelOf(join(dir, 'a.proto'), 'S').options, { '(nobody.knows)': 'it' })
  })

  t.test('knows what is deprecated, what is idempotent, and the file', async t => {
    const library = modelOf(LIBRARY, 'Library')
    t.equal(library.deprecated, false)
    t.equal(modelOf(LIBRARY, 'Archive').deprecated, true)
    t.strictSame(library.methods.map(({ deprecated }) => deprecated), [false, false, false, true])
    t.strictSame(library.methods.map(({ idempotency }) => idempotency), ['noSideEffects', 'unknown', 'idempotent', 'unknown'])
    t.equal(library.file, LIBRARY)
  })

  t.test('knows the presence of fields in proto2, proto3 and editions', async t => {
    const presence = (file: string, service: string, path: string[], names: string[]): object => {
      let { requestType: type } = modelOf(file, service).methods[0]!
      for (const name of path) type = type.fields[name]!.resolvedType as protobuf.Type
      return names.map(name => type.fields[name]!.required ? 'required' : type.fields[name]!.hasPresence ? 'explicit' : 'implicit')
    }
    t.strictSame(presence(EVERY_KIND, 'EveryKindService', [], ['int32Value', 'enumValue']), ['implicit', 'implicit'])
    t.strictSame(presence(EVERY_KIND, 'EveryKindService', ['optionalValues'], ['int32Value', 'messageValue']), ['explicit', 'explicit'])
    t.strictSame(presence(PROTO2, 'Proto2Service', [], ['requiredString', 'optionalInt32', 'unpacked']), ['required', 'explicit', 'implicit'])
    t.strictSame(presence(EDITIONS, 'EditionService', [], ['explicit', 'implicit', 'required']), ['explicit', 'implicit', 'required'])
  })

  t.test('reads the features of edition 2023', async t => {
    const { fields } = modelOf(EDITIONS, 'EditionService').methods[0]!.requestType
    t.strictSame([fields.packed!.packed, fields.expanded!.packed], [true, false])
    t.strictSame([fields.lengthPrefixed!.delimited, fields.delimited!.delimited], [false, true])
    const { Echo } = loadProto(EDITIONS).EditionService!
    const message = { explicit: '', implicit: '', required: '', packed: [1], expanded: [2], closed: 'CLOSED_TWO', delimited: { name: 'a' } }
    const bytes = Echo!.requestSerialize(message)
    t.equal(bytes.toString('hex'), '0a00' + '1a00' + '220101' + '2802' + '3802' + '4b' + '0a0161' + '4c')
    t.strictSame(loadProto(EDITIONS, { defaults: false, oneofs: false }).EditionService!.Echo!.requestDeserialize(bytes), {
      explicit: '', required: '', packed: [1], expanded: [2], closed: 'CLOSED_TWO', delimited: { name: 'a' }
    })
  })

  t.test('makes definitions like those of proto-loader', async t => {
    const theirs = loadSync('library.proto', { includeDirs: [join(FIXTURES, 'library'), bundledWithGoogle(t)] })['test.library.v1.Library'] as ServiceDefinition
    const like = (definition: ServiceDefinition): object => Object.entries(definition).map(([key, method]) => {
      const { path, requestStream, responseStream, originalName, options } = method as typeof method & { originalName: string, options: PlainMessage }
      return { key, path, requestStream, responseStream, originalName, deprecated: options.deprecated, idempotency: options.idempotency_level }
    })
    t.strictSame(like(loadProto(LIBRARY).Library!), like(theirs))
  })
})

t.test('loadProto finds', async t => {
  t.test('imports beside the file that imports them, and in the folders above it', async t => {
    const dir = t.testdir({
      common: { 'm.proto': message('common'), 'beside.proto': proto('beside', '', 'm.proto', 'common.M') },
      services: { v1: { 'above.proto': proto('above', '', 'common/m.proto', 'common.M') } }
    })
    t.equal(requestTypeIn(join(dir, 'common/beside.proto')), '.common.M')
    t.equal(requestTypeIn(join(dir, 'services/v1/above.proto')), '.common.M')
  })

  t.test('files and imports in includeDirs, which come before the folders of the importer', async t => {
    const dir = t.testdir({
      first: { 'm.proto': message('first') },
      second: { 's.proto': proto('second', '', 'm.proto', 'M'), 'm.proto': message('second') }
    })
    const includeDirs = [join(dir, 'first'), join(dir, 'second')]
    t.equal(requestTypeIn('s.proto', { includeDirs }), '.first.M')
    t.equal(requestTypeIn(join(dir, 'second/s.proto')), '.second.M')
  })

  t.test('files by paths relative to the working directory, and by file URLs', async t => {
    t.ok(loadProto(relative(process.cwd(), LIBRARY)).Library)
    t.ok(loadProto(pathToFileURL(LIBRARY)).Library)
  })

  const google = {
    'google/api/annotations.proto': 'google.api.HttpRule',
    'google/api/client.proto': undefined,
    'google/api/field_behavior.proto': 'google.api.FieldBehavior',
    'google/api/field_info.proto': 'google.api.FieldInfo',
    'google/api/http.proto': 'google.api.Http',
    'google/api/httpbody.proto': 'google.api.HttpBody',
    'google/api/launch_stage.proto': 'google.api.LaunchStage',
    'google/api/resource.proto': 'google.api.ResourceReference',
    'google/api/visibility.proto': undefined,
    'google/rpc/code.proto': 'google.rpc.Code',
    'google/rpc/error_details.proto': 'google.rpc.BadRequest.FieldViolation',
    'google/rpc/http.proto': 'google.rpc.HttpRequest',
    'google/rpc/status.proto': 'google.rpc.Status',
    'google/type/date.proto': 'google.type.Date',
    'google/type/interval.proto': 'google.type.Interval',
    'google/type/latlng.proto': 'google.type.LatLng',
    'google/type/money.proto': 'google.type.Money',
    'google/type/timeofday.proto': 'google.type.TimeOfDay',
    'google/protobuf/any.proto': 'google.protobuf.Any',
    'google/protobuf/api.proto': 'google.protobuf.Api',
    'google/protobuf/compiler/plugin.proto': 'google.protobuf.compiler.CodeGeneratorRequest',
    'google/protobuf/descriptor.proto': 'google.protobuf.FileDescriptorSet',
    'google/protobuf/duration.proto': 'google.protobuf.Duration',
    'google/protobuf/empty.proto': 'google.protobuf.Empty',
    'google/protobuf/field_mask.proto': 'google.protobuf.FieldMask',
    'google/protobuf/source_context.proto': 'google.protobuf.SourceContext',
    'google/protobuf/struct.proto': 'google.protobuf.ListValue',
    'google/protobuf/timestamp.proto': 'google.protobuf.Timestamp',
    'google/protobuf/type.proto': 'google.protobuf.Type',
    'google/protobuf/wrappers.proto': 'google.protobuf.UInt64Value'
  }
  for (const [file, type = 'string'] of Object.entries(google)) {
    t.test(`${file}, which nobody vendors`, async t => {
      const dir = t.testdir({ 'a.proto': `syntax = "proto3"; import "${file}"; service S { rpc Do (M) returns (M); } message M { ${type} field = 1; }` })
      const { field } = modelOf(join(dir, 'a.proto'), 'S').methods[0]!.requestType.fields
      t.equal(field!.resolvedType?.fullName ?? field!.type, type === 'string' ? type : `.${type}`)
    })
  }

  t.test('several files at once, with imports in common, and one of them twice', async t => {
    const dir = t.testdir({
      'm.proto': message('common'),
      'a.proto': proto('a', '', 'm.proto', 'common.M'),
      'b.proto': proto('b', '', 'm.proto', 'common.M')
    })
    const services = loadProto([join(dir, 'a.proto'), join(dir, 'b.proto'), pathToFileURL(join(dir, 'a.proto'))])
    t.strictSame(Object.keys(services).sort(), ['a.S', 'b.S'])
    const [a, b] = [services['a.S'], services['b.S']].map(definition => loadedService(definition!)!.methods[0]!.requestType)
    t.ok(a !== undefined && a === b)
  })
})

t.test('loadProto on descriptor sets', async t => {
  const dir = bufModule(t)
  const path = buf(dir, 'set.binpb')
  const bytes = readFileSync(path)

  t.test('takes a path, a file URL, bytes, and any of them gzipped', async t => {
    const gzipped = join(dir, 'set.binpb.gz')
    writeFileSync(gzipped, gzipSync(bytes))
    const expected = Object.keys(loadProto(path))
    t.ok(expected.includes('test.library.v1.Library'))
    for (const source of [pathToFileURL(path), bytes, new Uint8Array(bytes), gzipSync(bytes), gzipped]) {
      t.strictSame(Object.keys(loadProto(source)), expected)
    }
  })

  for (const keepCase of [false, true]) {
    t.test(`gives the model of the .proto files, with keepCase: ${keepCase}`, async t => {
      const fromSet = loadProto(path, { keepCase })
      const fromText = loadProto([LIBRARY, EVERY_KIND, PROTO2, EDITIONS], { keepCase })
      t.strictSame(Object.keys(fromSet).sort(), Object.keys(fromText).sort())
      for (const name of SERVICES) {
        const [set, text] = [fromSet, fromText].map(services => loadedService(services[name]!)!)
        t.strictSame(summaryOf(set!), summaryOf(text!), `service ${name}`)
        t.strictSame(typesOf(set!), typesOf(text!), `types of ${name}`)
        t.match(text!.file, set!.file)
      }
      const fields = Object.keys(loadedService(fromSet.Library!)!.methods[0]!.responseType.fields)
      t.ok(fields.includes(keepCase ? 'sub_title' : 'subTitle'))
    })
  }

  t.test('keeps http rules, custom options and comments', async t => {
    const { options, comment, methods } = modelOf(path, 'Library')
    t.match(options, { '(test.options.owner)': { team_name: 'shelves' } })
    t.match(comment, /^Keeps books/)
    t.match(methods[1]!.options, { '(google.api.http)': { response_body: 'title' } })
    t.equal(methods[0]!.responseType.lookupEnum('Binding').comments.BINDING_PAPER, 'With paper.')
  })

  t.test('lacks only the comments without source information', async t => {
    const withoutComments = buf(dir, 'no-source-info.binpb', '--exclude-source-info')
    const withComments = modelOf(path, 'Library')
    const methods = withComments.methods.map(method => ({ ...method, comment: undefined }))
    t.strictSame(summaryOf(modelOf(withoutComments, 'Library')), summaryOf({ ...withComments, comment: undefined, methods }))
  })

  t.test('gives handlers the messages that the .proto files give', async () => {
    for (const keepCase of [false, true]) {
      const [set, text] = [path, EVERY_KIND].map(source => echoOf(loadProto(source, { keepCase })['test.every_kind.EveryKindService']))
      const type = modelOf(EVERY_KIND, 'EveryKindService', { keepCase }).methods[0]!.requestType
      fc.assert(fc.property(messageArbitrary(type), message => {
        const bytes = text!.requestSerialize(message)
        assert.ok(bytes.equals(set!.requestSerialize(message)))
        assert.deepEqual(ordered(set!.requestDeserialize(bytes)), ordered(text!.requestDeserialize(bytes)))
      }), { numRuns: 15 })
    }
  })

  t.test('takes .proto files and sets together', async t => {
    const file = join(t.testdir({ 'a.proto': proto('a') }), 'a.proto')
    t.strictSame(Object.keys(loadProto([file, bytes])).filter(name => name.includes('.')).sort(), ['a.S', ...SERVICES].sort())
  })

  t.test('refuses a set without its imports, and says how to make one with them', async t => {
    const withoutImports = buf(dir, 'no-imports.binpb', '--exclude-imports', '--path', join(dir, 'every-kind.proto'))
    t.throws(() => loadProto(withoutImports), {
      code: 'FGG_ERR_PROTO_SYNTAX',
      message: /no-imports\.binpb is not a complete descriptor set: .*google\.protobuf\.\w+.*buf build -o .*--include_imports/
    })
  })

  t.test('refuses what is no descriptor set', async t => {
    const files = t.testdir({ 'text.binpb': 'message M {}', 'empty.binpb': '' })
    t.throws(() => loadProto(join(files, 'text.binpb')), { code: 'FGG_ERR_PROTO_SYNTAX', message: /text\.binpb is not a complete descriptor set: .*buf build/ })
    t.throws(() => loadProto(join(files, 'empty.binpb')), { code: 'FGG_ERR_PROTO_SYNTAX', message: /empty\.binpb is not a complete descriptor set: it holds no files/ })
    for (const source of [Buffer.from([1, 2, 3]), Buffer.from([0x1f, 0x8b, 1]), gzipSync('text'), bytes.subarray(0, 1000)]) {
      t.throws(() => loadProto(source), { code: 'FGG_ERR_PROTO_SYNTAX', message: /^The descriptor set is not/ })
    }
  })
})

t.test('definitions of @grpc/proto-loader are described from what they carry', async t => {
  const theirs = (keepCase = false): ServiceDefinition => loadSync('library.proto', { keepCase, includeDirs: [join(FIXTURES, 'library'), bundledWithGoogle(t)] })['test.library.v1.Library'] as ServiceDefinition

  t.test('with names, kinds, types, http rules, deprecation and idempotency', async t => {
    const service = serviceDescriber()(theirs())
    const expected = modelOf(LIBRARY, 'Library')
    t.strictSame(
      service.methods.map(({ name, fullName, path, kind, deprecated, idempotency, requestType, responseType }) => [name, fullName, path, kind, deprecated, idempotency, requestType.fullName, responseType.fullName]),
      expected.methods.map(({ name, fullName, path, kind, deprecated, idempotency, requestType, responseType }) => [name, fullName, path, kind, deprecated, idempotency, requestType.fullName, responseType.fullName])
    )
    service.methods.forEach(({ options }, i) => t.strictSame(options['(google.api.http)'], expected.methods[i]!.options['(google.api.http)']))
    t.strictSame([service.name, service.fullName], ['Library', 'test.library.v1.Library'])
  })

  for (const keepCase of [false, true]) {
    t.test(`with maps, nested types, enums, oneofs and presence, with keepCase: ${keepCase}`, async t => {
      const [described, expected] = [serviceDescriber()(theirs(keepCase)), modelOf(LIBRARY, 'Library', { keepCase })].map(({ methods }) => methods[0]!.responseType)
      const form = ({ fieldsArray, nestedArray }: protobuf.Type): object => ({
        fields: fieldsArray.map(field => field.resolve()).map(field => [field.name, field.id, typeOf(field), keyTypeOf(field), field.repeated, Boolean(field.hasPresence), field.packed, field.partOf?.name]),
        enums: nestedArray.filter(object => object instanceof protobuf.Enum).map(({ fullName, values }) => [fullName, { ...values }])
      })
      t.strictSame(form(described!), form(expected!))
    })
  }

  const dir = bufModule(t)
  const sources: Record<string, PackageDefinition> = {
    'a .proto file': loadSync(EVERY_KIND),
    'a .proto file, with keepCase': loadSync(EVERY_KIND, { keepCase: true }),
    'a descriptor set': loadFileDescriptorSetFromBuffer(readFileSync(buf(dir, 'every-kind.binpb', '--path', join(dir, 'every-kind.proto'))))
  }
  for (const [source, definitions] of Object.entries(sources)) {
    t.test(`with the JSON of every kind of field, when made from ${source}`, async () => {
      const { requestType: described } = serviceDescriber()(definitions['test.every_kind.EveryKindService'] as ServiceDefinition).methods[0]!
      const { requestType: expected } = modelOf(EVERY_KIND, 'EveryKindService').methods[0]!
      fc.assert(fc.property(messageArbitrary(expected, { unknownEnumNumbers: true }), message => {
        const bytes = expected.encode(expected.fromObject(message)).finish()
        const json = protojson.toJsonString(described, described.decode(bytes))
        // A `json_name` is not carried.
        assert.equal(json, protojson.toJsonString(expected, expected.decode(bytes)).replaceAll('"given-name":', '"given":'))
        assert.deepEqual(described.encode(protojson.fromJsonString(described, json)).finish(), expected.encode(protojson.fromJsonString(expected, json)).finish())
      }), { numRuns: 25 })
    })
  }

  t.test('with a map and a list that compete for a name', async t => {
    const dir = t.testdir({ 'a.proto': 'syntax = "proto3"; service S { rpc Do (M) returns (M); } message M { map<string, int32> item = 1; repeated Item items = 2; } message Item {}' })
    const { requestType } = serviceDescriber()(loadSync(join(dir, 'a.proto')).S as ServiceDefinition).methods[0]!
    t.strictSame(requestType.fieldsArray.map(field => [field.name, field instanceof protobuf.MapField, typeOf(field)]), [['item', true, 'int32'], ['items', false, '.Item']])
  })

  t.test('also when they have passed through loadPackageDefinition', async t => {
    const client = loadPackageDefinition(loadSync(EVERY_KIND)).test as unknown as { every_kind: { EveryKindService: ServiceClientConstructor } }
    t.equal(serviceDescriber()(client.every_kind.EveryKindService.service).methods[0]!.requestType.fullName, '.test.every_kind.EveryKind')
  })

  t.test('unless `protos` say more', async t => {
    const { comment, methods } = serviceDescriber(LIBRARY)(theirs())
    t.match(comment, /^Keeps books/)
    t.equal(methods[0]!.comment, 'Gets one book.')
    t.match(serviceDescriber('library.proto', [join(FIXTURES, 'library')])(theirs()).comment, /^Keeps books/)
  })
})

t.test('definitions of other generators', async t => {
  /** As grpc-tools makes them: a class for each message, and nothing about its fields. */
  class Note {
    readonly text: string
    constructor (text: string) { this.text = text }
    static serialize = ({ text }: Note): Buffer => Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(text)]), Buffer.from(text)])
    static deserialize = (bytes: Uint8Array): Note => new Note(Buffer.from(bytes.subarray(2)).toString())
  }
  const codec = { requestSerialize: Note.serialize, requestDeserialize: Note.deserialize, responseSerialize: Note.serialize, responseDeserialize: Note.deserialize }
  const definition = { echo: { path: '/notes.Notes/Echo', requestStream: false, responseStream: false, ...codec } } as const
  const NOTES = 'syntax = "proto3"; package notes; service Notes { rpc Echo (Note) returns (Note); } message Note { string text = 1; }'

  t.test('are described by `protos`', async t => {
    const dir = t.testdir({ 'notes.proto': NOTES })
    const { fullName, methods } = serviceDescriber(join(dir, 'notes.proto'))(definition)
    t.strictSame([fullName, methods[0]!.fullName, methods[0]!.requestType.fullName], ['notes.Notes', 'notes.Notes.Echo', '.notes.Note'])
  })

  t.test('keep their own messages for handlers', async t => {
    const dir = t.testdir({ 'notes.proto': NOTES })
    const seen: unknown[] = []
    const echo = (note: Note): Note => {
      seen.push(note)
      return new Note(`${note.text}!`)
    }
    const gateway = new GrpcGateway({ services: [implement(definition, { echo })], protos: 'notes.proto', includeDirs: [dir] })
    const app = Fastify()
    t.teardown(() => app.close())
    registerGrpcHttpRoutes(app, [gateway])
    const response = await app.inject({ method: 'POST', url: '/grpc/notes.Notes/Echo', payload: { text: 'hello' } })
    t.strictSame(response.json(), { text: 'hello!' })
    t.ok(seen[0] instanceof Note)
  })

  t.test('are refused by name when nothing describes them', async t => {
    const noSchema = { code: 'FGG_ERR_NO_SCHEMA', message: /notes\.Notes .*`protos`/ }
    t.throws(() => serviceDescriber()(definition), noSchema)
    t.throws(() => serviceDescriber(LIBRARY)(definition), noSchema)
    t.throws(() => new GrpcGateway({ services: [implement(definition, {})] }), noSchema)
  })

  t.test('are refused when they are none', async t => {
    t.throws(() => serviceDescriber()({}), { code: 'FGG_ERR_SERVICE', message: /no methods/ })
    t.throws(() => serviceDescriber()({ echo: { ...definition.echo, path: 'Echo' } }), { code: 'FGG_ERR_SERVICE', message: /the method path Echo/ })
  })
})

t.test('loadProto refuses', async t => {
  const M = 'message M { string text = 1; }'
  const dir = t.testdir({
    'good.proto': proto('good'),
    'twin.proto': 'syntax = "proto3"; package good; service S { rpc Do (N) returns (N); } message N {}',
    'other.proto': proto('other'),
    'message.proto': message('good'),
    'importer.proto': proto('importer', '', 'deep/gone.proto'),
    deep: {
      'broken.proto': 'syntax = "proto3";\n\nmessage M {\n  string text 1;\n}\n',
      'imports-broken.proto': proto('a', '', 'broken.proto')
    },
    'unfinished.proto': 'syntax = "proto3";\nmessage M {\n',
    'unknown-type.proto': `syntax = "proto3"; package a; ${M} message N { Gone gone = 1; }`,
    'unknown-request.proto': `syntax = "proto3"; service S { rpc Do (Gone) returns (M); } ${M}`,
    'two-fields.proto': 'syntax = "proto3"; message M { string text = 1; string text = 2; }',
    'one-number.proto': 'syntax = "proto3"; message M { string text = 1; string other = 1; }',
    'folder.proto': {}
  })
  const at = (name: string): string => join(dir, name)

  const cases: ReadonlyArray<[what: string, source: ProtoSource, code: string, message: RegExp]> = [
    ['a missing file, naming it and the folders searched', 'gone.proto', 'NOT_FOUND', new RegExp(`gone\\.proto\\. Searched: ${process.cwd()}`)],
    ['a missing file with an absolute path', at('gone.proto'), 'NOT_FOUND', new RegExp(`${at('gone.proto')}$`)],
    ['a missing descriptor set', at('gone.binpb'), 'NOT_FOUND', /gone\.binpb/],
    ['a folder', at('folder.proto'), 'NOT_FOUND', /folder\.proto/],
    ['a missing import, naming its importer and the folders searched', at('importer.proto'), 'NOT_FOUND', new RegExp(`deep/gone\\.proto, which ${at('importer.proto')} imports.*\`includeDirs\`.*Searched: ${dir}, ${dirname(dir)}, `)],
    ['a syntax error, naming file and line', at('deep/broken.proto'), 'SYNTAX', new RegExp(`${at('deep/broken.proto')}.*line 4`)],
    ['a syntax error in an import, naming the import', at('deep/imports-broken.proto'), 'SYNTAX', new RegExp(`${at('deep/broken.proto')}.*line 4`)],
    ['a file that ends too early', at('unfinished.proto'), 'SYNTAX', new RegExp(`${at('unfinished.proto')}.*line 3`)],
    ['a field of an unknown type', at('unknown-type.proto'), 'SYNTAX', /unknown-type\.proto: .*'Gone' in Type \.a\.N/],
    ['a method with an unknown type', at('unknown-request.proto'), 'SYNTAX', /unknown-request\.proto: .*Gone/],
    ['two fields with one number', at('one-number.proto'), 'SYNTAX', /one-number\.proto: duplicate id 1 in Type M/],
    ['two fields of one name', at('two-fields.proto'), 'DUPLICATE', new RegExp(`text is defined twice in Type M: .*${at('two-fields.proto')}`)],
    ['two files that define one service, naming both', [at('good.proto'), at('twin.proto')], 'DUPLICATE', new RegExp(`S is defined twice in Namespace \\.good: in ${at('good.proto')} and in ${at('twin.proto')}`)],
    ['two files that define one message, naming both', [at('good.proto'), at('message.proto')], 'DUPLICATE', new RegExp(`M is defined twice in Namespace \\.good: in ${at('good.proto')} and in ${at('message.proto')}`)]
  ]
  for (const [what, source, code, message] of cases) {
    t.test(what, async t => t.throws(() => loadProto(source), { code: `FGG_ERR_PROTO_${code}`, message }))
  }

  t.test('one service in a .proto file and in a descriptor set, naming both', async t => {
    const set = buf(t.testdir({ 'good.proto': proto('good') }), 'set.binpb')
    t.throws(() => loadProto([at('good.proto'), set]), { code: 'FGG_ERR_PROTO_DUPLICATE', message: new RegExp(`good\\.S is defined twice: in ${at('good.proto')} and in good\\.proto`) })
  })

  t.test('an unknown service when it is asked for, listing what there is', async t => {
    const services = loadProto([at('good.proto'), LIBRARY])
    const message = /good\.proto, .*library\.proto defines no service Gone\. It defines: good\.S, test\.library\.v1\.Library, test\.library\.v1\.Archive$/
    t.throws(() => services.Gone, { code: 'FGG_ERR_UNKNOWN_SERVICE', message })
    t.throws(() => services['good.Gone'], { code: 'FGG_ERR_UNKNOWN_SERVICE', message: /no service good\.Gone/ })
  })

  t.test('a short name that two services have', async t => {
    const services = loadProto([at('good.proto'), at('other.proto')])
    t.throws(() => services.S, { code: 'FGG_ERR_UNKNOWN_SERVICE', message: /S is ambiguous in .*\. Name one of: good\.S, other\.S$/ })
    t.ok(services['good.S'])
  })
})

t.test('the result of loadProto can be awaited, printed, copied and turned to JSON', async t => {
  const services = loadProto(LIBRARY)
  t.equal(await services, services)
  t.match(inspect(services), /'test\.library\.v1\.Library': \{/)
  t.ok(JSON.parse(JSON.stringify(services)).Library.GetBook)
  t.equal(String(services), '[object Object]')
  t.strictSame(Object.keys({ ...services }), Object.keys(services))
})

t.test('types of error details are found by their exact names', async t => {
  const types = new TypeRegistry([modelOf(LIBRARY, 'Library').methods[0]!.requestType.root])
  for (const name of ['test.library.v1.Book', 'test.library.v1.Book.Page', 'google.rpc.Status', 'google.protobuf.Timestamp']) t.equal(types.find(name)?.fullName, `.${name}`)
  for (const name of ['Book', 'v1.Book', 'library.v1.Book', 'Page', 'Status', 'rpc.Status']) t.equal(types.find(name)?.fullName, undefined)
})

/**
 * The protobufjs 8 here goes by the specification where the protobufjs 7 of proto-loader does not. A field without
 * presence is unset also if its default value is in the bytes; an unknown number of a closed enum is an unknown field;
 * the parts of a message are merged; strings are UTF-8. So the bytes are as every implementation but that one writes
 * them. The first also does not show where defaults are filled in.
 */
t.test('messages equal those of @grpc/proto-loader', async t => {
  const options: fc.Arbitrary<MessageOptions> = fc.record({
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

  for (const [file, service, unknownEnumNumbers] of [[EVERY_KIND, 'test.every_kind.EveryKindService', true], [PROTO2, 'test.every_kind_proto2.Proto2Service', false]] as const) {
    const canonical = echoOf(loadProto(file)[service])
    const type = loadedService(loadProto(file)[service]!)!.methods[0]!.requestType
    const messages = messageArbitrary(type, { unknownEnumNumbers })
    const theirsWith = (options: MessageOptions): Codecs => echoOf(loadSync(file, options as ProtoLoaderOptions)[service] as ServiceDefinition)

    function assertSame (bytes: Buffer, ours: Codecs, theirs: Codecs, type: protobuf.Type, options: MessageOptions): void {
      for (const deserialize of ['requestDeserialize', 'responseDeserialize'] as const) {
        assert.deepEqual(ordered(ours[deserialize](bytes)), ordered(corrected(theirs[deserialize](bytes), type, options)))
      }
    }

    t.test(`for ${service}, with the options that are the defaults`, async () => {
      const defaults = { longs: String, enums: String, defaults: true, oneofs: true } as const
      const theirs = theirsWith(defaults)
      fc.assert(fc.property(messages, message => {
        for (const writer of [canonical, theirs]) assertSame(writer.requestSerialize(message), canonical, theirs, type, defaults)
      }))
    })

    t.test(`for ${service}, with any options, down to the order of keys`, async () => {
      fc.assert(fc.property(options, fc.array(messages, { minLength: 4, maxLength: 4 }), (options, messages) => {
        const services = loadProto(file, options)
        const { requestType } = loadedService(services[service]!)!.methods[0]!
        const [ours, theirs] = [echoOf(services[service]), theirsWith(options)]
        for (const message of messages) assertSame(canonical.requestSerialize(message), ours, theirs, requestType, options)
      }), { numRuns: 25 })
    })

    t.test(`for ${service}, when proto-loader reads what is serialized here`, async () => {
      for (const keepCase of [false, true]) {
        const services = loadProto(file, { keepCase })
        const ours = echoOf(services[service])
        const theirs = theirsWith({ keepCase, defaults: true, oneofs: true })
        fc.assert(fc.property(messageArbitrary(loadedService(services[service]!)!.methods[0]!.requestType), message => {
          fc.pre(!hasKey(message, 'false'))
          for (const [serialize, deserialize] of [['requestSerialize', 'requestDeserialize'], ['responseSerialize', 'responseDeserialize']] as const) {
            assert.deepEqual(theirs[deserialize](ours[serialize](message)), theirs[deserialize](theirs[serialize](message)))
          }
        }))
      }
    })
  }

  t.test('and what a handler was given, it can send', async () => {
    const { requestSerialize, requestDeserialize } = echoOf(loadProto(EVERY_KIND).EveryKindService)
    const { requestType } = modelOf(EVERY_KIND, 'EveryKindService').methods[0]!
    fc.assert(fc.property(messageArbitrary(requestType, { unknownEnumNumbers: true }), message => {
      const bytes = requestSerialize(message)
      assert.deepEqual(requestSerialize(requestDeserialize(bytes)), bytes)
    }))
  })

  t.test('and an array is no message', async t => {
    t.throws(() => echoOf(loadProto(EVERY_KIND).EveryKindService).requestSerialize([]), { message: /test\.every_kind\.EveryKind, got an array/ })
  })
})

t.test('originalName is camelCased as proto-loader does it', async () => {
  const lodashCamelCase = createRequire(require.resolve('@grpc/proto-loader'))('lodash.camelcase') as (name: string) => string
  const names = fc.oneof(
    fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]*$/),
    fc.array(fc.constantFrom('get', 'Get', 'URL', 'Of', '2', '1st', '_', 'x', 'X', 'v1', '_2'), { minLength: 1 }).map(words => words.join(''))
  )
  fc.assert(fc.property(names, name => assert.equal(camelCase(name), lodashCamelCase(name))), { numRuns: 2000 })
})

/** The model of a service by its short or full name. */
function modelOf (source: ProtoSource, service: string, options?: LoadOptions): Service {
  return loadedService(loadProto(source, options)[service]!)!
}

interface Codecs {
  requestSerialize (message: object): Buffer
  requestDeserialize (bytes: Buffer): PlainMessage
  responseSerialize (message: object): Buffer
  responseDeserialize (bytes: Buffer): PlainMessage
}

function echoOf (definition: ServiceDefinition | undefined): Codecs {
  return definition!.Echo as MethodDefinition<object, object> as Codecs
}

function optionsOf ({ parsedOptions }: protobuf.ReflectionObject): object {
  return mergeOptions(parsedOptions as Array<Record<string, unknown>>)
}

/** What can be compared of a service: all but its file, and the types by their names. */
function summaryOf ({ file, methods, comment, ...service }: Service): object {
  return {
    ...service,
    comment: flat(comment),
    methods: methods.map(({ requestType, responseType, comment, ...method }) => ({ ...method, comment: flat(comment), requestType: requestType.fullName, responseType: responseType.fullName }))
  }
}

/** Every type in the messages of a service, with all that the model says of it. */
function typesOf ({ methods }: Service): Record<string, object> {
  const types: Record<string, object> = {}
  const describe = (object: protobuf.ReflectionObject): object => object.fullName.startsWith('.google.protobuf.')
    ? {} // protobufjs has its own, without comments
    : { comment: flat(object.comment), options: Object.fromEntries(Object.entries(optionsOf(object)).filter(([name]) => /^\(|^deprecated$/.test(name))) }
  const visit = (type: protobuf.Type | protobuf.Enum): void => {
    if (types[type.fullName] !== undefined) return
    if (type instanceof protobuf.Enum) {
      types[type.fullName] = { ...describe(type), values: { ...type.values }, comments: Object.values(describe(type)).length > 0 && { ...type.comments } }
      return
    }
    types[type.fullName] = {
      ...describe(type),
      fields: type.fieldsArray.map(field => {
        const { name, id, repeated, required, packed, delimited, typeDefault, partOf, resolvedType } = field
        // protoc has these names of groups in lower case.
        const isGroup = delimited && protobuf.util.ucFirst(name) === resolvedType!.name
        const inCase = (name: string): string => isGroup ? name.toLowerCase() : name
        const names = { name, protoName: inCase(field.protoName), jsonName: inCase(field.jsonName) }
        return { ...describe(field), ...names, id, repeated, required, packed, delimited, typeDefault, type: typeOf(field), keyType: keyTypeOf(field), presence: Boolean(field.hasPresence), oneof: partOf?.name }
      }),
      oneofs: Object.fromEntries(type.oneofsArray.map(oneof => [oneof.name, describe(oneof)]))
    }
    for (const { resolvedType } of type.fieldsArray) if (resolvedType !== null) visit(resolvedType)
  }
  for (const { requestType, responseType } of methods) [requestType, responseType].forEach(visit)
  return types
}

/** The comments of .proto files lack the indentation that descriptor sets keep. */
function flat (comment: string | null | undefined): string | undefined {
  return comment?.replace(/^ +/gm, '')
}

function typeOf ({ resolvedType, type }: protobuf.Field): string {
  return resolvedType?.fullName ?? type
}

function keyTypeOf (field: protobuf.Field): string | undefined {
  return field instanceof protobuf.MapField ? field.keyType : undefined
}

/** A .proto file with the service S, whose method takes messages of a type M, its own or an imported one. */
function proto (pkg: string, option = '', imported = '', type = 'M'): string {
  const given = imported === '' ? 'message M { string text = 1; }' : `import "${imported}";`
  return `syntax = "proto3"; package ${pkg}; ${given} service S { ${option} rpc Do (${type}) returns (${type}); }`
}

function message (pkg: string): string {
  return `syntax = "proto3"; package ${pkg}; message M { string text = 1; }`
}

function requestTypeIn (file: string, options?: LoadOptions): string {
  return modelOf(file, 'S', options).methods[0]!.requestType.fullName
}

/** A folder with the google/… files, for tools that find none by themselves. */
function bundledWithGoogle (t: { testdir (): string }): string {
  const dir = t.testdir()
  cpSync(join(PROJECT, 'protos/google'), join(dir, 'google'), { recursive: true })
  cpSync(join(dirname(require.resolve('protobufjs/package.json')), 'google/api'), join(dir, 'google/api'), { recursive: true })
  // protobufjs leaves this field out.
  const http = join(dir, 'google/api/http.proto')
  writeFileSync(http, readFileSync(http, 'utf8').replace('string body = 7;', '$& string response_body = 12;'))
  return dir
}

/** A folder that buf can build: all fixtures and the google/… files. */
function bufModule (t: { testdir (): string }): string {
  const dir = bundledWithGoogle(t)
  cpSync(dirname(LIBRARY), dir, { recursive: true })
  for (const file of [EVERY_KIND, PROTO2, EDITIONS]) cpSync(file, join(dir, relative(FIXTURES, file)))
  return dir
}

function buf (dir: string, output: string, ...options: string[]): string {
  const path = join(dir, output)
  execFileSync(join(PROJECT, 'node_modules/.bin/buf'), ['build', dir, '-o', path, ...options], { stdio: 'pipe' })
  return path
}

/**
 * Mends what the protobufjs 7 of proto-loader gets wrong in a message, so that all else can be compared:
 * - the 64-bit keys of maps are the 8 characters of their hashes, where they should be decimal;
 * - unset fields are null where their default in the file is `nan` or `inf`;
 * - unset bytes are the text itself of their default in the file, where `bytes: String` asks for base64.
 */
function corrected (message: PlainMessage, type: protobuf.Type, options: MessageOptions): PlainMessage {
  const unpacked = typeof message['@type'] === 'string' ? type.root.lookupType(message['@type'].split('/')[1]!) : type
  for (const field of unpacked.fieldsArray) {
    const value = message[field.name]
    if (value === undefined) continue
    const nested = (value: unknown): unknown => field.resolvedType instanceof protobuf.Type ? corrected(value as PlainMessage, field.resolvedType, options) : value
    if (field instanceof protobuf.MapField) {
      message[field.name] = Object.fromEntries(Object.entries(value as object).map(([key, value]) => [decimalKey(field, key), nested(value)]))
    } else if (field.repeated) {
      message[field.name] = (value as unknown[]).map(nested)
    } else if (value === null) {
      if (typeof field.typeDefault === 'number') message[field.name] = options.json === true ? String(field.typeDefault) : field.typeDefault
    } else if (field.bytes && value === 'bytes!!') {
      message[field.name] = Buffer.from(value).toString('base64')
    } else {
      message[field.name] = nested(value)
    }
  }
  return message
}

function decimalKey ({ keyType }: protobuf.MapField, key: string): string {
  return keyType.endsWith('64') ? protobuf.util.longFromHash(key, keyType === 'uint64' || keyType === 'fixed64').toString() : key
}

/** Objects as lists of their entries, so that their order counts. */
function ordered (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.entries(value).map(([key, value]) => [key, ordered(value)])
}

/** The protobufjs 7 of proto-loader writes the key `false` of a map as true. */
function hasKey (value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && (Object.hasOwn(value, key) || Object.values(value).some(nested => hasKey(nested, key)))
}
