/** One call: every kind of RPC is the same on the wire, messages one way and the other, and a status. */
import { Metadata, type CallOptions, type Client, type MethodDefinition, type StatusObject } from '@grpc/grpc-js'

export interface Exchange {
  readonly metadata?: Metadata | undefined
  readonly options?: CallOptions | undefined
  /** Is given the headers of the server, when they come. */
  onHeaders? (headers: Metadata): void
  /** Is given each message; the next one waits for its promise. */
  onMessage (message: object): Promise<void> | void
}

/** @throws what reading the requests throws; then the call is cancelled */
export async function exchange (client: Client, { path, requestSerialize, responseDeserialize }: MethodDefinition<object, object>, requests: Iterable<object> | AsyncIterable<object>, { metadata = new Metadata(), options = {}, onHeaders, onMessage }: Exchange): Promise<StatusObject> {
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options)
  let isOver = false
  const status = new Promise<StatusObject>(resolve => call.once('status', status => {
    isOver = true
    resolve(status)
  }))
  // It says what the status says.
  call.on('error', () => {})
  if (onHeaders !== undefined) call.once('metadata', onHeaders)
  let received = Promise.resolve()
  call.on('data', (message: object) => {
    call.pause()
    received = received.then(() => onMessage(message)).then(() => { call.resume() })
  })
  const send = async (): Promise<void> => {
    for await (const request of requests) {
      if (isOver) return
      if (!call.write(request)) await Promise.race([new Promise<void>(resolve => call.once('drain', resolve)), status])
    }
    call.end()
  }
  let failure: unknown
  const sending = send().catch(error => {
    failure = error
    call.cancel()
  })
  const result = await Promise.race([status, sending.then(() => status)])
  await received
  if (failure !== undefined) throw failure
  return result
}

/** A call with one message each way. */
export async function callUnary (client: Client, method: MethodDefinition<object, object>, request: object): Promise<StatusObject & { message: Record<string, unknown> | undefined }> {
  let message: Record<string, unknown> | undefined
  const status = await exchange(client, method, [request], { options: { deadline: Date.now() + 10_000 }, onMessage: received => { message = received as Record<string, unknown> } })
  return { ...status, message }
}
