/** The descriptors that reflection serves, against those that buf makes of the same files. */
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { fromBinary, getExtension, toJson, type FileRegistry } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, FileDescriptorSetSchema, type FileDescriptorProto } from '@bufbuild/protobuf/wkt'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { loadFileDescriptorSetFromBuffer, loadSync, type PackageDefinition } from '@grpc/proto-loader'
import t, { type Test } from 'tap'
import { GrpcGateway, implement, loadProto, type GatewayOptions } from '../src/index.ts'
import { filesFromProtos } from '../src/schema/descriptors/from-proto-files.ts'
import { commentsOf, comparable, ReflectionClient, strictRegistry } from './reflection-client.ts'
import { Greeter, serve } from './serving.ts'

const PROJECT = fileURLToPath(new URL('..', import.meta.url))

/** Every .proto file of the project. */
function allProtos (): string {
  const dir = t.testdir()
  const sources = ['protos', 'test/fixtures/library', 'test/fixtures', 'examples/adopted', 'examples/browser', 'test/interop']
  for (const source of sources) {
    const isProto = (path: string): boolean => !/\.\w+$/.test(path) || path.endsWith('.proto')
    cpSync(join(PROJECT, source), dir, { recursive: true, filter: path => isProto(path) && !/node_modules|\/\./.test(path) })
  }
  rmSync(join(dir, 'library'), { recursive: true })
  return dir
}

const dir = allProtos()
const names = protosIn(dir)
const set = bufSet(dir)
const theirs = fromBinary(FileDescriptorSetSchema, set).file
const their = strictRegistry(theirs)

function protosIn (dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.proto')).sort()
}

/** The descriptor set that buf makes of a folder. */
function bufSet (dir: string, ...options: string[]): Buffer {
  return execFileSync(join(PROJECT, 'node_modules/.bin/buf'), ['build', dir, '-o', '-', ...options], { stdio: 'pipe', maxBuffer: 2 ** 26 })
}

function bufFiles (dir: string): FileDescriptorProto[] {
  return fromBinary(FileDescriptorSetSchema, bufSet(dir)).file
}

/** All that reflection knows of some files. */
async function servedFiles (t: Test, options: Partial<GatewayOptions>, names: readonly string[] = []): Promise<Map<string, FileDescriptorProto>> {
  const { gateway } = await serve(t, { services: [implement(Greeter, {})], reflection: true, exposeHttp: false, ...options })
  const client = new ReflectionClient(t, gateway)
  for (const service of await client.services()) await client.names({ fileContainingSymbol: service })
  for (const name of names) await client.names({ fileByFilename: name })
  return client.files
}

t.test('every .proto file is described as buf describes it', async t => {
  const ours = await servedFiles(t, { services: [implement(loadProto('helloworld.proto', { includeDirs: [dir] }).Greeter!, {})], types: names, includeDirs: [dir] }, names)
  t.doesNotThrow(() => strictRegistry([...ours.values()]))
  t.ok(theirs.length >= names.length && names.length > 40)
  for (const file of theirs) {
    const our = ours.get(file.name)
    t.strictSame(our && comparable(our, their), comparable(file, their), file.name)
  }
})

t.test('the well-known files are those of buf', async t => {
  const dir = t.testdir()
  const names = protosIn(join(PROJECT, 'protos')).filter(name => name.startsWith('google/protobuf/'))
  writeFileSync(join(dir, 'all.proto'), `syntax = "proto3"; ${names.map(name => `import "${name}";`).join(' ')}`)
  const theirs = bufFiles(dir)
  const ours = await servedFiles(t, { types: 'all.proto', includeDirs: [dir] }, ['all.proto'])
  t.ok(names.length >= 12)
  for (const name of names) {
    const [our, their] = [ours.get(name), theirs.find(file => file.name === name)]
    t.strictSame(comparable(our!, strictRegistry(theirs)), comparable(their!, strictRegistry(theirs)), name)
  }
})

t.test('comments are where buf has them', async t => {
  const ours = new Map(filesFromProtos(names, [dir]).map(bytes => fromBinary(FileDescriptorProtoSchema, bytes)).map(file => [file.name, file]))
  let compared = 0
  for (const file of theirs) {
    const wanted = Object.entries(commentsOf(file)).filter(([path]) => isDeclaration(path))
    compared += wanted.length
    t.strictSame(commentsOf(ours.get(file.name)!), Object.fromEntries(wanted), file.name)
  }
  t.ok(compared > 50)
})

