/** What a server tells of itself on the network: `ray.serve.RayServeAPIService` over gRPC, `/-/` over HTTP. */
import { status as codes, statusName } from '../status.ts'
import { callUnary } from './call/exchange.ts'
import { CommandError, type Values } from './command.ts'
import { credentialsOf, grpcClient, httpGet, isUrl, type TLS_OPTIONS } from './connection.ts'
import { loadPackaged } from './packaged-protos.ts'

type TlsValues = Values<typeof TLS_OPTIONS>

export interface Health {
  readonly isWell: boolean
  /** `success`, or why it is not well. */
  readonly text: string
}

/** Of a server of applications, or of a plain gateway. */
export async function healthOf (address: string, tls: TlsValues): Promise<Health> {
  if (isUrl(address)) {
    const ray = await httpGet(address, '/-/healthz')
    const { status, text } = ray.status === 404 ? await httpGet(address, '/readyz') : ray
    return { isWell: status === 200, text: text.trim() }
  }
  const client = grpcClient(address, credentialsOf(tls))
  try {
    const ray = await callUnary(client, loadPackaged('ray/serve.proto', 'ray.serve.RayServeAPIService').Healthz!, {})
    if (ray.code !== codes.UNIMPLEMENTED) return ray.code === codes.OK ? { isWell: true, text: String(ray.message!.message) } : { isWell: false, text: ray.details }
    const { code, details, message } = await callUnary(client, loadPackaged('grpc/health/v1/health.proto', 'grpc.health.v1.Health').Check!, {})
    if (code !== codes.OK) return { isWell: false, text: `${statusName(code)}: ${details}` }
    const text = String(message!.status)
    return { isWell: text === 'SERVING', text }
  } finally {
    client.close()
  }
}

/** The names of applications, with their prefixes where those are told. @throws CommandError when the server does not tell */
export async function applicationsOf (address: string, tls: TlsValues): Promise<Array<{ name: string, routePrefix?: string }>> {
  if (isUrl(address)) {
    const { status, text } = await httpGet(address, '/-/routes')
    if (status !== 200) throw new CommandError(text.trim())
    return Object.entries(JSON.parse(text) as Record<string, string>).map(([routePrefix, name]) => ({ name, routePrefix }))
  }
  const client = grpcClient(address, credentialsOf(tls))
  try {
    const { code, details, message } = await callUnary(client, loadPackaged('ray/serve.proto', 'ray.serve.RayServeAPIService').ListApplications!, {})
    if (code !== codes.OK) throw new CommandError(details)
    return (message!.applicationNames as string[]).map(name => ({ name }))
  } finally {
    client.close()
  }
}
