/** The bytes of request bodies as text. */
import { isUtf8 } from 'node:buffer'
import { badRequest } from '../errors.ts'

/** @throws GrpcError INVALID_ARGUMENT when the bytes are no UTF-8 */
export function decodeUtf8 (bytes: Uint8Array): string {
  const text = Buffer.isBuffer(bytes) ? bytes.toString() : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  // So Node.js decodes what is no UTF-8, and that character itself.
  if (text.includes('\ufffd') && !isUtf8(bytes)) throw badRequest([{ field: '', description: 'The request body is not valid UTF-8' }])
  return text
}
