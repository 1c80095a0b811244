/** A chain of models or handlers: each is asked when those before it had no answer. */
import type { CallContext } from '../call/context.ts'
import { configurationErrors, GrpcError } from '../errors.ts'
import { status } from '../status.ts'

/** A handler, or something of its form. No answer is undefined or null. */
export type Attempt<Request, Answer> = (request: Request, context: CallContext) => Answer | null | undefined | void | Promise<Answer | null | undefined | void>

export interface FallbackOptions<Answer> {
  /** Whether an answer is one. Default: every one but undefined and null. */
  readonly isAnswer?: ((answer: Answer) => boolean) | undefined
}

/**
 * A handler that asks one after the other until one has an answer. What fails on the way is logged as a warning. When
 * none has an answer, the call fails by the last error, or with NOT_FOUND where there was none. A call that is over is
 * not tried on.
 *
 * @throws FGG_ERR_VARIATIONS for an empty chain
 *
 * @example
 * implement(Classifier, { Predict: fallback([bestModel, quickModel, guess]) })
 */
export function fallback<Request, Answer> (attempts: ReadonlyArray<Attempt<Request, Answer>>, { isAnswer = () => true }: FallbackOptions<Answer> = {}): (request: Request, context: CallContext) => Promise<Answer> {
  if (!Array.isArray(attempts) || attempts.length === 0 || attempts.some(attempt => typeof attempt !== 'function')) throw new configurationErrors.FGG_ERR_VARIATIONS('of a fallback must be a list of functions')
  const chain: ReadonlyArray<Attempt<Request, Answer>> = [...attempts]
  return async (request, context) => {
    let failure: { readonly error: unknown } | undefined
    for (const [i, attempt] of chain.entries()) {
      try {
        const answer = await attempt(request, context)
        if (answer !== undefined && answer !== null && isAnswer(answer)) return answer
      } catch (error) {
        failure = { error }
        if (context.aborted === undefined && i + 1 < chain.length) context.log.warn({ err: error, attempt: i + 1, of: chain.length }, 'Falls back after an error')
      }
      if (context.aborted !== undefined) throw context.aborted
    }
    throw failure === undefined ? new GrpcError(status.NOT_FOUND, 'No model has an answer') : failure.error
  }
}
