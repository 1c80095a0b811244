/** The members of a JSON object as the texts that they are, so that what is in them is read once, and exactly. */
import { badRequest } from '../../errors.ts'
import { parseExactly } from '../../json/exact-json.ts'
import { isObject, type JsonValue } from '../../json/value.ts'

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs

/**
 * @param text JSON
 * @throws GrpcError INVALID_ARGUMENT when it is no JSON, no object, or has a member twice
 */
export function membersOf (text: string): Map<string, string> {
  if (!isObject(parsed(text))) throw badRequest([{ field: '', description: 'expected a JSON object' }])
  const members = new Map<string, string>()
  let depth = 0
  let name: string | undefined
  let start: number | undefined
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (depth === 1 && name === undefined && token.startsWith('"')) {
      name = JSON.parse(token) as string
      if (members.has(name)) throw badRequest([{ field: name, description: 'the member is given twice' }])
    } else if (depth === 1 && name !== undefined && start === undefined) {
      start = index + 1
    } else if (depth === 1 && name !== undefined && (token === ',' || token === '}')) {
      members.set(name, text.slice(start, index).trim())
      name = start = undefined
    }
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
  }
  return members
}

/** @throws GrpcError INVALID_ARGUMENT, saying where the text is wrong */
function parsed (text: string): JsonValue {
  try {
    return JSON.parse(text)
  } catch {
    return parseExactly(text).value
  }
}
