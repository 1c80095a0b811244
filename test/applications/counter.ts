/** A deployment that computes, in threads. */
import { threadId } from 'node:worker_threads'
import { GrpcError, status } from '../../src/index.ts'
import type { RequestContext } from '../../src/serving/index.ts'

export class Counter {
  readonly #greeting: string

  constructor (greeting: string) {
    if (greeting === 'fail') throw new Error('no such greeting')
    this.#greeting = greeting
  }

  who ({ name, num }: { name: string, num: number }, { requestId }: RequestContext): string {
    if (name === 'refuse') throw new GrpcError(status.NOT_FOUND, 'nobody')
    if (name === 'exit') process.exit(1)
    for (const end = Date.now() + num; Date.now() < end;);
    return `${this.#greeting} ${requestId} ${threadId}`
  }

  async * count ({ to }: { to: number }): AsyncGenerator<number> {
    if (to < 0) throw new Error(`cannot count to ${to}`)
    for (let i = 1; i <= to; i++) yield i
  }

  async wait (_request: object, { signal }: RequestContext): Promise<string> {
    return await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))))
  }
}
