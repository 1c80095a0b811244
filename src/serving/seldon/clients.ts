/** The clients of a Seldon service: which model answers each, and the types of its data. */
import { configurationErrors } from '../../errors.ts'
import type { ProtoSource } from '../../schema/load.ts'
import type { Variations } from '../variations.ts'
import { strategyOf, type Answering, type Strategy } from './model.ts'
import { DEFAULT_TYPE, type PayloadType, type PayloadTypes } from './payload-types.ts'

export interface SeldonTypes {
  /** The full name of the message in `data`: `io.seldon.microservice.iris.IrisPredictRequest`. */
  readonly request?: string | undefined
  /** The full name of the message in `custom`. */
  readonly reply?: string | undefined
  /** Where they are defined, unless in the `protos` of the service. Types of names that are known are replaced. */
  readonly protos?: ProtoSource | undefined
}

export interface SeldonClient {
  /** Default: the model of the default client. */
  readonly model?: Strategy | undefined
  /** Default: `DefaultCustomPredictRequest`, whose JSON is an array of numbers. */
  readonly types?: SeldonTypes | undefined
}

/** What answers a client. */
export interface Route {
  readonly strategy: Variations<Answering>
  readonly request: PayloadType
  readonly reply: PayloadType
  /** Whether a request has to have data: where a type is registered for it. */
  readonly needsData: boolean
}

interface Entry {
  strategy: Variations<Answering> | undefined
  types: Pick<SeldonTypes, 'request' | 'reply'>
}

export class SeldonClients {
  readonly #types: PayloadTypes
  readonly #entries = new Map<string, Entry>()
  readonly #fallback: Entry | undefined

  /** @throws FGG_ERR_SELDON, FGG_ERR_VARIATIONS, and what a proto file makes wrong */
  constructor (types: PayloadTypes, clients: Readonly<Record<string, SeldonClient>>, fallback: SeldonClient | undefined) {
    this.#types = types
    this.#fallback = fallback === undefined ? undefined : this.#entry('default', fallback)
    for (const [id, client] of Object.entries(clients)) this.set(id, client)
  }

  set (id: string, client: SeldonClient): void {
    this.#entries.set(id, this.#entry(id, client))
  }

  remove (id: string): boolean {
    return this.#entries.delete(id)
  }

  setTypes (id: string, types: SeldonTypes): void {
    this.#entries.set(id, { strategy: this.#entries.get(id)?.strategy, types: this.#checked(id, types) })
  }

  removeTypes (id: string): boolean {
    const entry = this.#entries.get(id)
    if (entry === undefined) return false
    entry.types = {}
    return true
  }

  /** @returns undefined for a client that no model answers */
  route (id: string): Route | undefined {
    const entry = this.#entries.get(id) ?? this.#fallback
    const strategy = entry?.strategy ?? this.#fallback?.strategy
    if (entry === undefined || strategy === undefined) return undefined
    const { request = DEFAULT_TYPE, reply = DEFAULT_TYPE } = entry.types
    return { strategy, request: this.#types.find(request)!, reply: this.#types.find(reply)!, needsData: entry.types.request !== undefined }
  }

  #entry (id: string, { model, types = {} }: SeldonClient): Entry {
    return { strategy: model === undefined ? undefined : strategyOf(model), types: this.#checked(id, types) }
  }

  /** @throws FGG_ERR_SELDON for a type that is not defined */
  #checked (id: string, { protos, request, reply }: SeldonTypes): Entry['types'] {
    if (protos !== undefined) this.#types.add(protos)
    for (const name of [request, reply]) {
      if (name !== undefined && this.#types.find(name) === undefined) throw new configurationErrors.FGG_ERR_SELDON(`client ${id} has the type ${name}, which no .proto file defines. Name the file in \`protos\``)
    }
    return { request, reply }
  }
}
