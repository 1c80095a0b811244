/** Services whose methods are those of applications: which one answers is decided by each call. */
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { CallContext } from '../call/context.ts'
import { implement, type ImplementedService } from '../call/registration.ts'
import type { Applications } from './applications.ts'
import { APPLICATION } from './route-prefixes.ts'
import type { RunningDeployment } from './running-deployment.ts'

/** The metadata in which Ray's clients give the id of a request, and find it again. */
const REQUEST_ID = 'request_id'

export function routedService (definition: ServiceDefinition, applications: Applications): ImplementedService {
  const handlers = Object.entries(definition).map(([key, { path, responseStream }]) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const handler = responseStream
      ? (request: unknown, context: CallContext) => ingressFor(applications, context).stream(name, request, context)
      : (request: unknown, context: CallContext) => ingressFor(applications, context).call(name, request, context)
    return [key, handler]
  })
  return implement(definition as never, Object.fromEntries(handlers) as never)
}

/** Over HTTP, the header is read as it came, and every reply has the request id as one: metadata are made only for who wants them. */
function ingressFor (applications: Applications, context: CallContext): RunningDeployment {
  const { http } = context
  if (http === undefined) context.trailers.set(REQUEST_ID, context.requestId)
  else {
    const name = headerIn(http.rawHeaders, APPLICATION)
    if (name !== '' || applications.serving.length === 1) return applications.named(name).ingress
  }
  return applications.named(context.application).ingress
}

/** @param rawHeaders names and values in turn */
function headerIn (rawHeaders: readonly string[], name: string): string {
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]!.toLowerCase() === name) return rawHeaders[i + 1]!
  return ''
}
