/** `io.seldon.api.rpc` as handlers see it. */
import { fileURLToPath } from 'node:url'
import type { UnaryMethod } from '../../schema/definition.ts'
import { loadProto } from '../../schema/load.ts'

/** A `google.protobuf.Any`. */
export interface PackedMessage {
  type_url: string
  value: Uint8Array
}

export interface ClassificationRequest {
  meta?: { puid?: string } | null | undefined
  data?: PackedMessage | null | undefined
}

export interface ClassificationResult {
  /** The probability or score of the class. */
  prediction: number
  predictedClass: string
  /** How sure the model is of it. */
  confidence: number
}

export interface ClassificationReply {
  meta?: { puid?: string, modelName?: string, variation?: string } | null | undefined
  predictions?: readonly ClassificationResult[] | undefined
  custom?: PackedMessage | null | undefined
}

type ClassificationMethod = UnaryMethod<ClassificationRequest, ClassificationReply>

interface SeldonDefinitions {
  Classifier: { Predict: ClassificationMethod }
  Seldon: { Classify: ClassificationMethod }
}

/** The .proto files of this package for Seldon: the services, and the types of its examples. */
export const SELDON_PROTOS: readonly string[] = ['seldon', 'example', 'iris'].map(name => fileURLToPath(new URL(`../../../protos/seldon/${name}.proto`, import.meta.url)))

let definitions: SeldonDefinitions | undefined

/** Read when they are needed first. */
export function seldonDefinitions (): SeldonDefinitions {
  definitions ??= loadProto<SeldonDefinitions>(SELDON_PROTOS[0]!)
  return definitions
}
