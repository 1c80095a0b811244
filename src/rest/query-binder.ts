/** Query parameters as fields of the first message of a stream. */
import type protobuf from 'protobufjs'
import { queryOf, queryToJson, type QueryOptions } from './query.ts'

export interface QueryBinder {
  /** Whether there is anything to bind: then the query alone is a message where the body has none. */
  readonly hasFields: boolean
  /**
   * The JSON text of a message, with the fields of the query. A field that both have is there twice, and the reader
   * of the text says so.
   *
   * @throws GrpcError INVALID_ARGUMENT for a parameter that fits no field
   */
  bind (text: string): string
}

const NO_QUERY: QueryBinder = { hasFields: false, bind: text => text }

/** Makes the function that reads the query of a URL. */
export function queryBinder (type: protobuf.Type, options: QueryOptions): (url: string) => QueryBinder {
  return url => {
    const query = queryOf(url)
    if (query === '') return NO_QUERY
    try {
      const fields = JSON.stringify(queryToJson(type, query, options))
      return fields === '{}' ? NO_QUERY : { hasFields: true, bind: text => withMembers(text, fields) }
    } catch (error) {
      return { hasFields: true, bind () { throw error } }
    }
  }
}

/** @param object the text of a JSON object, without white space around it */
function withMembers (text: string, object: string): string {
  const start = /^\s*\{\s*/.exec(text)?.[0]
  if (start === undefined) return text
  const rest = text.slice(start.length)
  return `${object.slice(0, -1)}${rest.startsWith('}') ? '' : ','}${rest}`
}
