/** Key, certificate and authorities: read from files, and checked to work together. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { configurationErrors } from '../errors.ts'
import type { TlsOptions } from './options.ts'

const NAMES = ['key', 'cert', 'ca'] as const

export interface Pems {
  readonly key: Buffer
  readonly cert: Buffer
  readonly ca?: Buffer
}

/** The path that an option names; undefined when it is the PEM itself. */
export function pathOf (value: string | Buffer): string | undefined {
  return typeof value === 'string' && !value.includes('-----BEGIN ') ? value : undefined
}

/** @throws FGG_ERR_TLS, naming the option, when a file cannot be read or holds no usable PEM */
export function readPems (options: TlsOptions): Pems {
  return checkedPems(sourcesOf(options).map(({ name, path, pem }) => {
    try {
      return [name, path === undefined ? pem : readFileSync(path)]
    } catch (error) {
      throw unreadable(name, path, error)
    }
  }))
}

/** As `readPems`, without blocking. */
export async function readPemsLater (options: TlsOptions): Promise<Pems> {
  return checkedPems(await Promise.all(sourcesOf(options).map(async ({ name, path, pem }): Promise<[string, Buffer]> => {
    try {
      return [name, path === undefined ? pem : await readFile(path)]
    } catch (error) {
      throw unreadable(name, path, error)
    }
  })))
}

type Source = { readonly name: string } & ({ readonly path: string, readonly pem?: never } | { readonly path: undefined, readonly pem: Buffer })

function sourcesOf (options: TlsOptions): Source[] {
  return NAMES.flatMap((name): Source[] => {
    const value = options[name]
    if (value === undefined) return []
    const path = pathOf(value)
    return [path === undefined ? { name, path, pem: Buffer.from(value) } : { name, path }]
  })
}

function unreadable (name: string, path: string | undefined, error: unknown): Error {
  return new configurationErrors.FGG_ERR_TLS(name, `cannot read ${path}: ${(error as Error).message}`)
}

/** Servers of Node.js and grpc-js find out with the first connection, and tell nobody. */
function checkedPems (entries: Array<[name: string, pem: Buffer]>): Pems {
  const { FGG_ERR_TLS } = configurationErrors
  const pems = Object.fromEntries(entries) as unknown as Pems
  for (const name of NAMES) {
    const text = pems[name]?.toString('latin1')
    if (text !== undefined && countOf(text, '-----BEGIN ') !== countOf(text, '-----END ')) throw new FGG_ERR_TLS(name, 'is cut off: a PEM block has no end')
  }
  const key = parsed('key', () => createPrivateKey(pems.key))
  const certificate = parsed('cert', () => new X509Certificate(pems.cert))
  if (pems.ca !== undefined) parsed('ca', () => new X509Certificate(pems.ca!))
  if (!certificate.checkPrivateKey(key)) throw new FGG_ERR_TLS('key', 'key and certificate do not work together')
  parsed('cert', () => createSecureContext({ ...pems }))
  return pems
}

function parsed<T> (name: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new configurationErrors.FGG_ERR_TLS(name, `is not usable: ${(error as Error).message}`)
  }
}

function countOf (text: string, part: string): number {
  return text.split(part).length - 1
}

export function samePems (a: Pems, b: Pems): boolean {
  return NAMES.every(name => a[name] === undefined || a[name].equals(b[name]!))
}
