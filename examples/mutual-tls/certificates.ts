/** Makes what mutual TLS needs, for a try: an authority, and certificates that it signs for a server and a client. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generate, type CertificateExtension } from 'selfsigned'

export interface CertificateFiles {
  ca: string
  serverKey: string
  serverCert: string
  clientKey: string
  clientCert: string
}

/** Writes five PEM files into a folder and returns their paths. */
export async function makeCertificates (folder: string): Promise<CertificateFiles> {
  mkdirSync(folder, { recursive: true })
  const authority = await certificate('Example CA', [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true }
  ])
  const server = await certificate('localhost', [
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }, { type: 7, ip: '127.0.0.1' }] }
  ], authority)
  const client = await certificate('billing', [{ name: 'extKeyUsage', clientAuth: true }], authority)

  const write = (name: string, pem: string): string => {
    const path = join(folder, name)
    writeFileSync(path, pem, { mode: 0o600 })
    return path
  }
  return {
    ca: write('ca.pem', authority.cert),
    serverKey: write('server-key.pem', server.key),
    serverCert: write('server.pem', server.cert),
    clientKey: write('client-key.pem', client.key),
    clientCert: write('client.pem', client.cert)
  }
}

interface Pair { key: string, cert: string }

async function certificate (commonName: string, extensions: CertificateExtension[], authority?: Pair): Promise<Pair> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: commonName }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notAfterDate: new Date(Date.now() + 24 * 3_600_000),
    extensions,
    ...(authority === undefined ? {} : { ca: authority })
  })
  return { key, cert }
}
