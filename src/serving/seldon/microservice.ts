/** One model as a service of its own, which knows no clients: for a server that does, and asks it by `remoteModel`. */
import type { ImplementedService } from '../../call/registration.ts'
import type { SeldonTypes } from './clients.ts'
import type { Strategy } from './model.ts'
import { seldonService } from './service.ts'

/**
 * The services `Classifier` and `Seldon` around a model. Whoever reaches them may call, unless the gateway says otherwise.
 *
 * @throws FGG_ERR_SELDON for a type that is not defined
 *
 * @example
 * const gateway = new GrpcGateway({ services: classifierMicroservice(model, { request: 'io.seldon.microservice.iris.IrisPredictRequest' }), port: 5000 })
 */
export function classifierMicroservice (model: Strategy, types: SeldonTypes = {}): readonly ImplementedService[] {
  return seldonService({ default: { model, types }, clientOf: () => 'microservice' }).services
}
