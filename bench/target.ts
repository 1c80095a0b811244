/** What is sent to a server, and the check that it answers right. */
import assert from 'node:assert/strict'
import { connect } from 'node:http2'
import type { Protocol } from './cases.ts'
import { callOverHttp2 } from './http2-call.ts'
import type { Message } from './messages.ts'
import { loadService } from './servers/start-grpc-js.ts'

/** Requests to one server, all with the same message. */
export interface Target {
  readonly url: string
  readonly body: Buffer
}

export function targetOf (protocol: Protocol, port: number, message: Message): Target {
  const origin = `http://127.0.0.1:${port}`
  if (protocol === 'http') return { url: origin + message.url, body: Buffer.from(JSON.stringify(message.request)) }
  const { path, requestSerialize } = methodOf(message)
  return { url: origin + path, body: framed(requestSerialize(message.request)) }
}

/** @throws when the server gives another answer than the message's */
export async function verify (protocol: Protocol, { url, body }: Target, message: Message): Promise<void> {
  if (protocol === 'http') {
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    assert.equal(response.status, 200)
    assert.deepEqual(await response.json(), message.response)
    return
  }
  const { responseSerialize, responseDeserialize } = methodOf(message)
  const session = connect(url)
  try {
    const answer = await callOverHttp2(session, new URL(url).pathname, body)
    const bytes = answer.subarray(PREFIX)
    assert.deepEqual(answer, framed(bytes))
    assert.deepEqual(responseDeserialize(bytes), responseDeserialize(responseSerialize(message.response)))
  } finally {
    session.close()
  }
}

function methodOf (message: Message) {
  return loadService(message, { longs: String, enums: String, bytes: String }).service[message.rpc]!
}

const PREFIX = 5

/** A gRPC message on the wire: not compressed, its length, its bytes. */
export function framed (bytes: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX)
  prefix.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([prefix, bytes])
}
