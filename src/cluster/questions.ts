/** Questions to all workers, which the primary passes on. */
import type { WorkerProcess } from './worker-process.ts'

interface Question {
  /** Resolves the answer of each worker that is asked: to a list of one, or of none. */
  readonly waiting: Map<WorkerProcess, (answer: unknown[]) => void>
}

export class Questions {
  readonly #workers: () => readonly WorkerProcess[]
  readonly #open = new Map<number, Question>()
  #lastId = 0

  constructor (workers: () => readonly WorkerProcess[]) {
    this.#workers = workers
  }

  /** @returns the answers that have come in time; workers without an answer, or that die meanwhile, have none */
  async ask (topic: string, timeoutMs: number): Promise<unknown[]> {
    const id = ++this.#lastId
    const question: Question = { waiting: new Map() }
    this.#open.set(id, question)
    const timer = setTimeout(() => { for (const resolve of question.waiting.values()) resolve([]) }, timeoutMs)
    try {
      const answers = await Promise.all(this.#workers().map(worker => {
        const answer = new Promise<unknown[]>(resolve => { question.waiting.set(worker, resolve) })
        worker.tell({ kind: 'question', id, topic })
        return Promise.race([answer, worker.ended.then(() => [])])
      }))
      return answers.flat(1)
    } finally {
      clearTimeout(timer)
      this.#open.delete(id)
    }
  }

  /** @param answer a list of one, or of none */
  answered (id: number, from: WorkerProcess, answer: unknown[]): void {
    this.#open.get(id)?.waiting.get(from)?.(answer)
  }
}
