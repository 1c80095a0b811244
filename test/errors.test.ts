/** How errors look to clients. */
import { Metadata, status as codes } from '@grpc/grpc-js'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { anyPack, AnySchema, StringValueSchema } from '@bufbuild/protobuf/wkt'
import t from 'tap'
import { GrpcError, implement, loadProto, status, type ErrorDetail, type GatewayOptions, type UnaryMethod } from '../src/index.ts'
import { Greeter, recordingLogger, serve } from './serving.ts'

const PATH = '/grpc/greeter/sayhello'

function failing (make: () => unknown): object {
  return implement(Greeter, { SayHello () { throw make() } })
}

t.test('every status code has its HTTP status and name', async t => {
  const expected: Array<[keyof typeof status, number]> = [
    ['CANCELLED', 499], ['UNKNOWN', 500], ['INVALID_ARGUMENT', 400], ['DEADLINE_EXCEEDED', 504], ['NOT_FOUND', 404], ['ALREADY_EXISTS', 409],
    ['PERMISSION_DENIED', 403], ['RESOURCE_EXHAUSTED', 429], ['FAILED_PRECONDITION', 400], ['ABORTED', 409], ['OUT_OF_RANGE', 400],
    ['UNIMPLEMENTED', 501], ['INTERNAL', 500], ['UNAVAILABLE', 503], ['DATA_LOSS', 500], ['UNAUTHENTICATED', 401]
  ]
  const service = implement(Greeter, { SayHello: ({ name }) => { throw new GrpcError(status[name as 'OK'], 'why') } })
  const { post, client } = await serve(t, { services: [service] })
  for (const [name, http] of expected) {
    t.match(await post(PATH, { name }), { status: http, json: { status: http, title: name, code: status[name], detail: 'why' } }, name)
    t.match(await client(Greeter).call('SayHello', { name }), { code: status[name], details: 'why' }, name)
  }
})

t.test('errors.format', async t => {
  const service = failing(() => new GrpcError(status.NOT_FOUND, 'No such book', { errorDetails: [{ '@type': 'google.rpc.ErrorInfo', reason: 'GONE', domain: 'books' }] }))
  const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'GONE', domain: 'books' }]
  const body = async (format?: 'problem' | 'google.rpc' | 'aip-193') => {
    const { post } = await serve(t, { services: [service], errors: { format } })
    const { json, headers } = await post(PATH, {})
    return { json, type: headers.get('content-type')?.split(';')[0] }
  }
  const problem = { json: { status: 404, title: 'NOT_FOUND', detail: 'No such book', code: 5, details }, type: 'application/problem+json' }
  t.same(await body(), problem)
  t.same(await body('problem'), problem)
  t.same(await body('google.rpc'), { json: { code: 5, message: 'No such book', details }, type: 'application/json' })
  t.same(await body('aip-193'), { json: { error: { code: 404, message: 'No such book', status: 'NOT_FOUND', details } }, type: 'application/json' })
})

t.test('without details, `details` is left out, but for google.rpc', async t => {
  for (const [format, json] of [['problem', { status: 409, title: 'ABORTED', detail: 'x', code: 10 }], ['google.rpc', { code: 10, message: 'x', details: [] }], ['aip-193', { error: { code: 409, message: 'x', status: 'ABORTED' } }]] as const) {
    const { post } = await serve(t, { services: [failing(() => new GrpcError(status.ABORTED, 'x'))], errors: { format } })
    t.same((await post(PATH, {})).json, json)
  }
})

t.test('errors.httpStatus chooses HTTP statuses', async t => {
  const options: GatewayOptions = { services: [failing(() => new GrpcError(status.FAILED_PRECONDITION, 'x'))], errors: { httpStatus: code => code === status.FAILED_PRECONDITION ? 412 : undefined } }
  const { post } = await serve(t, options)
  t.match(await post(PATH, {}), { status: 412, json: { status: 412, code: 9 } })
  t.equal((await post(PATH, '{')).status, 400)
})

t.test('errors.expose tells more of unexpected errors, on both protocols', async t => {
  const details = async (expose?: 'none' | 'message' | 'stack') => {
    const { post, client } = await serve(t, { services: [failing(() => new Error('the cause'))], errors: { expose } })
    const { details } = await client(Greeter).call('SayHello', {})
    t.equal((await post(PATH, {})).json.detail.split('\n')[0], details.split('\n')[0])
    return details
  }
  t.equal(await details(), 'Internal error')
  t.equal(await details('none'), 'Internal error')
  t.equal(await details('message'), 'the cause')
  t.match(await details('stack'), /^Error: the cause\n {4}at /)
})

/** Reads grpc-status-details-bin by another implementation of protobuf. */
function anyTypes (trailers: Metadata): string[] {
  const bytes = trailers.get('grpc-status-details-bin')[0] as Buffer
  const types: string[] = []
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at++]!
    if (tag === 0x08) { at++; continue }
    let length = 0
    for (let shift = 0, more = true; more; shift += 7) { more = bytes[at]! > 127; length |= (bytes[at++]! & 127) << shift }
    if (tag === 0x1a) types.push(fromBinary(AnySchema, bytes.subarray(at, at + length)).typeUrl)
    at += length
  }
  return types
}

