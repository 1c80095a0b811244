/** The requests of a call: JSON in arguments, or on stdin. */
import { createInterface } from 'node:readline'
import type { JsonReader } from '../../json/codec.ts'
import { UsageError } from '../command.ts'

/** Stands for stdin among the arguments. */
export const STDIN = '-'

/**
 * @param texts the arguments; none for an empty message, or for stdin where requests are a stream
 * @throws UsageError, also while messages are read
 */
export function requestsOf (texts: readonly string[], isStream: boolean, reader: JsonReader): Iterable<object> | AsyncIterable<object> {
  const fromStdin = texts.includes(STDIN) || (texts.length === 0 && isStream)
  if (fromStdin && texts.length > 1) throw new UsageError('Messages come from arguments or from stdin, not from both')
  if (fromStdin) return isStream ? streamed(reader) : whole(reader)
  if (!isStream && texts.length > 1) throw new UsageError('The RPC takes one message')
  return texts.length === 0 ? [messageOf('{}', reader, 'The request')] : texts.map((text, i) => messageOf(text, reader, `Request ${i + 1}`))
}

/** A message in each line, sent as it comes. */
async function * streamed (reader: JsonReader): AsyncGenerator<object> {
  let number = 0
  for await (const line of createInterface(process.stdin)) {
    number++
    if (line.trim() !== '') yield messageOf(line, reader, `Line ${number}`)
  }
}

async function * whole (reader: JsonReader): AsyncGenerator<object> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  yield messageOf(Buffer.concat(chunks).toString(), reader, 'The request')
}

function messageOf (text: string, reader: JsonReader, what: string): object {
  try {
    return reader.fromText(text) as object
  } catch (error) {
    throw new UsageError(`${what} is wrong: ${(error as Error).message}`)
  }
}
