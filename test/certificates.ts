/** Authorities, certificates and TLS clients for tests. */
import { connect as connectHttp2 } from 'node:http2'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { generate, type CertificateExtension } from 'selfsigned'

export interface Pair { key: string, cert: string }

export function authority (name = 'Test CA'): Promise<Pair> {
  return pair(name, [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true }
  ])
}

/** For `localhost` and 127.0.0.1; the name tells one from another. */
export function serverPair (ca: Pair, name: string): Promise<Pair> {
  return pair(name, [
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }, { type: 7, ip: '127.0.0.1' }, { type: 7, ip: '::1' }] }
  ], ca)
}

export function clientPair (ca: Pair, name: string): Promise<Pair> {
  return pair(name, [{ name: 'extKeyUsage', clientAuth: true }], ca)
}

async function pair (commonName: string, extensions: CertificateExtension[], ca?: Pair): Promise<Pair> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: commonName }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notAfterDate: new Date(Date.now() + 24 * 3_600_000),
    extensions,
    ...(ca === undefined ? {} : { ca })
  })
  return { key, cert }
}

/** A handshake; rejects when the server, or the client, refuses it. */
export function handshake (port: number, options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ...options }, () => resolve(socket))
    socket.on('error', reject)
  })
}

/** The name in the certificate that the server shows to a new connection. */
export async function shownName (port: number, options: ConnectionOptions): Promise<string> {
  const socket = await handshake(port, options)
  const { subject } = socket.getPeerCertificate()
  socket.destroy()
  return String(subject.CN)
}

export interface Reply { status: number, text: string }

/** POSTs JSON over HTTPS, by HTTP/1.1. */
export function postHttps (port: number, path: string, body: string, options: RequestOptions): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({ host: '127.0.0.1', port, path, method: 'POST', headers: { 'content-type': 'application/json' }, ...options }, response => {
      let text = ''
      response.on('data', chunk => { text += chunk }).on('error', reject).on('end', () => resolve({ status: response.statusCode!, text }))
    })
    request.on('error', reject).end(body)
  })
}

/** POSTs JSON by HTTP/2, over a connection of its own; with TLS when there are options for it. */
export function postHttp2 (port: number, path: string, body: string, tls?: ConnectionOptions): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const session = tls === undefined ? connectHttp2(`http://127.0.0.1:${port}`) : connectHttp2(`https://127.0.0.1:${port}`, { servername: 'localhost', ...tls })
    const stream = session.on('error', reject).request({ ':path': path, ':method': 'POST', 'content-type': 'application/json' })
    let status = 0
    let text = ''
    stream.on('response', headers => { status = headers[':status']! })
    stream.on('error', reject).on('data', chunk => { text += chunk }).on('close', () => {
      session.close()
      if (status === 0) reject(new Error('No response'))
      resolve({ status, text })
    })
    stream.end(body)
  })
}
