/** Who calls, as the `authenticate` of the gateway says. */

/**
 * Gives `context.principal` its type, for all gateways of a program.
 *
 * @example
 * declare module 'fastify-grpc-gateway' {
 *   interface GatewayTypes { principal: { id: string, isAdmin: boolean } }
 * }
 */
export interface GatewayTypes {}

/** What `authenticate` returns: what {@link GatewayTypes} says, else `unknown`. */
export type Principal = GatewayTypes extends { principal: infer T } ? T : unknown
