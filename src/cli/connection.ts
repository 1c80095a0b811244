/** How the command reaches servers by gRPC and HTTP. */
import { readFileSync } from 'node:fs'
import { Client, credentials, type ChannelCredentials } from '@grpc/grpc-js'
import { CommandError, UsageError, type OptionSpecs, type Values } from './command.ts'

export const TLS_OPTIONS = {
  plaintext: { type: 'boolean', help: 'Use no TLS. Default' },
  tls: { type: 'boolean', help: 'Use TLS. Default with --cacert, --cert or --key' },
  cacert: { type: 'string', value: 'file', help: 'The authorities of the server, in PEM. Default those of Node.js' },
  cert: { type: 'string', value: 'file', help: 'A certificate of yours, in PEM' },
  key: { type: 'string', value: 'file', help: 'Its key, in PEM' }
} as const satisfies OptionSpecs

/** @throws UsageError; CommandError for a file that cannot be read */
export function credentialsOf ({ plaintext = false, tls, cacert, cert, key }: Values<typeof TLS_OPTIONS>): ChannelCredentials {
  const isSecure = tls ?? [cacert, cert, key].some(file => file !== undefined)
  if (plaintext && isSecure) throw new UsageError('--plaintext does not go together with TLS')
  if ((cert === undefined) !== (key === undefined)) throw new UsageError('--cert and --key go together')
  if (!isSecure) return credentials.createInsecure()
  const [authorities, privateKey, chain] = [cacert, key, cert].map(file => file === undefined ? null : pem(file))
  try {
    return credentials.createSsl(authorities, privateKey, chain)
  } catch (error) {
    throw new CommandError(`The certificates cannot be used: ${(error as Error).message}`)
  }
}

function pem (file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new CommandError((error as Error).message)
  }
}

export function grpcClient (address: string, channelCredentials: ChannelCredentials): Client {
  return new Client(address, channelCredentials, { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, 'grpc.enable_retries': 0 })
}

/** Whether an address is a URL, and not the `host:port` of gRPC. @throws UsageError when it is neither */
export function isUrl (address: string): boolean {
  if (/^https?:\/\/./.test(address) && URL.canParse(address)) return true
  if (/^[^\s/]+:\d+$/.test(address)) return false
  throw new UsageError(`--address must be a URL for HTTP, or host:port for gRPC, not ${address}`)
}

export interface Reply {
  readonly status: number
  readonly text: string
}

/** @throws CommandError when nobody answers */
export async function httpGet (address: string, path: string): Promise<Reply> {
  try {
    const reply = await fetch(`${address.replace(/\/+$/, '')}${path}`)
    return { status: reply.status, text: await reply.text() }
  } catch (error) {
    const { cause, message } = error as Error
    throw new CommandError(`Cannot reach ${address}: ${(cause as Error | undefined)?.message || (cause as NodeJS.ErrnoException | undefined)?.code || message}`)
  }
}
