/** Services whose methods are those of applications: which one answers is decided by each call. */
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { CallContext } from '../call/context.ts'
import { implement, type ImplementedService } from '../call/registration.ts'
import type { Applications } from './applications.ts'

/** The metadata in which Ray's clients give the id of a request, and find it again. */
const REQUEST_ID = 'request_id'

export function routedService (definition: ServiceDefinition, applications: Applications): ImplementedService {
  const handlers = Object.entries(definition).map(([key, { path, responseStream }]) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const handler = responseStream
      ? (request: unknown, context: CallContext) => routed(applications, context).stream(name, request, context)
      : (request: unknown, context: CallContext) => routed(applications, context).call(name, request, context)
    return [key, handler]
  })
  return implement(definition as never, Object.fromEntries(handlers) as never)
}

function routed (applications: Applications, context: CallContext): ReturnType<Applications['named']>['ingress'] {
  // Over HTTP, every reply has it as a header.
  if (context.protocol === 'grpc') context.trailers.set(REQUEST_ID, context.requestId)
  return applications.named(context.application).ingress
}
