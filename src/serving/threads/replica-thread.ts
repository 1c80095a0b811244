/** Runs in a thread: the instance of a deployment, and the requests that come to it. */
import { AsyncResource } from 'node:async_hooks'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { workerData } from 'node:worker_threads'
import { Metadata } from '@grpc/grpc-js'
import { CurrentCall, runInCall } from '../../call/current-call.ts'
import type { Logger } from '../../call/logger.ts'
import { LocalReplica } from '../replica.ts'
import { runInContext, streamInContext, type RequestContext } from '../request-context.ts'
import type { AnyDeployment } from '../deployment.ts'
import type { FromReplica, Outcome, ReplicaSource, SentContext, Task, ToReplica } from './messages.ts'
import { receivedError, sentError } from './sent-error.ts'

type Port = NonNullable<Task['port']>

let making: Promise<LocalReplica> | undefined

/** With the first task, so that what goes wrong is told to somebody. */
async function make (): Promise<LocalReplica> {
  const { module, exportName, args } = workerData as ReplicaSource
  const target = (await load(module) as Record<string, AnyDeployment | undefined>)[exportName]
  if (typeof target !== 'function') throw new TypeError(`${module} exports no ${exportName}. Replicas in threads need the deployment's class as an export of its module`)
  return new LocalReplica(target, args)
}

/** Loaders of TypeScript such as tsx work in threads for `require` only, before Node.js 22. */
async function load (module: string): Promise<unknown> {
  try {
    return await import(module)
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
    return createRequire(import.meta.url)(fileURLToPath(module))
  }
}

export default async function work (task: Task): Promise<Outcome> {
  const call = new CurrentCall()
  try {
    return await runInCall(call, () => answer(task))
  } finally {
    call.finish()
  }
}

async function answer ({ method, request, context, port }: Task): Promise<Outcome> {
  try {
    const replica = await (making ??= make())
    if (method === undefined || context === undefined || port === undefined) return { value: undefined }
    const received = receivedContext(context, port)
    const result = await runInContext(received, () => replica.call(method, request, received))
    if (typeof result !== 'object' || result === null || !(Symbol.asyncIterator in result)) return { value: result }
    await pour(streamInContext(received, result as AsyncIterable<unknown>), port)
    return { value: undefined }
  } catch (error) {
    return { error: sentError(error) }
  } finally {
    port?.close()
  }
}

/** Sends a stream, item by item as they are asked for. */
async function pour (stream: AsyncGenerator<unknown>, port: Port): Promise<void> {
  const send = (message: FromReplica): void => port.postMessage(message)
  await new Promise<void>(resolve => {
    // Messages come from outside; the generator runs within the call.
    port.on('message', AsyncResource.bind(async (message: ToReplica) => {
      if (message !== 'next' && message !== 'return') return
      try {
        const { done = false, value } = message === 'next' ? await stream.next() : await stream.return(undefined)
        send({ item: { done, value } })
        if (done) resolve()
      } catch (error) {
        send({ item: { error: sentError(error) } })
        resolve()
      }
    }))
    port.once('close', () => {
      stream.return(undefined).catch(() => {})
      resolve()
    })
    send('stream')
  })
}

function receivedContext ({ application, deadline, multiplexedModelId, principal, requestId, metadata }: SentContext, port: Port): RequestContext {
  const abort = new AbortController()
  port.on('message', (message: ToReplica) => { if (typeof message === 'object') abort.abort(receivedError(message.aborted)) })
  return {
    application,
    deadline,
    log: portLogger(port, {}),
    metadata: Metadata.fromHttp2Headers(metadata as never),
    multiplexedModelId,
    principal,
    requestId,
    signal: abort.signal,
    timeRemaining: () => deadline === undefined ? Infinity : Math.max(0, deadline.getTime() - Date.now())
  }
}

/** Lines are written in the server's thread. */
function portLogger (port: Port, bound: object): Logger {
  const write = (log: Exclude<keyof Logger, 'child'>) => (fields: object, message: string): void => {
    port.postMessage({ log, fields: { ...bound, ...fields }, message } satisfies FromReplica)
  }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error'), child: fields => portLogger(port, { ...bound, ...fields }) }
}
