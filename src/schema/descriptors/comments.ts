/**
 * To what the comments between two tokens belong, as protoc tells it.
 *
 * @see https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/io/tokenizer.h `NextWithComments`
 */

export interface Comments {
  /** Belongs to the token before. */
  trailing: string | undefined
  /** Belong to nothing, but stand before the next token. */
  readonly detached: string[]
  /** Belongs to the next token. */
  leading: string | undefined
}

/** White space, and at its end a line comment, a block comment with the rest of its line, or a line break. */
const PIECE = /[^\S\n]*(?:\/\/(?<line>[^\n]*)\n?|\/\*(?<block>[^]*?)\*\/(?<rest>[^\S\n]*\n?)|\n)/y

/**
 * @param gap what stands between two tokens: white space and comments
 * @param isFirst whether it stands at the beginning of the file
 * @param next the next token; empty at the end of the file
 */
export function commentsIn (gap: string, isFirst: boolean, next: string): Comments {
  const comments: Comments = { trailing: undefined, detached: [], leading: undefined }
  if (!gap.includes('/')) return comments
  let buffer: string | undefined
  let isLine = false
  let canTrail = !isFirst
  const flush = (): void => {
    if (buffer === undefined) return
    if (canTrail) comments.trailing = buffer
    else comments.detached.push(buffer)
    canTrail = false
    buffer = undefined
  }
  let isSameLine = !isFirst
  PIECE.lastIndex = 0
  for (let match = PIECE.exec(gap); match !== null && match[0] !== ''; match = PIECE.exec(gap)) {
    const { line, block, rest } = match.groups!
    if (line !== undefined) {
      if (!isLine) flush()
      buffer = `${buffer ?? ''}${line}\n`
      isLine = true
    } else if (block !== undefined) {
      flush()
      buffer = block.replace(/\n[^\S\n]*\*?/g, '\n')
      isLine = false
    } else if (!isSameLine) {
      flush()
      canTrail = false
    }
    if (isSameLine) {
      // What stands between two tokens of one line belongs to neither.
      if (block !== undefined && !rest!.endsWith('\n')) return comments
      flush()
    }
    isSameLine = false
  }
  if (['', '}', ']', ')'].includes(next)) flush()
  comments.leading = buffer
  return comments
}
