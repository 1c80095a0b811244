/**
 * JSON messages in an array, or one after the other with or without white space between them. Only where messages
 * begin and end is found out here: whether they are JSON is for those to say who read them.
 */
import { isAscii } from 'node:buffer'
import { badRequest } from '../../errors.ts'
import { messageTooLarge } from '../message-pump.ts'
import { decodeUtf8 } from '../utf8.ts'
import { PartialMessage, type MessageSplitter } from './message-splitter.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const ARRAY_START = 0x5b
const BACKSLASH = 0x5c
const ARRAY_END = 0x5d
const OBJECT_START = 0x7b
const OBJECT_END = 0x7d

/** Brackets and braces differ by this bit, as upper and lower case do. */
const LOWER_CASE = 0x20

/** What may come next, as long as no message has begun. */
type Expected =
  /** The bracket of an array, or a message. */
  | 'start'
  /** A message, one after the other. */
  | 'message'
  /** The first message of an array, or its end. */
  | 'first element'
  | 'element'
  | 'comma'
  /** Nothing: the array has ended. */
  | 'end'

/** Inside which part of a message the bytes are. */
const OUTSIDE = 0
const NESTED = 1
const STRING = 2
const ESCAPE = 3
/** A number or a literal on its own, which ends where something else begins. */
const BARE = 4

export class JsonSplitter implements MessageSplitter {
  readonly #limit: number
  readonly #partial = new PartialMessage()
  readonly #messages: string[] = []
  #given = 0
  #expected: Expected = 'start'
  #inside = OUTSIDE
  #depth = 0
  #error: unknown

  /** @param limit the most bytes that a message may have */
  constructor (limit: number) {
    this.#limit = limit
  }

  get isEmpty (): boolean {
    return this.#given === this.#messages.length && this.#error === undefined
  }

  push (chunk: Buffer): void {
    if (this.#error !== undefined) return
    try {
      this.#scan(chunk)
    } catch (error) {
      this.#error = error
    }
  }

  end (): void {
    if (this.#error !== undefined) return
    try {
      // Messages without an array may end with the body; what is wrong with the last one, its reader says best.
      if (this.#inside !== OUTSIDE && this.#expected === 'message') this.#add(this.#partial.take(Buffer.alloc(0)))
      else if (this.#inside !== OUTSIDE || !['start', 'message', 'end'].includes(this.#expected)) throw malformed('The request body ends before its array does')
    } catch (error) {
      this.#error = error
    }
  }

  next (): string | undefined {
    if (this.#given < this.#messages.length) {
      const message = this.#messages[this.#given++]!
      if (this.#given === this.#messages.length) this.#messages.length = this.#given = 0
      return message
    }
    if (this.#error !== undefined) throw this.#error
    return undefined
  }

  #scan (chunk: Buffer): void {
    // One decoding for all messages of the chunk costs less than one for each.
    const text = isAscii(chunk) ? chunk.toString('latin1') : undefined
    let start = 0
    for (let i = 0; i < chunk.length; i++) {
      if (this.#inside === NESTED || this.#inside === STRING) i = this.#skip(chunk, i)
      if (i === chunk.length) break
      const byte = chunk[i]!
      if (this.#inside === OUTSIDE) {
        if (isSpace(byte)) continue
        if (!this.#begins(byte)) continue
        start = i
        this.#inside = byte === QUOTE ? STRING : byte === OBJECT_START || byte === ARRAY_START ? NESTED : BARE
        this.#depth = this.#inside === NESTED ? 1 : 0
      } else if (this.#ends(byte)) {
        const end = this.#inside === BARE ? i : i + 1
        this.#inside = OUTSIDE
        if (text !== undefined && this.#partial.length === 0) this.#addText(text.slice(start, end))
        else this.#add(this.#partial.take(chunk.subarray(start, end)))
        start = end
        if (end === i) i-- // what ends a bare value is looked at again
      }
    }
    if (this.#inside === OUTSIDE) return
    this.#partial.append(chunk.subarray(start))
    if (this.#partial.length > this.#limit) throw messageTooLarge(this.#limit)
  }

  /** Goes on to where the message may end, or there is an escape, or the chunk ends: most bytes by far. */
  #skip (chunk: Buffer, from: number): number {
    let depth = this.#depth
    let inString = this.#inside === STRING
    let i = from
    for (; i < chunk.length; i++) {
      const byte = chunk[i]!
      if (inString) {
        if (byte === BACKSLASH || (byte === QUOTE && depth === 0)) break
        if (byte === QUOTE) inString = false
      } else if (byte === QUOTE) inString = true
      else if ((byte | LOWER_CASE) === OBJECT_START) depth++
      else if ((byte | LOWER_CASE) === OBJECT_END) {
        if (depth === 1) break
        depth--
      }
    }
    this.#depth = depth
    this.#inside = inString ? STRING : NESTED
    return i
  }

  /** Whether a message begins with this byte, outside of any. */
  #begins (byte: number): boolean {
    switch (this.#expected) {
      case 'start':
        this.#expected = byte === ARRAY_START ? 'first element' : 'message'
        return byte !== ARRAY_START
      case 'message':
        return true
      case 'first element':
        if (byte === ARRAY_END) return this.#expect('end')
        return this.#beginsElement(byte)
      case 'element':
        return this.#beginsElement(byte)
      case 'comma':
        if (byte === COMMA) return this.#expect('element')
        if (byte === ARRAY_END) return this.#expect('end')
        throw malformed("The request body must have ',' or ']' after each message of its array")
      case 'end':
        throw malformed('The request body goes on after its array')
    }
  }

  #beginsElement (byte: number): true {
    if (byte === COMMA || byte === ARRAY_END) throw malformed("The array of the request body lacks a message before ',' or ']'")
    this.#expected = 'comma'
    return true
  }

  #expect (expected: Expected): false {
    this.#expected = expected
    return false
  }

  /** Whether the message ends with this byte, to which `#skip` has gone on, or before it when it is a bare one. */
  #ends (byte: number): boolean {
    switch (this.#inside) {
      case NESTED:
        return true
      case STRING:
        if (byte === QUOTE) return true
        this.#inside = ESCAPE
        return false
      case ESCAPE:
        this.#inside = STRING
        return false
      default:
        return isSpace(byte) || byte === COMMA || byte === ARRAY_END || byte === QUOTE || byte === OBJECT_START || byte === ARRAY_START
    }
  }

  #add (message: Buffer): void {
    if (message.length > this.#limit) throw messageTooLarge(this.#limit)
    this.#messages.push(decodeUtf8(message))
  }

  /** @param message ASCII, of which each character is a byte */
  #addText (message: string): void {
    if (message.length > this.#limit) throw messageTooLarge(this.#limit)
    this.#messages.push(message)
  }
}

function isSpace (byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function malformed (description: string): Error {
  return badRequest([{ field: '', description }])
}