/** Whether the path leads to a message, a field, an enum, a value, a oneof, a service, a method, the syntax or the package. */
function isDeclaration (path: string): boolean {
  return /^(?:12|2|(?:4\.\d+)(?:\.3\.\d+)*(?:\.[268]\.\d+|\.4\.\d+(?:\.2\.\d+)?)?|5\.\d+(?:\.2\.\d+)?|6\.\d+(?:\.2\.\d+)?|7\.\d+)$/.test(path)
}

t.test('files that protobufjs cannot read, and oddities of the language', async t => {
  const odd: Record<string, string> = {
    'group-options': 'syntax = "proto2"; package groups; message M { optional group G = 1 [deprecated = true] { optional int32 x = 1; } oneof o { group H = 2 { optional M m = 1; } int32 i = 3; } extensions 100 to max; } extend M { repeated group E = 100 { } }',
    'synthetic-names': 'syntax = "proto3"; package synthetic; message M { optional int32 a = 1; optional int32 _a = 2; optional int32 _b = 3; int32 X_a = 4; oneof _c { int32 d = 5; } optional int32 c = 6; }',
    'angle-brackets': 'syntax = "proto3"; package angle; import "google/protobuf/descriptor.proto"; message O { string a = 1; O o = 2; repeated O all = 3; repeated int32 n = 4; } extend google.protobuf.MessageOptions { O o = 50001; } message M { option (o) = { a: "1" "2"; o < a: \'3\', o <> > all: [ { a: "4" }, <> ] all { } n: [1, 0x2, -03] n: 4 }; option (.angle.o).o.o.a = "5"; }',
    'no-syntax': '/* no syntax */ message M { optional M m = 1; };;',
    empty: '',
    'only-comments': '// nothing\n/* at all */',
    'keyword-names': 'syntax = "proto3"; package message.service; message rpc { string syntax = 1; rpc import = 2; message.service.rpc package = 3; enum returns { to = 0; max = 1; } map<string, returns> option_ = 4; repeated .message.service.rpc repeated = 5; string stream = 6; string true = 7; string oneof_ = 8; } service extend { rpc message (stream rpc) returns (rpc); rpc stream (.message.service.rpc) returns (stream .message.service.rpc) { } }',
    scopes: 'syntax = "proto3"; package a.b; message c { message b { message d {} } d x = 1; b y = 2; .a.b.d z = 3; b.d w = 4; message e { d f = 1; c g = 2; } } message d { a.b.c.b.d q = 1; }',
    numbers: 'syntax = "proto2"; package numbers; message M { optional double a = 1 [default = .5]; optional double b = 2 [default = 5.]; optional double c = 3 [default = 1E10]; optional float d = 4 [default = -inf]; optional double e = 5 [default = 16]; optional double f = 6 [default = 16777217]; optional sint64 g = 7 [default = -0x7fffffffffffffff]; optional float h = 8 [default = 3.4028235e38]; optional double i = 9 [default = -0.0]; optional fixed32 j = 10 [default = 4294967295]; }',
    strings: 'syntax = "proto2"; package strings; message M { optional string a = 1 [default = "\\a\\b\\f\\n\\r\\t\\v\\\\\\\'\\"\\?"]; optional bytes b = 2 [default = "\\0\\12\\1234\\xA\\xfff\\XAB"]; optional string c = 3 [default = "\\u00e9\\U0001f600é"]; optional bytes d = 4 [default = \'a\' "b"\n\'c\']; optional string e = 5 [default = "// no comment"]; optional string f = 6 [default = ""]; }',
    'json-names': 'syntax = "proto3"; package json_names; message M { string a_b = 1; string a_1b = 2; string _c = 3; string d__e = 4; string f_ = 5; string G_h = 6; string i = 7 [json_name = "j k"]; string l = 8 [json_name = "\\u00e9"]; }',
    'map-names': 'syntax = "proto3"; package map_names; message M { map<string, M> a_b = 1; map<string, M> _c = 2; map<string, M> d__e = 3; map<string, M> f_1g = 4; map<string, M> Hi = 5; map<string, M> jK_ = 6; }',
    ranges: 'syntax = "proto2"; package ranges; message M { reserved 1, 2 to 4, 1000 to max; reserved "a", "b" \'c\'; extensions 5, 6 to 8, 100 to 199; } enum E { A = 0; reserved -5 to -1, 7, 10 to max; reserved "B"; }',
    public: 'syntax = "proto3"; package public; import public "scopes.proto"; import public "empty.proto"; import "numbers.proto"; message M { .a.b.c x = 1; a.b.d y = 2; }',
    'public-user': 'syntax = "proto3"; import "public.proto"; message N { a.b.c x = 1; public.M m = 2; }',
    'option-scopes': 'syntax = "proto3"; package o.p; import "google/protobuf/descriptor.proto"; message H { extend google.protobuf.FieldOptions { string here = 50002; int32 there = 50003; } string a = 1 [(here) = "1", (o.p.H.there) = 2]; message I { string b = 1 [(here) = "3", (H.there) = 4]; } } extend google.protobuf.FieldOptions { string here = 50004; } message J { string c = 1 [(here) = "5", (H.here) = "6", (.o.p.H.there) = 7]; }'
  }
  const dir = t.testdir(Object.fromEntries(Object.entries(odd).map(([name, text]) => [`${name}.proto`, text])))
  const theirs = bufFiles(dir)
  const registry = strictRegistry(theirs)
  const ours = new Map(filesFromProtos(protosIn(dir), [dir]).map(bytes => fromBinary(FileDescriptorProtoSchema, bytes)).map(file => [file.name, file]))
  t.equal(theirs.filter(({ name }) => !name.startsWith('google/')).length, Object.keys(odd).length)
  for (const their of theirs) t.strictSame(comparable(ours.get(their.name)!, registry), comparable(their, registry), their.name)
})

