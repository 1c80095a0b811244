/** The state of reading one JSON document: where the reader is, and what it has found to be wrong. */
import type { FieldViolation } from '../../errors.ts'
import type { ExactJson } from '../exact-json.ts'
import { formatPath, type PathStep } from '../path.ts'
import { shortForm, type JsonObject } from '../value.ts'
import { ViolationList } from '../violation-list.ts'

/**
 * Reads a value that is not null, in the form that handlers see. `undefined` means that there is nothing to set: the
 * value was refused, or is to be ignored.
 */
export type ValueReader = (json: unknown, reading: Reading) => unknown

export class Reading {
  /** How many members the objects read so far have. */
  members = 0
  /** The length of the shortest text of the messages read so far, where it was told. */
  shortest = 0
  /** How many messages are open. */
  depth = 0
  /** Whether a number was taken for a 64-bit integer of which JSON.parse may have cut a fraction. */
  mayBeRounded = false
  readonly path: PathStep[] = []
  /** The object or array that is being read, and which of its values. */
  #parent: object | undefined = undefined
  #key: string | number = ''
  readonly #exact: ExactJson | undefined
  #violations: ViolationList | undefined = undefined

  constructor (exact?: ExactJson) {
    this.#exact = exact
  }

  /** Makes the state that of a document of which nothing is read yet. */
  restart (): void {
    this.members = 0
    this.shortest = 0
    this.depth = 0
    this.mayBeRounded = false
    if (this.path.length > 0) this.path.length = 0
    this.#parent = undefined
    this.#violations = undefined
  }

  get isUnharmed (): boolean {
    return this.#violations === undefined
  }

  get violations (): readonly FieldViolation[] {
    return this.#violations?.violations ?? []
  }

  /** No more violations are taken: what is left need not be read. */
  get isFull (): boolean {
    return this.#violations?.isFull === true
  }

  /** Goes to a value of an object or array. */
  enter (parent: object, key: string | number, step: PathStep = key): void {
    this.path.push(step)
    this.#parent = parent
    this.#key = key
  }

  leave (): void {
    this.path.pop()
  }

  /** @param expected goes on from the word `expected` */
  refuse (expected: string, json: unknown): undefined {
    return this.refuseBecause(`expected ${expected}, got ${shortForm(json)}`)
  }

  refuseBecause (description: string): undefined {
    if (this.isFull) return undefined
    this.#violations ??= new ViolationList()
    this.#violations.add(formatPath(this.path), description)
    return undefined
  }

  /** Refuses members that the text has more than once. */
  refuseDuplicates (object: JsonObject, stepTo: (name: string) => PathStep): void {
    for (const name of this.#exact?.duplicates.get(object) ?? []) {
      if (this.isFull) return
      this.path.push(stepTo(name))
      this.refuseBecause('the member is given more than once')
      this.path.pop()
    }
  }

  /** Whether the number at this place is an integer only because digits of it were lost. */
  isRounded (): boolean {
    return this.#parent !== undefined && this.#exact?.rounded.get(this.#parent)?.has(this.#key) === true
  }
}
