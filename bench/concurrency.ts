/** Of gRPC load; HTTP load has as many connections as this has streams in all. */
export const CONNECTIONS = 8
export const STREAMS = 8
