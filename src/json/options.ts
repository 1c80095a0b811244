/** What users can choose about JSON. */

export interface JsonReadOptions {
  /** What to do with a member that is no field of the message. Default `reject`: 400, naming each. */
  unknownFields?: 'reject' | 'ignore' | undefined
}

export interface JsonWriteOptions {
  /** Names of fields: lowerCamelCase, or what `json_name` says, or as in the .proto file. Default `json`. Both are read. */
  fieldNames?: 'json' | 'proto' | undefined
  /** Write fields without presence even when they have their default value, lists and maps too. Default false. */
  emitDefaults?: boolean | undefined
  /**
   * How 64-bit integers are written. Many clients read JSON numbers as doubles, which are wrong past 2^53. Default
   * `string`, as ProtoJSON has it.
   */
  int64?: 'string' | 'number' | undefined
  /** How enum values are written; one without a name is a number in any case. Default `name`. */
  enums?: 'name' | 'number' | undefined
  /** Indent by this many spaces, 1 to 10, or by this text, for people to read. Default none: no white space. */
  space?: number | string | undefined
}

export interface JsonOptions extends JsonReadOptions, JsonWriteOptions {
  /** How deep messages may nest in JSON, in requests and responses: 1 to 500. Default 100, as in protoc. */
  nestingLimit?: number | undefined
}

export const DEFAULT_NESTING_LIMIT = 100
export const HIGHEST_NESTING_LIMIT = 500
