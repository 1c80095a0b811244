/**
 * gRPC load without h2load: `node http2-load.js <url> <body file> <seconds>`. Prints how many calls were answered
 * and in how many seconds.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { CONNECTIONS, STREAMS } from './concurrency.ts'
import { callOverHttp2 } from './http2-call.ts'

const [url, bodyFile, seconds] = process.argv.slice(2) as [string, string, string]
const body = readFileSync(bodyFile)
const { pathname } = new URL(url)
const sessions = Array.from({ length: CONNECTIONS }, () => connect(url))
const start = performance.now()
const end = start + Number(seconds) * 1000
let requests = 0

await Promise.all(sessions.flatMap(session => Array.from({ length: STREAMS }, async () => {
  while (performance.now() < end) {
    await callOverHttp2(session, pathname, body)
    requests++
  }
})))
console.log(JSON.stringify({ requests, seconds: (performance.now() - start) / 1000 }))
for (const session of sessions) session.close()
