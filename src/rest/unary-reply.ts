/** A call that is answered by one JSON message, or an error body. */
import type { Metadata } from '@grpc/grpc-js'
import type { Status } from '../call/invocation.ts'
import { status } from '../status.ts'
import { sendStatus } from './reply.ts'
import { ReplyCall } from './reply-call.ts'
import { newRequestId } from './request-id.ts'
import { sendMessage } from './send-message.ts'

export class UnaryReplyCall extends ReplyCall {
  #body: string | undefined = undefined

  protected override writeMetadata (metadata: Metadata): void {
    this.setHeaders(metadata, 'initial')
  }

  protected override writeMessage (serialized: string, done: () => void): void {
    this.#body = serialized
    done()
  }

  protected override writeStatus (ending: Status): void {
    const { route: { gateway }, request, reply } = this
    if (reply.sent) return
    this.isAnswered = true
    if (ending.code !== status.OK) return sendStatus(gateway, ending, request, reply, this.refusedWith)
    if (this.#body === undefined) {
      return sendStatus(gateway, { code: status.INTERNAL, details: 'The call ended without a response message' }, request, reply)
    }
    if (ending.metadata != null) this.setHeaders(ending.metadata, 'trailing')
    if (this.observer === undefined) {
      sendMessage(this.#body, this.knownRequestId ?? newRequestId(request), request, reply)
    } else {
      this.knownRequestId ??= newRequestId(request)
      const bytes = sendMessage(this.#body, this.knownRequestId, request, reply)
      this.observer.bytesSent(bytes ?? Buffer.byteLength(this.#body))
    }
  }
}
