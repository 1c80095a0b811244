/** Whether the client of a WebSocket is still there: it is pinged, and has to answer. */
import type { StreamSettings } from '../gateway.ts'
import type { WebSocket } from './socket.ts'

export class Heartbeat {
  readonly #timer: NodeJS.Timeout | undefined
  /** When the first ping was sent to which nothing has come since. */
  #unanswered: number | undefined

  /** @param onGone the client is taken for gone, and its socket has been destroyed */
  constructor (socket: WebSocket, { heartbeatMs, idleMs }: StreamSettings, onGone: () => void) {
    if (heartbeatMs === 0) return
    for (const event of ['message', 'ping', 'pong']) socket.on(event, () => { this.#unanswered = undefined })
    this.#timer = setInterval(() => {
      // A socket that is paused, because the handler is slow, hears nothing.
      if (socket.isPaused) this.#unanswered = undefined
      const now = performance.now()
      if (idleMs > 0 && this.#unanswered !== undefined && now - this.#unanswered >= idleMs) {
        socket.terminate()
        return onGone()
      }
      this.#unanswered ??= now
      socket.ping()
    }, heartbeatMs)
  }

  stop (): void {
    clearInterval(this.#timer)
  }
}