t.test('an option whose fields are delimited', async t => {
  const option = 'M m = 50001; } message M { M nested = 1; string text = 2; } message N { option (m) = { text: "a" nested { text: "b" nested { text: "c" } } }; }'
  const dir = t.testdir({ 'file.proto': `edition = "2023"; import "google/protobuf/descriptor.proto"; option features.message_encoding = DELIMITED; extend google.protobuf.MessageOptions { ${option}` })
  const registry = strictRegistry(filesFromProtos(['file.proto'], [dir]).map(bytes => fromBinary(FileDescriptorProtoSchema, bytes)))
  const { options } = registry.getMessage('N')!.proto
  const extension = registry.getExtension('m')!
  t.strictSame(toJson(extension.message!, getExtension(options!, extension) as never), { text: 'a', nested: { text: 'b', nested: { text: 'c' } } })
})

t.test('the files of a descriptor set are served byte for byte', async t => {
  const { gateway } = await serve(t, { services: [implement(loadProto(set)['test.library.v1.Library']!, {})], reflection: true })
  const client = new ReflectionClient(t, gateway)
  for (const { name } of theirs) {
    const { fileDescriptorResponse } = await client.ask({ fileByFilename: name })
    t.ok(set.includes(fileDescriptorResponse!.fileDescriptorProto[0]!), name)
  }
  t.doesNotThrow(() => client.registry())
})

t.test('a descriptor set that is compressed', async t => {
  const set = gzipSync(bufSet(join(PROJECT, 'examples/adopted')))
  const files = await servedFiles(t, { types: set }, ['counter.proto'])
  t.strictSame(files.get('counter.proto')!.messageType.map(({ name }) => name), ['Amount', 'Total'])
})

/** The service definitions in what proto-loader has loaded, but for those of reflection. */
function servicesIn (loaded: PackageDefinition): ServiceDefinition[] {
  return Object.entries(loaded).filter(([name, definition]) => !('format' in definition) && !name.startsWith('grpc.')).map(([, definition]) => definition as ServiceDefinition)
}

