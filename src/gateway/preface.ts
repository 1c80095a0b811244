/** HTTP/2 or HTTP/1.1, by the first bytes of a connection in clear text. */
import type { Socket } from 'node:net'

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-3.4 */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/**
 * Calls back when it is known which protocol the client speaks, with all bytes still to be read. A client that goes
 * away before, or takes too long, is cut off.
 *
 * @param patienceMs how long the client may take; 0 for any time
 */
export function detectHttp2 (socket: Socket, patienceMs: number, decided: (isHttp2: boolean) => void): void {
  let begun: Buffer = Buffer.alloc(0)
  const timer = patienceMs > 0 ? setTimeout(giveUp, patienceMs).unref() : undefined
  socket.on('readable', read)
  socket.once('end', giveUp)
  socket.once('close', () => clearTimeout(timer))

  function read (): void {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) return
    begun = begun.length === 0 ? chunk : Buffer.concat([begun, chunk])
    const length = Math.min(begun.length, PREFACE.length)
    const isHttp2 = begun.subarray(0, length).equals(PREFACE.subarray(0, length))
    if (isHttp2 && length < PREFACE.length) return
    clearTimeout(timer)
    socket.off('readable', read)
    socket.off('end', giveUp)
    socket.unshift(begun)
    decided(isHttp2)
  }

  function giveUp (): void {
    socket.destroy()
  }
}
