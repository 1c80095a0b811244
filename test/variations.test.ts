/** Variations and fallback chains in handlers of any service. */
import fc from 'fast-check'
import t from 'tap'
import { GrpcError, implement, status, type CallContext } from '../src/index.ts'
import { fallback, variations, type Variation } from '../src/serving/index.ts'
import { Greeter, recordingLogger, serve } from './serving.ts'

/** Numbers by chance that are the same each time (mulberry32). */
function seeded (seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let n = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    n = (n + Math.imul(n ^ (n >>> 7), 61 | n)) ^ n
    return ((n ^ (n >>> 14)) >>> 0) / 2 ** 32
  }
}

const listOf = (weights: readonly number[]): Array<Variation<number>> => weights.map((weight, i) => ({ label: `v${i}`, weight, value: i }))
const weights = fc.array(fc.double({ min: 0, minExcluded: true, noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 8 })
const nobody = {} as CallContext

t.test('every draw lands, whatever the weights are', async () => {
  fc.assert(fc.property(weights, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (weights, place) => {
    const list = listOf(weights)
    return list.some(({ label }) => label === variations(list).at(place).label)
  }))
})

t.test('shares are those of the weights, of draws by chance and of keys', async () => {
  const draws = 20_000
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 6 }), fc.integer(), (weights, seed) => {
    const models = variations(listOf(weights), { random: seeded(seed) })
    const sum = weights.reduce((a, b) => a + b)
    const drawn = weights.map(() => 0)
    const keyed = weights.map(() => 0)
    for (let i = 0; i < draws; i++) {
      drawn[models.pick(nobody).value]!++
      keyed[models.of(`${seed} ${i}`).value]!++
    }
    // Six standard deviations of the share that varies most: less than one in a billion is farther off.
    return [drawn, keyed].every(counts => counts.every((count, i) => Math.abs(count / draws - weights[i]! / sum) < 6 * Math.sqrt(0.25 / draws)))
  }), { numRuns: 20 })
})

t.test('a key keeps its variation, also when others are asked for in between', async () => {
  fc.assert(fc.property(weights, fc.array(fc.string()), (weights, keys) => {
    const [one, other] = [variations(listOf(weights)), variations(listOf(weights))]
    const first = keys.map(key => one.of(key).label)
    return [...keys].reverse().every((key, i) => other.of(key).label === first[keys.length - 1 - i])
  }))
  const models = variations(listOf([1, 1, 1]))
  t.same(['ann', 'bob', 'cay', 'dan', 'eve', 'hal'].map(key => models.of(key).label), ['v1', 'v1', 'v0', 'v0', 'v1', 'v2'], 'in every process and version')
  const salted = variations(listOf([1, 1]), { salt: 'other' })
  const plain = variations(listOf([1, 1]))
  const moved = Array.from({ length: 1000 }, (_, i) => String(i)).filter(key => salted.of(key).label !== plain.of(key).label)
  t.ok(moved.length > 400 && moved.length < 600, 'another experiment has other groups')
})

t.test('weights that floats do not add up to 1, and those that have no sum', async t => {
  t.equal(variations(listOf([0.7, 0.1, 0.1, 0.1])).at(1 - 2 ** -53).label, 'v3')
  t.equal(variations(listOf([Number.MAX_VALUE, Number.MAX_VALUE])).at(0.6).label, 'v1')
  t.equal(variations(listOf([Number.MIN_VALUE, Number.MIN_VALUE])).at(0.6).label, 'v1')
})

