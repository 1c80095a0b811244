/** The public names of `fastify-grpc-gateway/serving`: what serves models. */
export { multiplexed, multiplexedModelId, type Multiplexed, type MultiplexedOptions } from './multiplexed.ts'
