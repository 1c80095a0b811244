/** Endless streams to clients that connect and never read: the memory of the server must not grow. See README.md. */
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'
import { urls } from './readings.ts'
import { startServer, type ServerProcess } from './server-process.ts'

const MOST_GROWTH_MIB = 64
const WARMUP_MS = 3000
const EACH_MS = 250

/** A way to call the service. */
interface Form {
  readonly name: string
  readonly http: 'http1' | 'http2'
  /** @param reads whether the client reads what comes. @returns what cuts the connection off */
  readonly open: (port: number, reads: boolean) => () => void
}

function overHttp (accept: string): Form['open'] {
  return (port, reads) => {
    const socket = connect(port, '127.0.0.1')
    if (reads) socket.resume()
    else socket.pause()
    socket.write(`POST ${urls.list} HTTP/1.1\r\nhost: localhost\r\naccept: ${accept}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`)
    return () => socket.destroy()
  }
}

const forms: readonly Form[] = [
  { name: 'NDJSON', http: 'http1', open: overHttp('application/x-ndjson') },
  { name: 'server-sent events', http: 'http1', open: overHttp('text/event-stream') },
  { name: 'JSON array', http: 'http1', open: overHttp('application/json') },
  {
    name: 'NDJSON over HTTP/2',
    http: 'http2',
    open (port, reads) {
      const session = connectHttp2(`http://127.0.0.1:${port}`)
      const stream = session.request({ ':method': 'POST', ':path': urls.list, 'content-type': 'application/json' })
      if (reads) stream.resume()
      stream.end('{}')
      return () => session.destroy()
    }
  },
  {
    name: 'WebSocket, JSON',
    http: 'http1',
    open (port, reads) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}${urls.list}`)
      socket.on('open', () => {
        socket.send('{}')
        if (!reads) socket.pause()
      })
      return () => socket.terminate()
    }
  }
]

interface Growth {
  /** In MiB. */
  readonly before: number
  readonly highest: number
  /** How many messages were produced for the client that reads nothing. */
  readonly produced: number
  /** How many of them in the second half of the time. */
  readonly producedLate: number
}

async function soak ({ name, http, open }: Form, seconds: number): Promise<Growth> {
  const server = await startServer('endless', [http], undefined)
  try {
    const close = open(server.ports.http!, true)
    await sleep(WARMUP_MS)
    close()
    await sleep(EACH_MS)
    const start = await usageOf(server, true)
    if (start.produced === 0) throw new Error(`${name}: the server has sent nothing to a client that reads`)
    const closeUnread = open(server.ports.http!, false)
    let highest = start.memory
    let last = start
    let halfway = start
    const begin = performance.now()
    for (let elapsed = 0; elapsed < seconds * 1000; elapsed = performance.now() - begin) {
      await sleep(EACH_MS)
      last = await usageOf(server)
      if (elapsed < seconds * 500) halfway = last
      highest = Math.max(highest, last.memory)
    }
    closeUnread()
    if (last.produced === start.produced) throw new Error(`${name}: the server has sent nothing`)
    return { before: start.memory / 2 ** 20, highest: highest / 2 ** 20, produced: last.produced - start.produced, producedLate: last.produced - halfway.produced }
  } finally {
    server.stop()
  }
}

const NO_ANSWER_MS = 20_000

/** A server that writes without end, and without a turn for anything else, does not answer. */
async function usageOf (server: ServerProcess, afterCollection = false): ReturnType<ServerProcess['usage']> {
  const late = sleep(NO_ANSWER_MS, undefined, { ref: false }).then(() => { throw new Error('The server does nothing but write') })
  return await Promise.race([server.usage(afterCollection), late])
}

const { values: { seconds: text, only, help } } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    only: { type: 'string', multiple: true, default: [''] },
    help: { type: 'boolean', default: false }
  }
})
const seconds = Number(text)
const selected = forms.filter(({ name }) => only.some(part => name.includes(part)))
if (help || !(seconds > 0) || selected.length === 0) {
  console.log(`Usage: npm run soak -- [options]

  --seconds <n>    how long each client does not read (default 60); all of them at once
  --only <form>    ${forms.map(({ name }) => name).join('; ')}, or a part of such a name; may be repeated
  --help           this text`)
  process.exitCode = help ? 0 : 1
} else {
  console.log(`Node ${process.version}; ${seconds} s; resident memory of the server in MiB, which may grow by ${MOST_GROWTH_MIB}\n`)
  console.log(`${'a client that never reads'.padEnd(28)}${'before'.padStart(8)}${'highest'.padStart(9)}${'growth'.padStart(8)}${'messages'.padStart(10)}${'of late'.padStart(9)}`)
  const outcomes = await Promise.allSettled(selected.map(form => soak(form, seconds)))
  outcomes.forEach((outcome, i) => {
    const { name } = selected[i]!
    if (outcome.status === 'rejected') {
      console.log(`${name.padEnd(28)}${String(outcome.reason)}`)
      process.exitCode = 1
      return
    }
    const { before, highest, produced, producedLate } = outcome.value
    const isOk = highest - before <= MOST_GROWTH_MIB
    if (!isOk) process.exitCode = 1
    console.log(`${name.padEnd(28)}${before.toFixed(1).padStart(8)}${highest.toFixed(1).padStart(9)}${(highest - before).toFixed(1).padStart(8)}${String(produced).padStart(10)}${String(producedLate).padStart(9)}   ${isOk ? 'ok' : 'TOO MUCH'}`)
  })
}
