/** Calls a service of predictions, this project's or Ray's. */
import { credentials as grpcCredentials, makeClientConstructor, Metadata, type CallOptions, type ChannelCredentials, type ClientUnaryCall, type ServiceDefinition, type ServiceError } from '@grpc/grpc-js'
import { predictDefinition, type PredictRequest, type PredictResponse } from './schema.ts'

export interface PredictCallOptions extends Pick<CallOptions, 'deadline'> {
  /** Such as `application` and `multiplexed_model_id`. */
  metadata?: Metadata | undefined
  /** Cancels the call. */
  signal?: AbortSignal | undefined
}

export interface PredictClient {
  /** @throws grpc-js's ServiceError, with `code`, `details` and `metadata`; TypeError for input that is not bytes */
  predict (input: Readonly<Record<string, Uint8Array>>, options?: PredictCallOptions): Promise<Buffer>
  /** Closes the connection. */
  close (): void
}

/**
 * A client of `ray.serve.PredictAPIsService`.
 *
 * @param address `127.0.0.1:50051`
 * @param credentials default: none, and no TLS
 *
 * @example
 * const client = createPredictClient('127.0.0.1:50051')
 * const prediction = await client.predict({ ORANGE: Buffer.from('10') })
 */
export function createPredictClient (address: string, credentials: ChannelCredentials = grpcCredentials.createInsecure()): PredictClient {
  const Client = makeClientConstructor(predictDefinition() as unknown as ServiceDefinition, 'PredictAPIsService')
  const client = new Client(address, credentials)
  const start = client.Predict!.bind(client) as (request: PredictRequest, metadata: Metadata, options: CallOptions, callback: (error: ServiceError | null, response?: PredictResponse) => void) => ClientUnaryCall

  async function predict (input: Readonly<Record<string, Uint8Array>>, { metadata = new Metadata(), signal, ...options }: PredictCallOptions = {}): Promise<Buffer> {
    for (const [name, bytes] of Object.entries(input)) {
      // Of a string, protobuf would take the bytes that it is the base64 of.
      if (!(bytes instanceof Uint8Array)) throw new TypeError(`input.${name} must be a Buffer or a Uint8Array, got a ${typeof bytes}`)
    }
    signal?.throwIfAborted()
    return await new Promise((resolve, reject) => {
      const call = start({ input: input as Record<string, Buffer> }, metadata, options, (error, response) => {
        signal?.removeEventListener('abort', cancel)
        if (error === null) resolve(response!.prediction as Buffer)
        else reject(error)
      })
      function cancel (): void {
        call.cancel()
      }
      signal?.addEventListener('abort', cancel)
    })
  }

  return { predict, close: () => client.close() }
}
