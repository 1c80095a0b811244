/** What the generators of both kinds of writers have in common. */
import type protobuf from 'protobufjs'
import { FunctionGenerator, type MessageFunction } from '../generated-code.ts'
import { directOf, type Direct } from './direct.ts'
import { isNoMessage, type MessageWriters } from './messages.ts'

export abstract class WriterGenerator<F extends MessageFunction> extends FunctionGenerator<F> {
  protected readonly writers: MessageWriters

  constructor (writers: MessageWriters) {
    super()
    this.writers = writers
  }

  /** Statements that give up on what is no message, or too deep in others. */
  protected guard (): string {
    return `if (typeof message !== 'object' || message === null || depth > ${this.writers.options.nestingLimit}) throw undefined
      if (Object.getPrototypeOf(message) !== Object.prototype && ${this.use(isNoMessage)}(message)) throw undefined`
  }

  protected direct (field: protobuf.Field): Direct | undefined {
    return directOf(field, this.writers.options, this)
  }
}
