/** Seldon's classification API: `io.seldon.api.rpc.Classifier` and `Seldon` on one handler, and `POST /predict`. */
import { randomBytes } from 'node:crypto'
import { loggedRequest } from '../../auth/oauth/logged-request.ts'
import type { CallContext } from '../../call/context.ts'
import { implement, type ImplementedService } from '../../call/registration.ts'
import { GrpcError } from '../../errors.ts'
import type { JsonValue } from '../../json/value.ts'
import type { ProtoSource } from '../../schema/load.ts'
import { status } from '../../status.ts'
import { SeldonClients, type Route, type SeldonClient, type SeldonTypes } from './clients.ts'
import { replyJson, seldonJson } from './json.ts'
import type { ModelReply } from './model.ts'
import { PayloadTypes, type PayloadType } from './payload-types.ts'
import { invalidData, pack, unpack } from './payload.ts'
import { seldonDefinitions, type ClassificationReply, type ClassificationRequest, type PackedMessage } from './schema.ts'
import { unknownClient } from './unknown-client.ts'

/** One prediction, in the JSON of `/predict`. */
export interface PredictionRecord {
  /** The client. */
  readonly consumer: string
  readonly input: JsonValue
  readonly prediction: JsonValue
}

export interface SeldonOptions {
  /** By the id of the client, which is the `subject` of its token. Default none. */
  readonly clients?: Readonly<Record<string, SeldonClient>> | undefined
  /** Of clients that are not listed, and the model of those that have none of their own. Default none: NOT_FOUND. */
  readonly default?: SeldonClient | undefined
  /** .proto files or descriptor sets with the types of clients, beside those of this package. */
  readonly protos?: ProtoSource | undefined
  /** Who calls. Default: the `subject` of the principal. */
  readonly clientOf?: ((context: CallContext) => string | undefined) | undefined
  /** Hears of each prediction, once it is made. What it throws is logged, and the call goes on. */
  readonly onPrediction?: ((record: PredictionRecord, context: CallContext) => unknown) | undefined
  /** The path of the REST API after the base path. Default `/predict`. */
  readonly path?: string | undefined
}

export interface SeldonService {
  /** For the `services` of a gateway. */
  readonly services: readonly ImplementedService[]
  /** Adds a client, or replaces it. @throws FGG_ERR_SELDON, FGG_ERR_VARIATIONS */
  setClient (id: string, client: SeldonClient): void
  /** From now on it gets what the default client gets. @returns whether there was one */
  removeClient (id: string): boolean
  /** Gives a client other types, and leaves its model. @throws FGG_ERR_SELDON for a type that is not defined */
  registerTypes (id: string, types: SeldonTypes): void
  /** @returns whether there was such a client */
  removeTypes (id: string): boolean
}

/**
 * Serves models to clients as Seldon did, over gRPC and REST.
 *
 * @throws FGG_ERR_SELDON for a type that is not defined; FGG_ERR_VARIATIONS
 *
 * @example
 * const seldon = seldonService({ clients: { acme: { model, types: { request: 'io.seldon.microservice.iris.IrisPredictRequest' } } } })
 * const gateway = new GrpcGateway({ services: seldon.services, authenticate: asSeldon(credentials.authenticate) })
 */
export function seldonService (options: SeldonOptions): SeldonService {
  const { clientOf = subjectOf, onPrediction, path = '/predict' } = options
  const types = new PayloadTypes(options.protos)
  const clients = new SeldonClients(types, options.clients ?? {}, options.default)

  async function classify (request: ClassificationRequest, context: CallContext): Promise<ClassificationReply> {
    const client = clientOf(context)
    if (client === undefined || client === '') throw unknownClient(context)
    const route = clients.route(client)
    if (route === undefined) throw new GrpcError(status.NOT_FOUND, `There is no model for the client ${client}`)
    const puid = puidOf(request, context)
    const data = dataOf(request, route)
    const { label: variation, value: model } = route.strategy.pick(context)
    const packed = (): ClassificationRequest => ({ meta: { puid }, data: data === undefined ? null : pack(data, route.request) })
    const answer = await model({ data, puid, client, variation, packed }, context)
    const reply: ClassificationReply = {
      meta: { puid, modelName: answer.modelName ?? '', variation },
      predictions: answer.predictions ?? [],
      custom: customOf(answer.custom, route.reply)
    }
    if (onPrediction !== undefined) tell(client, puid, data === undefined ? 'null' : route.request.toJson(data), reply, context)
    return reply
  }

  async function tell (consumer: string, puid: string, data: string, reply: ClassificationReply, context: CallContext): Promise<void> {
    try {
      const input = { meta: { puid }, data: JSON.parse(data) as JsonValue }
      await onPrediction!({ consumer, input, prediction: JSON.parse(replyJson(reply, types)) as JsonValue }, context)
    } catch (error) {
      context.log.error({ err: error }, 'onPrediction failed')
    }
  }

  const { Classifier, Seldon } = seldonDefinitions()
  return {
    services: [
      implement(Seldon, { Classify: classify }, { routes: { Classify: { path, form: seldonJson(types), loggedRequest } } }),
      implement(Classifier, { Predict: classify })
    ],
    setClient: (id, client) => clients.set(id, client),
    removeClient: id => clients.remove(id),
    registerTypes: (id, types) => clients.setTypes(id, types),
    removeTypes: id => clients.removeTypes(id)
  }
}

function subjectOf ({ principal }: CallContext): string | undefined {
  const { subject } = (principal ?? {}) as { readonly subject?: unknown }
  return typeof subject === 'string' ? subject : undefined
}

const PUID_BYTES = 20
/** The header and metadata of seldon-core. */
const PUID_KEY = 'seldon-puid'

/** That of the request, of its metadata or of its URL, else a new one. */
function puidOf ({ meta }: ClassificationRequest, { metadata, http }: CallContext): string {
  const given = [meta?.puid, metadata.get(PUID_KEY)[0]?.toString(), new URLSearchParams(/\?(.*)/s.exec(http?.url ?? '')?.[1]).get('puid')]
  return given.find(puid => puid) ?? randomBytes(PUID_BYTES).toString('hex')
}

function dataOf ({ data }: ClassificationRequest, { request, needsData }: Route): object | undefined {
  if (data !== null && data !== undefined) return unpack(data, request)
  if (needsData) throw invalidData(request, 'no data')
  return undefined
}

function customOf (custom: ModelReply['custom'], type: PayloadType): PackedMessage | null {
  if (custom === null || custom === undefined) return null
  if (isPacked(custom)) return custom
  return pack(Array.isArray(custom) ? { values: custom } : custom, type)
}

function isPacked (custom: object): custom is PackedMessage {
  return typeof (custom as Partial<PackedMessage>).type_url === 'string'
}
