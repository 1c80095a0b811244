/** Services that the gateway itself offers, over gRPC only: they have no HTTP routes. */
import { Admission } from '../call/admission.ts'
import { UNLIMITED } from '../call/call-times.ts'
import { collectRegistrations, type ImplementedService } from '../call/registration.ts'
import { bindServices, type BindingOptions, type ServedService } from '../call/served-service.ts'
import { serviceDescriber, serviceNameOf } from '../schema/from-definition.ts'

/** Health and reflection answer when nothing else does. */
const unlimited = new Admission([])

/**
 * Binds built-in services. Where a user has registered a service of the same name, that one is served.
 *
 * @param own the services that users have registered
 */
export function bindBuiltIn (services: readonly ImplementedService[], own: readonly ServedService[], options: Pick<BindingOptions, 'errors' | 'openCalls' | 'gateOf'>): readonly ServedService[] {
  const taken = new Set(own.map(({ service }) => service.fullName))
  const registrations = collectRegistrations(services).filter(({ definition }) => !taken.has(serviceNameOf(definition)))
  return bindServices(registrations, { ...options, describe: serviceDescriber(), typeRoots: [], builtIn: true, admissionOf: () => unlimited, timesOf: () => UNLIMITED }).services
}
