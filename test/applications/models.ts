/** A deployment that multiplexes, in threads. */
import { multiplexed } from '../../src/serving/index.ts'

export class Models {
  readonly #disposed: string[] = []
  readonly #models = multiplexed(id => ({ dispose: () => { this.#disposed.push(id) } }), { maxNumModelsPerReplica: 1 })
  #leave = (): void => {}

  /** Uses the model of the request until `leave` is called. */
  async hold (): Promise<string> {
    await this.#models()
    await new Promise<void>(resolve => { this.#leave = resolve })
    return `${this.#disposed.splice(0)} gone`
  }

  async * holdInStream (): AsyncGenerator<string> {
    yield 'first'
    yield await this.hold()
  }

  async touch (): Promise<readonly string[]> {
    await this.#models()
    return this.#models.loaded
  }

  loaded (): readonly string[] {
    return this.#models.loaded
  }

  leave (): void {
    this.#leave()
  }
}
