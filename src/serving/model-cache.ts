/** Models in memory: loaded once however many want them, kept as long as they are in use or lately were, then disposed of. */

/** A model that somebody uses. */
export interface Lease<Model> {
  readonly model: Model
  /** To be called once. From then on the model may be disposed of. */
  release (): void
}

interface Entry<Model> {
  readonly id: string
  readonly loading: Promise<Model>
  users: number
}

export interface ModelCacheOptions<Model> {
  load (id: string): Model | Promise<Model>
  /** Must not throw, nor reject. */
  unload (model: Model, id: string): void | Promise<void>
  /** How many loaded models are kept where they are not in use; Infinity for all. */
  max: number
}

export class ModelCache<Model> {
  readonly #options: ModelCacheOptions<Model>
  /** In the order in which they were last asked for, the latest last. */
  readonly #loaded = new Map<string, Entry<Model>>()
  readonly #loading = new Map<string, Entry<Model>>()
  readonly #unloading = new Map<string, Promise<void>>()
  #isClosed = false
  #whenEmpty: Array<() => void> = []

  constructor (options: ModelCacheOptions<Model>) {
    this.#options = options
  }

  /** The ids of the models that are loaded, in the order in which they were last asked for, the latest last. */
  get ids (): string[] {
    return [...this.#loaded.keys()]
  }

  /** @throws what `load` has thrown, to all who wait for the same load; an Error once the cache is closed */
  async acquire (id: string): Promise<Lease<Model>> {
    if (this.#isClosed) throw new Error('The models have been disposed of')
    const entry = this.#loaded.get(id) ?? this.#loading.get(id) ?? this.#load(id)
    entry.users++
    if (this.#loaded.delete(id)) this.#loaded.set(id, entry)
    const model = await entry.loading
    return {
      model,
      release: () => {
        entry.users--
        this.#evict()
      }
    }
  }

  /** Unloads every model: those that are in use as soon as they no longer are. Resolves when that is done. */
  async close (): Promise<void> {
    this.#isClosed = true
    this.#evict()
    await new Promise<void>(resolve => {
      this.#whenEmpty.push(resolve)
      this.#tellEmpty()
    })
  }

  #load (id: string): Entry<Model> {
    const entry: Entry<Model> = { id, loading: this.#begin(id), users: 0 }
    this.#loading.set(id, entry)
    entry.loading.then(() => {
      this.#loading.delete(id)
      this.#loaded.set(id, entry)
      this.#evict()
    }, () => {
      this.#loading.delete(id)
      this.#tellEmpty()
    })
    return entry
  }

  /** What an unloaded model has held may be what the next one of that id needs: a file, a folder, a device. */
  async #begin (id: string): Promise<Model> {
    await this.#unloading.get(id)
    return await this.#options.load(id)
  }

  #evict (): void {
    const max = this.#isClosed ? 0 : this.#options.max
    for (const entry of this.#loaded.values()) {
      if (this.#loaded.size <= max) return
      if (entry.users === 0) this.#unload(entry)
    }
    this.#tellEmpty()
  }

  async #unload ({ id, loading }: Entry<Model>): Promise<void> {
    this.#loaded.delete(id)
    const unloading = loading.then(model => this.#options.unload(model, id))
    this.#unloading.set(id, unloading)
    await unloading
    this.#unloading.delete(id)
    this.#tellEmpty()
  }

  #tellEmpty (): void {
    if (this.#loaded.size + this.#loading.size + this.#unloading.size > 0) return
    for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }
}
