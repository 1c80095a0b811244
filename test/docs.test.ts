/**
 * The README and the documentation do what they say. In each page, code blocks that begin with the comment
 * `// name` are files; a `js` file is run. An `sh` block runs against the programs that are running. What a block
 * prints stands in the `json` or `text` block that follows it.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { makeCertificates } from '../examples/mutual-tls/certificates.ts'
import { until } from './serving.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map(page => join('docs', page))]

interface Block { language: string, text: string, name: string | undefined }

function blocksOf (page: string): Block[] {
  return [...readFileSync(join(root, page), 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({
    language: language!,
    text: text!,
    name: /^\/\/ (\S+)\n/.exec(text!)?.[1]
  }))
}

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

/** A folder in which the package is installed. */
function projectFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'docs-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/fastify-grpc-gateway'))
  for (const name of ['fastify', '@fastify', '@grpc', '@opentelemetry', 'jose']) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  return folder
}

interface Program { child: ChildProcess, output: string, ended: boolean }

function start (t: Test, folder: string, file: string): Program {
  const child = spawn(process.execPath, [file], { cwd: folder, env: { ...process.env, NODE_OPTIONS: '' } })
  const program: Program = { child, output: '', ended: false }
  const ended = new Promise<void>(resolve => child.once('exit', () => { program.ended = true; resolve() }))
  child.stdout.on('data', chunk => { program.output += chunk })
  child.stderr.on('data', chunk => { program.output += chunk })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return program
}

for (const page of pages) {
  const blocks = blocksOf(page)
  if (!blocks.some(({ language }) => language === 'js')) continue

  t.test(`${page} does what it says`, async t => {
    const folder = projectFolder(t)
    await makeCertificates(join(folder, 'certificates'))
    const ports = { 8000: await freePort(), 50051: await freePort() }
    const onFreePorts = (text: string): string => text.replace(/\b(8000|50051)\b/g, port => String(ports[port as unknown as 8000]))
    writeFileSync(join(folder, 'helloworld.proto'), readFileSync(join(root, 'protos/helloworld.proto')))
    for (const { name, text } of blocks) if (name !== undefined) writeFileSync(join(folder, name), onFreePorts(text))

    let server: Program | undefined
    for (const [i, { language, text, name }] of blocks.entries()) {
      const next = blocks[i + 1]
      const expected = next !== undefined && ['json', 'text'].includes(next.language) ? next.text : undefined
      if (language === 'sh') {
        t.equal(execFileSync('bash', ['-c', onFreePorts(text)], { encoding: 'utf8' }).replaceAll('\r', '').trim(), expected?.trim(), text.trim())
      } else if (language === 'js' && expected !== undefined) {
        const listens = /listen\(/.test(text)
        if (listens || (/\b50051\b/.test(text) && !/localhost:50051/.test(text))) await stop(server)
        const program = start(t, folder, name!)
        if (listens) server = program
        await until(() => program.ended || program.output.endsWith(expected), name!, 60_000)
        t.equal(program.output, expected, name!)
      } else if (language === 'js' && /listen\(/.test(text)) {
        await stop(server)
        server = start(t, folder, name!)
        await listening(ports[8000])
      }
    }
  })
}

async function stop (program: Program | undefined): Promise<void> {
  program?.child.kill('SIGKILL')
  await until(() => program?.ended !== false, 'the end of a program')
}

async function listening (port: number): Promise<void> {
  let up = false
  const poll = setInterval(() => { fetch(`http://localhost:${port}`).then(() => { up = true }, () => {}) }, 50)
  await until(() => up, 'the server of a page', 10_000)
  clearInterval(poll)
}

t.test('links lead somewhere', async t => {
  for (const page of [...pages, 'CONTRIBUTING.md', 'CHANGELOG.md']) {
    for (const [, target] of readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      t.ok(existsSync(join(root, dirname(page), target!)), `${page}: ${target}`)
    }
  }
})

t.test('every js block is a file, so that it is run', async t => {
  for (const page of pages) for (const { language, name } of blocksOf(page)) if (language === 'js') t.ok(name, page)
})