t.test('in a handler: by chance, by a sticky key, by the choice of the client', async t => {
  const greetings = variations([{ label: 'polite', weight: 1, value: 'Good day' }, { label: 'short', weight: 1, value: 'Hi' }], { stickyBy: 'x-user', chosenBy: ({ metadata }) => metadata.get('x-variation')[0]?.toString(), random: seeded(1) })
  const { post } = await serve(t, { services: [implement(Greeter, { SayHello: (_request, context) => ({ message: greetings.pick(context).value }) })] })
  const greet = async (headers = {}): Promise<string> => (await post('/grpc/greeter/sayhello', {}, headers)).json.message
  const by = async (headers: object): Promise<Set<string>> => new Set(await Promise.all(Array.from({ length: 20 }, () => greet(headers))))
  t.same([...await by({})].sort(), ['Good day', 'Hi'])
  t.same([...await by({ 'x-user': 'ann' })], [greetings.of('ann').value])
  t.same([...await by({ 'x-user': 'ann', 'x-variation': 'short' })], ['Hi'])
  t.same([...await by({ 'x-user': 'ann', 'x-variation': 'polite' })], ['Good day'])
  t.match(await post('/grpc/greeter/sayhello', {}, { 'x-variation': 'x' }), { status: 400, json: { detail: 'There is no variation "x". There are: polite, short' } })
})

t.test('variations that cannot be are refused', async t => {
  for (const [list, message] of [
    [[], 'Variations needs a list of them'],
    [[{ label: '', weight: 1 }], 'Variations need labels'],
    [[{ label: 'a', weight: 1 }, { label: 'a', weight: 1 }], 'Variations has "a" twice'],
    ...[0, -1, NaN, Infinity, '1'].map(weight => [[{ label: 'a', weight }], 'Variations must have positive weights, which that of "a" is not'] as const)
  ] as const) t.throws(() => variations(list as never), { code: 'FGG_ERR_VARIATIONS', message })
  t.throws(() => fallback([]), { code: 'FGG_ERR_VARIATIONS' })
})

t.test('a fallback chain', async t => {
  const asked: string[] = []
  const attempt = (name: string, answer: () => { message: string } | undefined) => async () => { asked.push(name); return answer() }
  const fails = attempt('fails', () => { throw new GrpcError(status.UNAVAILABLE, 'No model today') })
  const breaks = attempt('breaks', () => { throw new Error('secret') })
  const empty = attempt('empty', () => undefined)
  const vague = attempt('vague', () => ({ message: '' }))
  const answers = attempt('answers', () => ({ message: 'Hi' }))
  const isAnswer = ({ message }: { message: string }): boolean => message !== ''
  const logger = recordingLogger()

  for (const [chain, outcome, order] of [
    [[answers, fails], { status: 200, json: { message: 'Hi' } }, ['answers']],
    [[fails, breaks, empty, vague, answers], { status: 200, json: { message: 'Hi' } }, ['fails', 'breaks', 'empty', 'vague', 'answers']],
    [[breaks, fails, empty], { status: 503, json: { detail: 'No model today' } }, ['breaks', 'fails', 'empty']],
    [[empty, vague], { status: 404, json: { detail: 'No model has an answer' } }, ['empty', 'vague']]
  ] as const) {
    const { post } = await serve(t, { logger, services: [implement(Greeter, { SayHello: fallback(chain, { isAnswer }) })] })
    asked.length = 0
    t.match(await post('/grpc/greeter/sayhello', {}), outcome)
    t.same(asked, order)
  }
  t.ok(logger.lines.some(({ level, message }) => level === 'warn' && message === 'Falls back after an error'))
})

t.test('a call that is over is not tried on', async t => {
  const asked: string[] = []
  const chain = fallback<object, { message: string }>([
    async (_request, { signal }) => {
      asked.push('slow')
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
    () => { asked.push('next') }
  ])
  let answer: Promise<unknown> | undefined
  const SayHello = (request: object, context: CallContext): Promise<{ message: string }> => {
    const asking = chain(request, context)
    answer = asking
    return asking
  }
  const { client } = await serve(t, { services: [implement(Greeter, { SayHello })] })
  t.match(await client(Greeter).call('SayHello', {}, { deadline: Date.now() + 200 }), { code: status.DEADLINE_EXCEEDED })
  await t.rejects(async () => await answer, { code: status.DEADLINE_EXCEEDED })
  t.same(asked, ['slow'])
})
