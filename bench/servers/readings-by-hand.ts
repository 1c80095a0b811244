/** What one would write on node:http who wants streams to be fast. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { list, listSync, urls, type Reading } from '../readings.ts'
import { announce } from '../server-process.ts'

const BATCH_SIZE = 16 * 1024

const server = createServer(async (request, response) => {
  switch (request.url) {
    case urls.list:
      return await sendLater(list(await bodyOf(request)), response)
    case urls.listSync:
      return await send(listSync(await bodyOf(request)), response)
    default: {
      const count = request.headers['content-type'] === 'application/x-ndjson' ? await countLines(request) : countValid(await bodyOf(request))
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ count }))
    }
  }
})

async function bodyOf (request: IncomingMessage) {
  request.setEncoding('utf8')
  let text = ''
  request.on('data', chunk => { text += chunk })
  await once(request, 'end')
  return JSON.parse(text)
}

async function sendLater (readings: AsyncIterable<object>, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  let batch = ''
  for await (const reading of readings) {
    batch += `${JSON.stringify(reading)}\n`
    if (batch.length < BATCH_SIZE) continue
    if (!response.write(batch)) await once(response, 'drain')
    batch = ''
  }
  response.end(batch)
}

async function send (readings: Iterable<object>, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  let batch = ''
  for (const reading of readings) {
    batch += `${JSON.stringify(reading)}\n`
    if (batch.length < BATCH_SIZE) continue
    if (!response.write(batch)) await once(response, 'drain')
    batch = ''
  }
  response.end(batch)
}

/** Nothing but splitting and JSON.parse. */
async function countLines (request: IncomingMessage): Promise<number> {
  request.setEncoding('utf8')
  let count = 0
  let rest = ''
  request.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const line of lines) if ((JSON.parse(line) as Reading).valid) count++
  })
  await once(request, 'end')
  return count
}

function countValid (readings: readonly Reading[]): number {
  let count = 0
  for (const { valid } of readings) if (valid) count++
  return count
}

server.listen(0, '127.0.0.1', () => announce({ http: (server.address() as AddressInfo).port }))
