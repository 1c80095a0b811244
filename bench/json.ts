/** Compares the JSON codec with JSON.parse and JSON.stringify, and with other implementations of ProtoJSON. See README.md. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createFileRegistry, fromBinary, fromJsonString, toJsonString, type DescMessage } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { loadProto } from 'fastify-grpc-gateway'
import type protobuf from 'protobufjs'
import protojson from 'protobufjs/ext/protojson.js'
import { messages, packageRoot, type Json } from './messages.ts'
import { median, spread } from './report.ts'

/** What the package does not export. */
interface Internals {
  readonly JsonCodecs: new (types: object) => {
    reader: (codec: object) => { fromText: (text: string) => unknown }
    writer: (codec: object) => (message: unknown) => string
  }
  readonly TypeRegistry: new (roots: readonly protobuf.Root[]) => object
  readonly loadedService: (definition: ServiceDefinition) => { readonly methods: ReadonlyArray<{ readonly requestType: protobuf.Type }> }
}

const modules = await Promise.all(['json/codec', 'json/type-registry', 'schema/load'].map(name => import(new URL(`dist/${name}.js`, packageRoot).href)))
const { JsonCodecs, TypeRegistry, loadedService } = Object.assign({}, ...modules) as Internals

interface Subject {
  readonly name: string
  readonly proto: URL
  readonly service: string
  readonly json: Json
}

const subjects: readonly Subject[] = [
  { name: 'hello', ...messages.hello, json: messages.hello.request },
  { name: 'medium', ...messages.medium, json: messages.medium.request },
  {
    name: '1,000 nested items',
    proto: new URL('bench/items.proto', packageRoot),
    service: 'bench.Orders',
    json: {
      id: 'order-1',
      items: Array.from({ length: 1000 }, (_, i) => ({ sku: `sku-${i}`, quantity: i % 9 + 1, price: i / 4 + 0.5, inStock: true, tags: ['new', 'blue'] }))
    }
  }
]

interface Row {
  readonly name: string
  readonly run: () => unknown
}

function rowsOf ({ proto, service, json }: Subject): { read: Row[], write: Row[] } {
  const text = JSON.stringify(json)
  const definition = loadProto(proto)[service]!
  const method = Object.values(definition)[0] as MethodDefinition<unknown, unknown>
  const type = loadedService(definition)!.methods[0]!.requestType
  const codec = { type, deserialize: method.requestDeserialize, serialize: method.requestSerialize }
  const codecs = new JsonCodecs(new TypeRegistry([type.root]))
  const reader = codecs.reader(codec)
  const write = codecs.writer(codec)
  const schema = schemaOf(fileURLToPath(proto), type.fullName.slice(1))
  const ready = JSON.parse(text)
  const seen = reader.fromText(text)
  const es = fromJsonString(schema, text)
  const message = protojson.fromJsonString(type, text)
  if (JSON.stringify(JSON.parse(write(seen))) !== text) throw new Error(`The codec changes ${proto.href}`)
  return {
    read: [
      { name: 'JSON.parse', run: () => JSON.parse(text) },
      { name: 'fastify-grpc-gateway', run: () => reader.fromText(text) },
      { name: 'protobuf-es fromJsonString', run: () => fromJsonString(schema, text) },
      { name: 'protobufjs/ext/protojson fromJsonString', run: () => protojson.fromJsonString(type, text) }
    ],
    write: [
      { name: 'JSON.stringify of a ready object', run: () => JSON.stringify(ready) },
      // What is written is put together piece by piece, and is sent as bytes.
      { name: 'fastify-grpc-gateway', run: () => flat(write(seen)) },
      { name: 'protobuf-es toJsonString', run: () => toJsonString(schema, es) },
      { name: 'protobufjs/ext/protojson toJsonString', run: () => protojson.toJsonString(type, message) }
    ]
  }
}

/** V8 joins the pieces of a text when somebody looks into it. */
function flat (text: string): string {
  return text.charCodeAt(text.length - 1) === 0 ? '' : text
}

function schemaOf (proto: string, name: string): DescMessage {
  const set = join(mkdtempSync(join(tmpdir(), 'bench-')), 'set.binpb')
  execFileSync(fileURLToPath(new URL('node_modules/.bin/buf', packageRoot)), ['build', dirname(proto), '--path', proto, '-o', set], { cwd: dirname(proto) })
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(set)))
  return registry.getMessage(name) ?? (() => { throw new Error(`${basename(proto)} defines no ${name}`) })()
}

const only = process.argv.slice(2)
const ROUNDS = 31
const ROUND_MS = 12

/** Nanoseconds for one run of each row, by round. Rows take turns. */
function measure (rows: readonly Row[]): number[][] {
  const counts = rows.map(({ run }) => {
    let count = 0
    const end = performance.now() + 150
    for (; performance.now() < end; count++) sink = run()
    return Math.max(1, Math.round(count * ROUND_MS / 150))
  })
  return Array.from({ length: ROUNDS }, () => rows.map(({ run }, i) => {
    const start = process.hrtime.bigint()
    for (let n = counts[i]!; n > 0; n--) sink = run()
    return Number(process.hrtime.bigint() - start) / counts[i]!
  }))
}

/** Keeps results from being optimized away. */
export let sink: unknown

console.log(`Node ${process.version}; ${ROUNDS} rounds; time ÷ that of the first row, median [quartiles]`)
for (const subject of subjects.filter(({ name }) => only.length === 0 || only.some(part => name.includes(part)))) {
  for (const [direction, rows] of Object.entries(rowsOf(subject))) {
    const rounds = measure(rows)
    console.log(`\n${direction} ${subject.name}`)
    rows.forEach(({ name }, i) => {
      console.log(`  ${name.padEnd(42)}${median(rounds.map(round => round[i]! / 1000)).toFixed(2).padStart(9)} µs   ${spread(rounds.map(round => round[i]! / round[0]!))}`)
    })
  }
}
