/** A model behind another server of Seldon's API: this project's, or one of Seldon's microservices. */
import { credentials as grpcCredentials, makeClientConstructor, Metadata, type CallOptions, type ChannelCredentials, type ClientUnaryCall, type ServiceDefinition, type ServiceError } from '@grpc/grpc-js'
import type { CallContext } from '../../call/context.ts'
import { REQUEST_ID_KEY } from '../../call/request-id.ts'
import { GrpcError } from '../../errors.ts'
import type { Model } from './model.ts'
import { seldonDefinitions, type ClassificationReply, type ClassificationRequest } from './schema.ts'

export interface RemoteModelOptions {
  /** Default: none, and no TLS. */
  readonly credentials?: ChannelCredentials | undefined
  /** The service that it has. Default `Classifier`. */
  readonly service?: 'Classifier' | 'Seldon' | undefined
  /** How long it may take, in milliseconds. Default: as long as the call itself; never longer. */
  readonly timeoutMs?: number | undefined
}

export interface RemoteModel {
  /** For a client, a chain or variations. The call is cancelled when the caller's is. */
  readonly model: Model
  /** Closes the connection. */
  close (): void
}

/**
 * @param address `127.0.0.1:5000`
 *
 * @example
 * const xgboost = remoteModel('xgboost:5000', { timeoutMs: 5000 })
 * seldonService({ default: { model: xgboost.model } })
 */
export function remoteModel (address: string, { credentials = grpcCredentials.createInsecure(), service = 'Classifier', timeoutMs }: RemoteModelOptions = {}): RemoteModel {
  const definition = seldonDefinitions()[service] as unknown as ServiceDefinition
  const Client = makeClientConstructor(definition, service)
  const client = new Client(address, credentials)
  const start = client[service === 'Seldon' ? 'Classify' : 'Predict']!.bind(client) as (request: ClassificationRequest, metadata: Metadata, options: CallOptions, callback: (error: ServiceError | null, reply?: ClassificationReply) => void) => ClientUnaryCall

  async function classify (request: ClassificationRequest, context: CallContext): Promise<ClassificationReply> {
    const { signal, requestId, traceContext } = context
    const metadata = new Metadata()
    for (const [name, value] of Object.entries({ ...traceContext, [REQUEST_ID_KEY]: requestId })) if (value !== undefined) metadata.set(name, value)
    const remaining = Math.min(context.timeRemaining(), timeoutMs ?? Infinity)
    signal.throwIfAborted()
    return await new Promise((resolve, reject) => {
      const call = start(request, metadata, { deadline: remaining === Infinity ? Infinity : Date.now() + remaining }, (error, reply) => {
        signal.removeEventListener('abort', cancel)
        if (error === null) resolve(reply!)
        else reject(new GrpcError(error.code, error.details, { cause: error }))
      })
      function cancel (): void {
        call.cancel()
      }
      signal.addEventListener('abort', cancel)
    })
  }

  return {
    async model ({ packed }, context) {
      const { meta, predictions, custom } = await classify(packed(), context)
      return { modelName: meta?.modelName, predictions, custom }
    },
    close: () => client.close()
  }
}