t.test('details of every google.rpc type, of well-known types and of the service\'s own reach both protocols', async t => {
  const errorDetails: ErrorDetail[] = [
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3.500s' },
    { '@type': 'google.rpc.QuotaFailure', violations: [{ subject: 'user', description: 'too many' }] },
    { '@type': 'google.rpc.BadRequest', fieldViolations: [{ field: 'name', description: 'too short' }] },
    { '@type': 'google.rpc.PreconditionFailure', violations: [{ type: 'TOS', subject: 'a', description: 'b' }] },
    { '@type': 'google.rpc.ErrorInfo', reason: 'R', domain: 'd', metadata: { a: 'b' } },
    { '@type': 'google.rpc.ResourceInfo', resourceType: 'book' },
    { '@type': 'google.rpc.Help', links: [{ description: 'd', url: 'https://example.com' }] },
    { '@type': 'google.rpc.LocalizedMessage', locale: 'de', message: 'Nein' },
    { '@type': 'google.rpc.RequestInfo', requestId: '7' },
    { '@type': 'google.rpc.DebugInfo', detail: 'd' },
    { '@type': 'test.HelloRequest', name: 'Ada' },
    { '@type': 'google.protobuf.Duration', value: '1s' }
  ]
  const { post, client } = await serve(t, { services: [failing(() => new GrpcError(status.ABORTED, 'why', { errorDetails }))] })
  const full = errorDetails.map(detail => ({ ...detail, '@type': detail['@type'].includes('/') ? detail['@type'] : `type.googleapis.com/${detail['@type']}` }))
  t.same((await post(PATH, {})).json.details, full)
  const { trailers } = await client(Greeter).call('SayHello', {})
  t.same(anyTypes(trailers), full.map(detail => detail['@type']))
})

t.test('details that a handler packed itself are read; of an unknown type they stay base64', async t => {
  const known = anyPack(StringValueSchema, create(StringValueSchema, { value: 'hi' }))
  const unknown = create(AnySchema, { typeUrl: 'type.googleapis.com/acme.Unknown', value: new Uint8Array([8, 1]) })
  const any = (message: typeof known): Buffer => Buffer.concat([Buffer.from([0x1a, toBinary(AnySchema, message).length]), toBinary(AnySchema, message)])
  const make = (bytes: Buffer) => failing(() => {
    const metadata = new Metadata()
    metadata.set('grpc-status-details-bin', bytes)
    return { code: status.ABORTED, details: 'why', metadata }
  })
  const { post } = await serve(t, { services: [make(Buffer.concat([Buffer.from([8, 10]), any(known), any(unknown)]))] })
  const { json, headers } = await post(PATH, {})
  t.same(json.details, [
    { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: 'hi' },
    { '@type': 'type.googleapis.com/acme.Unknown', value: 'CAE=' }
  ])
  t.equal(headers.get('grpc-trailer-grpc-status-details-bin'), null)

  const broken = await serve(t, { services: [make(Buffer.from([0xff, 0xff]))] })
  t.match(await broken.post(PATH, {}), { status: 409, json: { detail: 'why', details: [{ value: '//8=' }] } })
})

t.test('a detail that cannot be packed is dropped and logged; the status stays', async t => {
  for (const detail of [{ '@type': 'acme.Unknown', a: 1 }, { '@type': 'google.rpc.ErrorInfo', nope: 1 }]) {
    const logger = recordingLogger()
    const { post, client } = await serve(t, { services: [failing(() => new GrpcError(status.ABORTED, 'why', { errorDetails: [detail] }))], logger })
    t.match(await post(PATH, {}), { status: 409, json: { detail: 'why', details: undefined } })
    t.match(await client(Greeter).call('SayHello', {}), { code: codes.ABORTED, details: 'why' })
    t.equal(logger.lines.filter(({ level }) => level === 'error').length, 2)
  }
})

t.test('a GrpcError has the name of its code where it has no message, and keeps its cause', async t => {
  const cause = new Error('why')
  const error = new GrpcError(status.NOT_FOUND, undefined, { cause })
  t.match(error, { name: 'GrpcError', message: 'NOT_FOUND', details: 'NOT_FOUND', code: 5, cause })
  t.ok(error instanceof Error)
})

t.test('a response that JSON cannot say is INTERNAL over HTTP', async t => {
  interface Query { at: { seconds: string } | null }
  const { Search } = loadProto<{ Search: { Find: UnaryMethod<Query, Query> } }>(new URL('fixtures/search.proto', import.meta.url))
  const logger = recordingLogger()
  const { post } = await serve(t, { services: [implement(Search, { Find: () => ({ at: { seconds: '999999999999999' } }) })], logger })
  t.match(await post('/grpc/search/find', {}), { status: 500, json: { code: 13, detail: /^The response test\.search\.Query is wrong at at: expected a time between the years 1 and 9999/ } })
  t.match(logger.lines.find(({ level }) => level === 'error'), { fields: { err: { message: /at at: expected a time/ } } })
})
