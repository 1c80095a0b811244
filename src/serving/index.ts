/** The public names of `fastify-grpc-gateway/serving`: what serves models. */
export { multiplexed, multiplexedModelId, type Multiplexed, type MultiplexedOptions } from './multiplexed.ts'
export { fallback, type Attempt, type FallbackOptions } from './fallback.ts'
export { variations, type FromCall, type Variation, type Variations, type VariationsOptions } from './variations.ts'
export { createPredictClient, type PredictCallOptions, type PredictClient } from './predict/client.ts'
export { GrpcIngress } from './predict/ingress.ts'
export { predictService, type Predict, type PredictServiceOptions } from './predict/service.ts'
