/** What the examples share: ports, and an orderly end. */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** `GRPC_PORT` and `HTTP_PORT` of the environment; 0 is any free port. */
export const grpcPort = Number(process.env.GRPC_PORT ?? 50051)
export const httpPort = Number(process.env.HTTP_PORT ?? 8000)

/** Whether the module was started by itself, not imported by a test or another example. */
export function isMain (moduleUrl: string): boolean {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(moduleUrl)
}

/** Of an app that is not made by `gateway.listen()`: on SIGTERM and Ctrl-C, closes; open calls are finished first. */
export function closeOnSignal (server: { close (): Promise<unknown> }): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      server.close().then(() => process.exit(0), error => {
        console.error(error)
        process.exit(1)
      })
    })
  }
}

/** The address at which an app listens, as a URL. */
export function urlOf (app: { server: { address (): unknown } }): string {
  const { address, family, port } = app.server.address() as { address: string, family: string, port: number }
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
