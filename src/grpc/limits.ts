/** The limits of a gateway as grpc-js has them. */
import { EventEmitter } from 'node:events'
import type { ServerHttp2Session } from 'node:http2'
import type { ChannelOptions, Server } from '@grpc/grpc-js'
import { limitUntaken } from '../call/untaken.ts'

/** Sizes in bytes, times in milliseconds; 0 for none. */
export interface GrpcLimits {
  readonly messageBytes: number
  readonly responseBytes: number
  readonly headerBytes: number
  readonly requestMs: number
  readonly streamIdleMs: number
  readonly connectionAgeMs: number
  readonly connectionIdleMs: number
  readonly streamsPerConnection: number
  readonly keepaliveMs: number
}

export function channelArguments ({ messageBytes, responseBytes, connectionAgeMs, connectionIdleMs, streamsPerConnection, keepaliveMs }: GrpcLimits): ChannelOptions {
  return {
    'grpc.max_receive_message_length': messageBytes,
    'grpc.max_send_message_length': responseBytes === 0 ? -1 : responseBytes,
    ...(connectionAgeMs === 0 ? {} : { 'grpc.max_connection_age_ms': connectionAgeMs }),
    ...(connectionIdleMs === 0 ? {} : { 'grpc.max_connection_idle_ms': connectionIdleMs }),
    ...(streamsPerConnection === 0 ? {} : { 'grpc.max_concurrent_streams': streamsPerConnection }),
    ...(keepaliveMs === 0 ? {} : { 'grpc.keepalive_time_ms': keepaliveMs })
  }
}

/**
 * Cuts off clients that connect and do not begin to speak HTTP/2, and those that do not take what they are sent. grpc-js
 * takes the first for idle, waits for the second, and tells nobody of its HTTP/2 servers but in a field that is not
 * public. Should there be no such field one day, it does so again.
 */
export function limitConnections (server: Server, { requestMs, streamIdleMs }: GrpcLimits): void {
  const { http2Servers } = server as unknown as { http2Servers?: unknown }
  if (!(http2Servers instanceof Map)) return
  for (const http2Server of http2Servers.keys()) {
    if (!(http2Server instanceof EventEmitter)) continue
    limitUntaken(http2Server, streamIdleMs)
    if (requestMs > 0) http2Server.on('session', limitOpening)
  }

  function limitOpening (session: ServerHttp2Session): void {
    const timer = setTimeout(() => session.destroy(), requestMs).unref()
    const begun = (): void => clearTimeout(timer)
    session.once('remoteSettings', begun)
    session.once('close', begun)
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
