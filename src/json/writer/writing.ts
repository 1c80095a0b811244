/** The state of writing one message: where the writer is. */
import { GrpcError } from '../../errors.ts'
import { status } from '../../status.ts'
import { formatPath, type PathStep } from '../path.ts'
import { shortForm } from '../value.ts'

/** The JSON text of a value that is neither null nor undefined. */
export type ValueWriter = (value: unknown, writing: Writing) => string

export class Writing {
  /** How many messages are open. */
  depth = 0
  readonly path: PathStep[] = []
  readonly #typeName: string

  constructor (typeName: string) {
    this.#typeName = typeName
  }

  /** Makes the state that of a message of which nothing is written yet. */
  restart (): void {
    this.depth = 0
    this.path.length = 0
  }

  /** @param expected goes on from the word `expected` */
  fail (expected: string, value: unknown): never {
    throw this.failure(`expected ${expected}, got ${shortForm(value)}`)
  }

  failure (description: string): GrpcError {
    const path = formatPath(this.path)
    return new GrpcError(status.INTERNAL, `The response ${this.#typeName} is wrong${path === '' ? '' : ` at ${path}`}: ${description}`)
  }
}