t.test('definitions of proto-loader are described as well as can be', async t => {
  const files = names.filter(name => !/^(google|grpc|odd)\//.test(name))
  // It knows no edition 2024.
  const oldSet = bufSet(dir, '--exclude-path', join(dir, 'odd/edition_2024.proto'))
  for (const loaded of [loadSync(files, { includeDirs: [dir] }), loadFileDescriptorSetFromBuffer(oldSet)]) {
    const services = servicesIn(loaded)
    const files = await servedFiles(t, { services: services.map(service => implement(service, {})) })
    t.ok(services.length > 10)
    t.doesNotThrow(() => strictRegistry([...files.values()]))
  }
})

t.test('what is missing in definitions of proto-loader is restored', async t => {
  const loaded = loadSync(['library.proto', 'every-kind-proto2.proto', 'editions.proto', 'search.proto'], { includeDirs: [dir], keepCase: true })
  const ours = [...(await servedFiles(t, { services: servicesIn(loaded).map(service => implement(service, {})) })).values()]
  const registry = strictRegistry(ours)
  const { $typeName, ...methods } = { $typeName: '', ...registry.getService('test.library.v1.Library')!.method }
  t.same(Object.keys(methods), ['getBook', 'listBooks', 'addBooks', 'discuss'])
  const typed = (registry: FileRegistry, name: string): unknown => registry.getMessage(name)!.fields.map(field => ({ name: field.name, number: field.number, kind: field.fieldKind, type: field.toString(), oneof: field.oneof?.name, presence: field.presence }))
  for (const name of ['test.library.v1.Book', 'test.library.v1.ListBooksRequest', 'test.search.Query', 'test.editions.Part']) t.strictSame(typed(registry, name), typed(their, name), name)
})

t.test('definitions of proto-loader are described exactly where their files are named', async t => {
  const loaded = loadSync('library.proto', { includeDirs: [dir] })
  const ours = await servedFiles(t, { services: servicesIn(loaded).map(service => implement(service, {})), protos: 'library.proto', includeDirs: [dir] })
  t.strictSame(comparable(ours.get('library.proto')!, their), comparable(theirs.find(({ name }) => name === 'library.proto')!, their))
})

t.test('sources that share files', async t => {
  const names = (files: Map<string, FileDescriptorProto>): string[] => [...files.keys()].filter(name => !/^(google|grpc)\//.test(name)).sort()
  const message = (pkg: string, more = ''): string => `syntax = "proto3"; package ${pkg}; message M { string text = 1; } ${more}`
  const service = (pkg: string, imported: string, type: string): string => `syntax = "proto3"; package ${pkg}; import "${imported}"; service S { rpc Do (${type}) returns (${type}); }`
  const dir = t.testdir({
    a: { 'm.proto': message('a'), 's.proto': service('a.s', 'm.proto', 'a.M') },
    b: { 'm.proto': message('b'), 's.proto': service('b.s', 'm.proto', 'b.M') },
    'above.proto': service('above', 'a/m.proto', 'a.M'),
    newer: { 'm.proto': message('a', 'message N { M m = 1; }') },
    'newer.proto': service('newer', 'newer/m.proto', 'a.N')
  })
  const loaded = (file: string): ServiceDefinition => loadProto(join(dir, file)).S!
  const serving = async (...definitions: ServiceDefinition[]): Promise<Map<string, FileDescriptorProto>> => await servedFiles(t, { services: definitions.map(definition => implement(definition, {})) })

  t.test('serve one file once, whatever its names', async t => {
    const files = await serving(loaded('a/s.proto'), loaded('above.proto'))
    t.strictSame(names(files), ['above.proto', 'm.proto', 's.proto'])
    t.strictSame([...files.values()].filter(({ name }) => ['s.proto', 'above.proto'].includes(name)).map(({ dependency }) => dependency), [['m.proto'], ['m.proto']])
    t.doesNotThrow(() => strictRegistry([...files.values()]))
  })

  t.test('serve different files of one name, each by a name of its own', async t => {
    const files = await serving(loaded('a/s.proto'), loaded('b/s.proto'))
    t.equal(names(files).length, 4)
    const registry = strictRegistry([...files.values()])
    for (const pkg of ['a', 'b']) t.equal(registry.getService(`${pkg}.s.S`)!.method.do!.input.typeName, `${pkg}.M`)
  })

  t.test('serve the file that defines the most', async t => {
    const files = await serving(loaded('a/s.proto'), loaded('newer.proto'))
    const registry = strictRegistry([...files.values()])
    t.ok(registry.getMessage('a.N'))
    t.equal(names(files).length, 3)
  })

  t.test('of all kinds, prefer files as they were written', async t => {
    const set = bufSet(join(PROJECT, 'test/fixtures'), '--path', join(PROJECT, 'test/fixtures/every-kind.proto'))
    const definitions = servicesIn(loadSync('every-kind.proto', { includeDirs: [join(PROJECT, 'test/fixtures')] })).map(service => implement(service, {}))
    const files = await servedFiles(t, { services: [...definitions, implement(loadProto(join(PROJECT, 'test/fixtures/search.proto')).Search!, {})], types: set })
    t.strictSame(names(files), ['every-kind.proto', 'search.proto'])
    t.ok(strictRegistry([...files.values()]).getMessage('test.every_kind.EveryKind')!.fields.some(({ name }) => name === 'string_value'))
  })
})

t.test('a file may lack what protobufjs does not ask for', async t => {
  const dir = t.testdir({
    'a.proto': 'syntax = "proto3"; import "b.proto"; message A { C c = 1; } service S { option (nobody.knows) = "it"; option (nobody).knows = { it: true }; rpc Do (A) returns (C); }',
    'b.proto': 'syntax = "proto3"; import "c.proto"; message B { C c = 1; }',
    'c.proto': 'syntax = "proto3"; message C { string text = 1; }'
  })
  const files = await servedFiles(t, { services: [implement(loadProto(join(dir, 'a.proto')).S!, {})] })
  t.strictSame(files.get('a.proto')!.dependency, ['b.proto', 'c.proto'])
  t.equal(strictRegistry([...files.values()]).getService('S')!.proto.options, undefined)
})

t.test('a file that is wrong is named at start, with what is wrong in it', async t => {
  const options = 'syntax = "proto3"; package p; import "google/protobuf/descriptor.proto"; extend google.protobuf.MessageOptions { int32 number = 50001; bool flag = 50002; M m = 50003; E e = 50004; string s = 50005; float f = 50006; } enum E { ZERO = 0; }'
  const wrong: Record<string, RegExp> = {
    'message M { option (number) = "one"; }': /p\.M.*\(number\).*whole number|\(number\) of p\.M: must be a whole number/,
    'message M { option (number) = 1.5; }': /must be a whole number/,
    'message M { option (flag) = 7; }': /\(flag\) of p\.M: must be true or false/,
    'message M { option (m) = 1; }': /must be a message/,
    'message M { option (m) = { none: 1 }; }': /p\.M has no field none/,
    'message M { option (m) = { [p.none]: 1 }; }': /p\.M has no field \[p\.none\]/,
    'message M { option (m) = { [a.com/p.None]: { } }; }': /there is no message a\.com\/p\.None/,
    'message M { option (e) = ONE; }': /p\.E has no value ONE/,
    'message M { option (s) = 1; }': /must be a string/,
    'message M { option (f) = "1"; }': /must be a number/,
    'message M { option (f) = one; }': /must be a number/
  }
  for (const [text, message] of Object.entries(wrong)) {
    const dir = t.testdir({ 'wrong.proto': `${options} ${text}` })
    const options_ = { services: [implement(Greeter, {})], types: join(dir, 'wrong.proto') }
    t.doesNotThrow(() => new GrpcGateway(options_), text)
    t.throws(() => new GrpcGateway({ ...options_, reflection: true }), { code: 'FGG_ERR_PROTO_SYNTAX', message }, text)
    t.throws(() => new GrpcGateway({ ...options_, reflection: true }), { message: /wrong\.proto/ }, text)
  }
})

t.test('a syntax error is named with its line', async t => {
  const wrong: Record<string, RegExp> = {
    'message M {\n string a 1; }': /line 2: expected '=', got 1/,
    'message M {': /line 1: expected '}', got the end of the file/,
    'message M { string a = "1"; }': /expected a number, got "1"/,
    'message M { string a = 1.5; }': /expected a whole number/,
    'enum E { A = 0; } !': /expected a declaration, got !/,
    'option (a = 1;': /expected '\)', got =/,
    'option a = ;': /expected a value, got ;/,
    'option a = { b: [1 };': /expected '\]', got }/,
    'option a = { [b: 1 };': /expected '\]', got the end of the file/,
    'import a;': /expected the name of a file, got a/,
    'edition = "1999";': /editions 2023/,
    'service S { message M {} }': /expected 'rpc', got message/
  }
  for (const [text, message] of Object.entries(wrong)) {
    const dir = t.testdir({ 'wrong.proto': text })
    t.throws(() => filesFromProtos([join(dir, 'wrong.proto')], []), { code: 'FGG_ERR_PROTO_SYNTAX', message }, text)
  }
})
