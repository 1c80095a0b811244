/** The house rules: imports point downward, in no circles; files stay small. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** From top to bottom. A file may import from its own layer and from those below. */
const LAYERS = ['index', 'cli', 'serving', 'gateway', 'plugin', 'options', 'grpc', 'rest', 'telemetry', 'auth', 'health', 'tls', 'cluster', 'call', 'json', 'schema', 'errors', 'signals', 'status']

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
const sources = new Map(files.map(file => [file, readFileSync(join(src, file), 'utf8')]))

function importsOf (file: string, kind: 'all' | 'values'): string[] {
  const statements = [...sources.get(file)!.matchAll(/^(import|export) (type )?[^;]*?from '(\.[^']+)'/gm), ...sources.get(file)!.matchAll(/^(import)( )'(\.[^']+)'/gm)]
  return statements.filter(([, , type]) => kind === 'all' || type !== 'type ').map(([, , , path]) => relative(src, join(src, dirname(file), path!)))
}

function layerOf (file: string): string {
  return file.split('/')[0]!.replace(/\.ts$/, '')
}

t.test('every file belongs to a layer', async t => {
  for (const file of files) t.ok(LAYERS.includes(layerOf(file)), file)
})

t.test('imports exist and point to the same layer or downward', async t => {
  for (const file of files) {
    for (const imported of importsOf(file, 'all')) {
      t.ok(sources.has(imported), `${file} imports ${imported}`)
      t.ok(LAYERS.indexOf(layerOf(imported)) >= LAYERS.indexOf(layerOf(file)), `${file} → ${imported}`)
    }
  }
})

t.test('no circle of imports', async t => {
  const done = new Set<string>()
  function visit (file: string, path: readonly string[]): void {
    if (path.includes(file)) t.fail(`circle: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`)
    if (path.includes(file) || done.has(file)) return
    for (const imported of importsOf(file, 'values')) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  t.equal(done.size, files.length)
})

t.test('files stay readable', async t => {
  for (const [file, source] of sources) t.ok(source.split('\n').length <= 350, `${file} has ${source.split('\n').length} lines`)
  for (const [file, source] of sources) t.match(source, /^(?:#!.*\n)?\/\*\*/, `${file} begins by saying what it holds`)
})
