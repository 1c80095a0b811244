/** Request bodies, collected or passed on as they are: what they must be is decided by the route, once it is known. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ClosingConnections } from './closing-connections.ts'
import { http2StreamOf } from './connection.ts'
import type { HttpGateway } from './gateway.ts'
import { HttpStatusError } from './http-status-error.ts'
import { noteArrival } from './observation.ts'
import { endUnreadBody } from './unread-body.ts'

/** Where a body comes from: the request, or what a `preParsing` hook has made of it. */
type Payload = NodeJS.ReadableStream & { receivedEncodedLength?: number }

type BodyLimits = Pick<HttpGateway, 'messageBytes' | 'bodyBytes' | 'lateBodies'>

/** The most bytes that a body with one message may have. */
export function largestBody ({ messageBytes, bodyBytes }: Pick<BodyLimits, 'messageBytes' | 'bodyBytes'>): number {
  return Math.min(messageBytes, bodyBytes)
}

export function collectBodies (scope: FastifyInstance, limits: BodyLimits & Pick<HttpGateway, 'observe'>): void {
  nameTypeOfHttp2(scope)
  scope.removeAllContentTypeParsers()
  // Fastify finds a type that is named sooner than `*`.
  for (const type of ['application/json', '*']) {
    scope.addContentTypeParser(type, (request, payload, done) => {
      if (limits.observe !== undefined) noteArrival(request)
      noticeDecoding(request, payload)
      collect(request, payload, limits, done)
    })
  }
}

/** Leaves bodies to those who read them while they arrive. */
export function passBodies (scope: FastifyInstance, closings: ClosingConnections): void {
  nameTypeOfHttp2(scope)
  scope.removeAllContentTypeParsers()
  scope.addHook('onRequest', (request, reply, done) => {
    endUnreadBody(request, reply, closings)
    done()
  })
  scope.addContentTypeParser('*', (request, payload, done) => {
    noticeDecoding(request, payload)
    // What goes wrong before anybody reads is told to whoever does.
    payload.on('error', () => {})
    done(null, payload)
  })
}

/** What a hook has inflated, as that of @fastify/compress does, is not encoded any more. */
function noticeDecoding (request: FastifyRequest, payload: Payload): void {
  if (payload.receivedEncodedLength !== undefined) delete request.headers['content-encoding']
}

/** Fastify takes an HTTP/2 request without media type and length for one without body, which HTTP/2 does not say. */
function nameTypeOfHttp2 (scope: FastifyInstance): void {
  if (scope.initialConfig.http2 !== true) return
  scope.addHook('onRequest', (request, _reply, done) => {
    if (request.headers['content-type'] === undefined && http2StreamOf(request)?.endAfterHeaders === false) request.headers['content-type'] = 'application/json'
    done()
  })
}

function collect (request: FastifyRequest, payload: Payload, limits: BodyLimits, done: (error: Error | null, body?: Buffer) => void): void {
  const limit = largestBody(limits)
  const announced = request.headers['content-length']
  if (announced !== undefined && Number(announced) > limit) return done(tooLarge(limit))
  const chunks: Buffer[] = []
  let length = 0
  payload.on('data', onData)
  payload.on('end', onEnd)
  payload.on('error', onError)
  payload.resume()
  const hasCome = limits.lateBodies.await(settle)

  function onData (data: Buffer | string): void {
    const chunk = typeof data === 'string' ? Buffer.from(data) : data
    length += chunk.length
    chunks.push(chunk)
    // What a hook inflates may be small on its way.
    if (length > limit || (payload.receivedEncodedLength ?? 0) > limit) settle(tooLarge(limit))
  }

  function onEnd (): void {
    const received = payload.receivedEncodedLength ?? length
    if (announced !== undefined && Number(announced) !== received) settle(new HttpStatusError(400, `The request body has ${received} bytes, which is not its Content-Length`))
    else settle(null)
  }

  function onError (error: Error & { statusCode?: number }): void {
    settle(error.statusCode === undefined ? Object.assign(error, { statusCode: 400 }) : error)
  }

  function settle (error: Error | null): void {
    hasCome()
    payload.removeListener('data', onData)
    payload.removeListener('end', onEnd)
    payload.removeListener('error', onError)
    if (error !== null) done(error)
    else done(null, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length))
  }
}

function tooLarge (limit: number): HttpStatusError {
  return new HttpStatusError(413, `The request body is larger than ${limit} bytes`)
}
