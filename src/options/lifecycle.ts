/** Options of start, drain and shutdown. */
import { LONGEST_TIMER } from '../call/deadline.ts'
import { configurationErrors } from '../errors.ts'

/** @throws FGG_ERR_OPTION, naming the option */
export function checkMilliseconds (name: string, value: unknown): void {
  if (typeof value !== 'number' || !(value >= 0 && value <= LONGEST_TIMER)) {
    throw new configurationErrors.FGG_ERR_OPTION(name, `must be milliseconds, 0 to ${LONGEST_TIMER}`)
  }
}
