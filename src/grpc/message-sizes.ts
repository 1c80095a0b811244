/** How many bytes messages have over gRPC, where grpc-js gives only messages to a call, and only bytes to a codec. */
import type { MethodDefinition } from '@grpc/grpc-js'
import type { CallObserver } from '../call/observer.ts'

type Codec = Pick<MethodDefinition<unknown, unknown>, 'requestDeserialize' | 'responseSerialize'>

/** A request message on its way from the codec to its call. */
class SizedMessage {
  readonly message: unknown
  readonly bytes: number

  constructor (message: unknown, bytes: number) {
    this.message = message
    this.bytes = bytes
  }
}

/** Whose message is being serialized. */
let sender: CallObserver | undefined

/** The codec of a method whose calls are watched. What it reads has to go through `unsized`. */
export function sizingCodec ({ requestDeserialize, responseSerialize }: Codec): Codec {
  return {
    requestDeserialize: bytes => new SizedMessage(requestDeserialize(bytes), bytes.length),
    responseSerialize (message) {
      try {
        const bytes = responseSerialize(message)
        sender?.messageSent()
        sender?.bytesSent(bytes.length)
        return bytes
      } catch (error) {
        sender?.failed(error)
        throw error
      }
    }
  }
}

/** The message that the codec has read. */
export function unsized (message: unknown, observer: CallObserver): unknown {
  if (!(message instanceof SizedMessage)) return message
  observer.messageReceived()
  observer.bytesReceived(message.bytes)
  return message.message
}

/** @param send serializes a message, in this turn */
export function watchSending (observer: CallObserver, send: () => void): void {
  sender = observer
  try {
    send()
  } finally {
    sender = undefined
  }
}
