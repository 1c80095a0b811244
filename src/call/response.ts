/** Responses of handlers, which may return anything. */
import type { Method } from '../schema/service.ts'

/** @throws TypeError for what is no message */
export function checkResponse (message: unknown, { fullName, responseType }: Method): void {
  if (typeof message === 'object' && message !== null && !Array.isArray(message)) return
  const got = message === null ? 'null' : Array.isArray(message) ? 'an array' : `a value of type ${typeof message}`
  throw new TypeError(`${fullName} returned ${got} where an object for ${responseType.fullName.slice(1)} was expected`)
}
