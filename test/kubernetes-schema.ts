/** What is wrong with Kubernetes manifests, by the schemas and types of Kubernetes and of Gateway API, without a cluster. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string, [field: string]: unknown }
  [field: string]: any
}

interface Model { validate (): void }

const root = fileURLToPath(new URL('..', import.meta.url))

/** The module that describes a kind. */
function moduleOf ({ apiVersion, kind }: Manifest): string {
  const schemas = apiVersion.startsWith('gateway.') ? '@kubernetes-models/gateway-api' : 'kubernetes-models'
  return `${schemas}/${apiVersion}/${kind}`
}

/** For each manifest, what is wrong with it: nothing when the list is empty. */
export async function problemsOf (manifests: readonly Manifest[]): Promise<string[][]> {
  const unknown = typeProblems(manifests)
  return await Promise.all(manifests.map(async (manifest, i) => [...await valueProblems(manifest), ...unknown[i]!]))
}

/** By the JSON schema: values of a wrong type, format or range, and what is missing. */
async function valueProblems (manifest: Manifest): Promise<string[]> {
  try {
    const models = await import(moduleOf(manifest)) as Record<string, new (data: Manifest) => Model>
    new models[manifest.kind]!(manifest).validate()
    return []
  } catch (error) {
    return [(error as Error).message]
  }
}

/** By the types, each manifest as an object literal: fields that do not exist, which the schemas let through. */
function typeProblems (manifests: readonly Manifest[]): string[][] {
  const sources = new Map(manifests.map((manifest, i) => [
    join(root, `test/manifest-${i}.ts`),
    `import type { I${manifest.kind} } from '${moduleOf(manifest)}'\nexport const manifest: I${manifest.kind} = ${JSON.stringify(manifest)}\n`
  ]))
  const options: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, strict: true, noEmit: true, skipLibCheck: true, lib: ['lib.es2022.d.ts'], types: [] }
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists } = host
  host.fileExists = file => sources.has(file) || fileExists.call(host, file)
  host.getSourceFile = (file, version, ...rest) => {
    const text = sources.get(file)
    return text === undefined ? getSourceFile.call(host, file, version, ...rest) : ts.createSourceFile(file, text, version)
  }
  const program = ts.createProgram([...sources.keys()], options, host)
  return [...sources.keys()].map(file => ts.getPreEmitDiagnostics(program, program.getSourceFile(file))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')))
}
