/** Fastify routes that send a stream of lines, as its documentation has it. */
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import { list, listSync, urls, type Query } from '../readings.ts'
import { announce } from '../server-process.ts'

async function * linesLater (readings: AsyncIterable<object>): AsyncGenerator<string> {
  for await (const reading of readings) yield `${JSON.stringify(reading)}\n`
}

function * lines (readings: Iterable<object>): Generator<string> {
  for (const reading of readings) yield `${JSON.stringify(reading)}\n`
}

const app = Fastify()
app.post(urls.list, (request, reply) => reply.type('application/x-ndjson').send(Readable.from(linesLater(list(request.body as Query)))))
app.post(urls.listSync, (request, reply) => reply.type('application/x-ndjson').send(Readable.from(lines(listSync(request.body as Query)))))
await app.listen({ host: '127.0.0.1', port: 0 })
announce({ http: (app.server.address() as AddressInfo).port })
