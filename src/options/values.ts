/** Checks of options that can differ from method to method. */
import { HIGHEST_NESTING_LIMIT } from '../json/options.ts'
import { isObject, isWhole, oneOf } from './checks.ts'

const SPACE = 'is wrong: `space` must be a number of spaces, 0 to 10, or white space'
const NESTING_LIMIT = `is wrong: \`nestingLimit\` must be a whole number, 1 to ${HIGHEST_NESTING_LIMIT}`

export function checkJson (value: Record<string, unknown>): string | undefined {
  const { space, nestingLimit } = value ?? {}
  if (space !== undefined && !(typeof space === 'string' ? /^[ \t]*$/.test(space) : isWhole(space, 0, 10))) return SPACE
  if (nestingLimit !== undefined && !isWhole(nestingLimit, 1, HIGHEST_NESTING_LIMIT)) return NESTING_LIMIT
  return oneOf(value, {
    unknownFields: ['reject', 'ignore'],
    nestingLimit: 'number',
    fieldNames: ['json', 'proto'],
    emitDefaults: [true, false],
    int64: ['string', 'number'],
    enums: ['name', 'number'],
    space: typeof space as 'number'
  })
}

/** Those of the gateway. */
export function checkTimeouts (value: Record<string, unknown>): string | undefined {
  const problem = isObject(value)
  if (problem !== undefined) return problem
  const { grpc = {}, http = {}, ...both } = value
  return checkTimeout(both) ?? checkTimeout(grpc as Record<string, unknown>) ?? checkTimeout(http as Record<string, unknown>)
}

export function checkTimeout (value: Record<string, unknown>): string | undefined {
  return oneOf(value, { default: 'number', max: 'number' }) ??
    (Object.values(value).some(ms => ms !== undefined && ms as number < 0) ? 'is wrong: milliseconds must be 0, for none, or more' : undefined)
}
