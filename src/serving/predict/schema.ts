/** The schema of predictions: bytes by name go in, bytes come out. */
import { fileURLToPath } from 'node:url'
import type { UnaryMethod } from '../../schema/definition.ts'
import { loadProto } from '../../schema/load.ts'

export interface PredictRequest { input: Record<string, Buffer> }
export interface PredictResponse { prediction: Uint8Array }

export interface PredictDefinition {
  Predict: UnaryMethod<PredictRequest, PredictResponse>
}

let definition: PredictDefinition | undefined

/** The definition of `ray.serve.PredictAPIsService`, for grpc-js. */
export function predictDefinition (): PredictDefinition {
  definition ??= loadProto<{ PredictAPIsService: PredictDefinition }>(fileURLToPath(new URL('../../../protos/ray/predict.proto', import.meta.url))).PredictAPIsService
  return definition
}
