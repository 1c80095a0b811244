/** A base class for services with a schema of their own. */
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { ServiceRegistrar } from '../../call/registration.ts'
import { configurationErrors } from '../../errors.ts'

/**
 * The base of classes that serve a schema of yours. A class names it by `static definition`, or registers it by a static
 * `addToServer` of its own. What the definition has and the class lacks answers UNIMPLEMENTED.
 *
 * @example
 * class Ping extends GrpcIngress {
 *   static definition = loadProto('ping.proto').PingService
 *   async Ping () { return {} }
 * }
 * new GrpcGateway({ services: [Ping] })
 */
export class GrpcIngress {
  /** Such as `loadProto('ping.proto').PingService`. */
  static readonly definition: object | undefined

  /** @throws FGG_ERR_SERVICE where there is no schema to serve */
  constructor () {
    const { definition, addToServer, name } = new.target
    if (definition === undefined && addToServer === GrpcIngress.addToServer) {
      throw new configurationErrors.FGG_ERR_SERVICE(`Fail to attach the gRPC server with schema implementation: ${name} has neither a static definition nor a static addToServer of its own`)
    }
  }

  static addToServer (instance: GrpcIngress, server: ServiceRegistrar): void {
    server.implement(this.definition as ServiceDefinition, instance)
  }
}
