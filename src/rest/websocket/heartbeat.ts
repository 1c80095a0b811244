/** Whether the client of a WebSocket is still there: it is pinged, and has to be heard of now and then. */
import type { StreamSettings } from '../gateway.ts'
import type { WebSocket } from './socket.ts'

export class Heartbeat {
  readonly #timers: NodeJS.Timeout[] = []
  #lastHeard = Date.now()

  /** @param onGone the client is taken for gone, and its socket has been destroyed */
  constructor (socket: WebSocket, { heartbeatMs, idleMs }: StreamSettings, onGone: () => void) {
    for (const event of ['message', 'ping', 'pong']) socket.on(event, () => { this.#lastHeard = Date.now() })
    if (heartbeatMs > 0) this.#timers.push(setInterval(() => socket.ping(), heartbeatMs))
    if (idleMs > 0) {
      this.#timers.push(setInterval(() => {
        // A socket that is paused, because the handler is slow, hears nothing.
        if (socket.isPaused) this.#lastHeard = Date.now()
        if (Date.now() - this.#lastHeard < idleMs) return
        socket.terminate()
        onGone()
      }, Math.max(1, idleMs / 4)))
    }
  }

  stop (): void {
    for (const timer of this.#timers) clearInterval(timer)
  }
}
