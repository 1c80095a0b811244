/** JSON paths: where in a document a value lies, as in `items[3].labels["x y"].price`. */
import { cut } from './value.ts'

/** The key of a map entry, in contrast to the name of a field. */
export class MapKey {
  readonly key: string

  constructor (key: string) {
    this.key = key
  }
}

export type PathStep = string | number | MapKey

/** Clients choose names and keys. */
const LONGEST_STEP = 100

export function formatPath (path: readonly PathStep[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`
    if (step instanceof MapKey) return `${text}[${JSON.stringify(cut(step.key, LONGEST_STEP))}]`
    return text === '' ? cut(step, LONGEST_STEP) : `${text}.${cut(step, LONGEST_STEP)}`
  }, '')
}
