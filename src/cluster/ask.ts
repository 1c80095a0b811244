/** What every worker can be asked, and asking them all. */
import { isWorker, say } from './channel.ts'
import type { Questions } from './questions.ts'

const answerers = new Map<string, () => unknown>()
/** Questions of this worker that are open, by number. */
const open = new Map<number, (values: readonly unknown[]) => void>()
let lastId = 0
/** In the primary. */
let questions: Questions | undefined

/**
 * Answers a question that any worker may ask.
 *
 * @param value what to answer, as JSON can carry it; who throws has no answer
 * @returns takes it back
 */
export function answer (topic: string, value: () => unknown): () => void {
  answerers.set(topic, value)
  return () => { if (answerers.get(topic) === value) answerers.delete(topic) }
}

/**
 * Asks all workers, this one included; in a process without workers this one only.
 *
 * @returns the answers that have come within `timeoutMs`, in no order
 */
export async function askAll (topic: string, timeoutMs: number): Promise<readonly unknown[]> {
  if (questions !== undefined) return await questions.ask(topic, timeoutMs)
  if (!isWorker()) return await answerOf(topic)
  const id = ++lastId
  return await new Promise(resolve => {
    open.set(id, resolve)
    say({ kind: 'ask', id, topic, timeoutMs })
  })
}

/** In a worker: the primary has collected the answers. */
export function resolveQuestion (id: number, values: readonly unknown[]): void {
  open.get(id)?.(values)
  open.delete(id)
}

/** In a worker: the primary asks. */
export async function answerQuestion (id: number, topic: string): Promise<void> {
  const [value] = await answerOf(topic)
  say(value === undefined ? { kind: 'answer', id } : { kind: 'answer', id, value })
}

/** In the primary: whom to ask. */
export function useQuestions (those: Questions | undefined): void {
  questions = those
}

async function answerOf (topic: string): Promise<unknown[]> {
  try {
    const value = await answerers.get(topic)?.()
    return value === undefined ? [] : [value]
  } catch {
    return []
  }
}
