/** One gRPC call as plain HTTP/2, of bytes that are ready to be sent. */
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2'

/** @returns the body of the response; rejects unless the gRPC status is OK */
export function callOverHttp2 (session: ClientHttp2Session, path: string, body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' })
    const chunks: Buffer[] = []
    let status: string | string[] | undefined
    const readStatus = (headers: IncomingHttpHeaders): void => { status ??= headers['grpc-status'] }
    stream.on('response', readStatus)
    stream.on('trailers', readStatus)
    stream.on('data', chunk => chunks.push(chunk))
    stream.on('error', reject)
    stream.on('end', () => status === '0' ? resolve(Buffer.concat(chunks)) : reject(new Error(`The gRPC status of ${path} is ${status}`)))
    stream.end(body)
  })
}
