/** Internal calls over gRPC with mutual TLS, beside plain HTTP for the rest: `npx tsx examples/mutual-tls/main.ts` */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GrpcError, GrpcGateway, implement, status, type CallContext } from '../../src/index.ts'
import { Greeter } from '../helloworld.ts'
import { grpcPort, httpPort, isMain, urlOf } from '../run.ts'
import { makeCertificates, type CertificateFiles } from './certificates.ts'

/** Greets whoever can show a certificate, by the name in it. */
const greeter = implement(Greeter, {
  SayHello: (_request, context) => ({ message: `Hello, ${clientName(context)}!` })
})

function clientName (context: CallContext): string {
  const name = context.authContext.sslPeerCertificate?.subject.CN
  if (name === undefined) throw new GrpcError(status.UNAUTHENTICATED, 'Call over gRPC, with a client certificate')
  return String(name)
}

export function secureGateway (files: CertificateFiles, port: number): GrpcGateway {
  return new GrpcGateway({
    services: [greeter],
    port,
    reflection: true,
    tls: { key: files.serverKey, cert: files.serverCert, ca: files.ca, requireClientCert: true }
  })
}

if (isMain(import.meta.url)) {
  const folder = process.env.CERTIFICATES ?? mkdtempSync(join(tmpdir(), 'mutual-tls-'))
  const gateway = secureGateway(await makeCertificates(folder), grpcPort)
  const app = await gateway.listen({ port: httpPort })
  console.log(`gRPC ${gateway.address}`)
  console.log(`HTTP ${urlOf(app)}`)
  console.log(`Certificates ${folder}`)
}
