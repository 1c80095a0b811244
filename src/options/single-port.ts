/** What `singlePort` of `listen` forbids. */
import { configurationErrors } from '../errors.ts'
import type { GatewayOptions } from './options.ts'

interface ListenOptions {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly path?: string | undefined
  readonly tls?: unknown
  readonly fastify?: object | undefined
}

/** What there is only one of, because of the one port. */
const ONCE = ['host', 'port'] as const
/** Options of an app that decide on its server. */
const OF_SERVER = ['http2', 'https', 'serverFactory']

/**
 * @param isSingle the option
 * @param listen options of `listen`
 * @param gateway options of the gateway, without defaults
 * @throws FGG_ERR_LISTEN_OPTION, naming the option
 */
export function checkSinglePort (isSingle: unknown, listen: ListenOptions, gateway: Pick<GatewayOptions, 'host' | 'port' | 'tls' | 'serverCredentials'>): void {
  const wrong = (option: string, problem: string): Error => new configurationErrors.FGG_ERR_LISTEN_OPTION(option, problem)
  if (typeof isSingle !== 'boolean') throw wrong('singlePort', 'must be true or false')
  if (!isSingle) return
  for (const name of ONCE) {
    if (listen[name] !== undefined && gateway[name] !== undefined && listen[name] !== gateway[name]) {
      throw wrong(name, `is ${listen[name]} and that of the gateway ${gateway[name]}, yet with \`singlePort\` there is only one`)
    }
  }
  if (listen.path !== undefined) throw wrong('path', 'cannot be given with `singlePort`, which needs a port')
  if (gateway.serverCredentials !== undefined) throw wrong('singlePort', 'needs the option `tls` of the gateway in place of `serverCredentials`, which only grpc-js can read')
  if (gateway.tls !== undefined && (listen.tls === false || typeof listen.tls === 'object')) throw wrong('tls', 'must be that of the gateway with `singlePort`: leave it out')
  for (const name of OF_SERVER) {
    if ((listen.fastify as Record<string, unknown> | undefined)?.[name] !== undefined) throw wrong(`fastify.${name}`, 'cannot be given with `singlePort`, which makes the server. It speaks HTTP/2, and HTTPS with `tls`')
  }
}
