/**
 * What browsers of other origins need to be allowed, for @fastify/cors.
 *
 * @see https://fetch.spec.whatwg.org/#http-cors-protocol
 */

/**
 * Options of @fastify/cors: the methods that routes may have, the request headers that mean something to a gateway,
 * and the response headers that tell something. CORS knows no patterns: trailing metadata of your own,
 * `grpc-trailer-x`, and headers of your own go beside them.
 *
 * @example
 * app.register(cors, { origin: 'https://app.example.com', ...corsHeaders })
 */
export const corsHeaders: { methods: string[], allowedHeaders: string[], exposedHeaders: string[] } = {
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'QUERY'],
  allowedHeaders: [
    'accept', 'application', 'authorization', 'content-type', 'grpc-timeout', 'last-event-id', 'multiplexed_model_id', 'traceparent', 'tracestate',
    'x-request-id', 'x-request-timeout-seconds'
  ],
  exposedHeaders: ['grpc-message', 'grpc-status', 'grpc-status-details-bin', 'retry-after', 'www-authenticate', 'x-request-id']
}
