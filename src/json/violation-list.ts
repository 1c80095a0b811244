/** The violations that an error names: as many, and as long, as somebody reads. */
import type { FieldViolation } from '../errors.ts'

const MOST_VIOLATIONS = 100
const LONGEST_TEXT = 200

export class ViolationList {
  readonly violations: FieldViolation[] = []

  get isFull (): boolean {
    return this.violations.length >= MOST_VIOLATIONS
  }

  add (field: string, description: string): void {
    if (!this.isFull) this.violations.push({ field: cut(field), description: cut(description) })
  }
}

function cut (text: string): string {
  return (text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text).toWellFormed()
}
