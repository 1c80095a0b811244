/** The limits of a gateway as grpc-js has them. */
import type { ChannelOptions, Server } from '@grpc/grpc-js'

/** Sizes in bytes; 0 for none. */
export interface GrpcLimits {
  readonly messageBytes: number
  readonly responseBytes: number
  readonly headerBytes: number
}

export function channelArguments ({ messageBytes, responseBytes }: GrpcLimits): ChannelOptions {
  return {
    'grpc.max_receive_message_length': messageBytes,
    'grpc.max_send_message_length': responseBytes === 0 ? -1 : responseBytes
  }
}

/**
 * Tells clients how large headers may be. Node.js refuses those that are larger, which clients take for
 * RESOURCE_EXHAUSTED, and knows how large they are without looking at them again. grpc-js has no option for it, but a
 * field that is not public. Should there be no such field one day, the limit is that of Node.js: 64 KiB.
 */
export function limitHeaders (server: Server, { headerBytes }: GrpcLimits): void {
  const { commonServerOptions: options } = server as unknown as { commonServerOptions?: { settings?: object } }
  if (typeof options === 'object') options.settings = { ...options.settings, maxHeaderListSize: headerBytes }
}
