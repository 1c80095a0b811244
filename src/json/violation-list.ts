/** The violations that an error names: as many, and as long, as somebody reads. */
import type { FieldViolation } from '../errors.ts'
import { cut } from './value.ts'

const MOST_VIOLATIONS = 100
const LONGEST_TEXT = 200

export class ViolationList {
  readonly violations: FieldViolation[] = []

  get isFull (): boolean {
    return this.violations.length >= MOST_VIOLATIONS
  }

  add (field: string, description: string): void {
    if (!this.isFull) this.violations.push({ field: sendable(field), description: sendable(description) })
  }
}

function sendable (text: string): string {
  return cut(text, LONGEST_TEXT).toWellFormed()
}
