/** Any function from bytes to bytes as a service. */
import type { CallContext } from '../../call/context.ts'
import { implement, type ImplementedService } from '../../call/registration.ts'
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'
import { predictDefinition } from './schema.ts'

/** What predicts. `null` and `undefined` are an empty prediction. */
export type Predict = (input: Record<string, Buffer>, context: CallContext) => Prediction | Promise<Prediction>

/** A Buffer is a Uint8Array. */
type Prediction = Uint8Array | null | undefined

export interface PredictServiceOptions {
  /**
   * The path over HTTP, after the base path; false for none but `POST /grpc/predictapisservice/predict`. Default
   * `/predict`.
   */
  route?: string | false | undefined
}

/**
 * The service `ray.serve.PredictAPIsService` around a function, for the `services` of a GrpcGateway. Over HTTP it answers
 * `POST /predict {"input":{"ORANGE":"MTA="}}` with `{"prediction":"AADoQQ=="}`: bytes are base64.
 *
 * @example
 * new GrpcGateway({ services: [predictService(({ text }) => Buffer.from(text.toString().toUpperCase()))] })
 */
export function predictService (predict: Predict, { route = '/predict' }: PredictServiceOptions = {}): ImplementedService {
  return implement(predictDefinition(), {
    async Predict ({ input }, context) {
      return { prediction: bytesOf(await predict(input, context), context) }
    }
  }, route === false ? {} : { routes: { Predict: route } })
}

function bytesOf (prediction: unknown, context: CallContext): Uint8Array {
  if (prediction === null || prediction === undefined) return Buffer.alloc(0)
  if (prediction instanceof Uint8Array) return prediction
  const details = `The prediction must be bytes, but it is ${typeName(prediction)}`
  context.log.error({}, details)
  throw new GrpcError(status.INTERNAL, details)
}

function typeName (value: unknown): string {
  const name = typeof value === 'object' ? Object.getPrototypeOf(value)?.constructor?.name ?? 'object' : typeof value
  return `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name}`
}
