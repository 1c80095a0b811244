/** A model that computes, for about 10 ms. */
import { messages, type Json } from '../messages.ts'

const STEPS = 3_000_000

export class SlowModel {
  answer (request: Json): Json {
    let x = 0.5
    for (let i = 0; i < STEPS; i++) x = 3.9 * x * (1 - x)
    if (!(x > 0 && x < 1)) throw new Error('The logistic map has left its interval')
    return messages.hello.answer(request)
  }
}
