/** Services whose .proto files come with this package. */
import type { ServiceDefinition } from '@grpc/grpc-js'
import { loadProto } from '../schema/load.ts'
import { bundledProto } from '../schema/proto-files.ts'

export function loadPackaged (file: string, service: string): ServiceDefinition {
  return loadProto(bundledProto(file))[service]!
}
