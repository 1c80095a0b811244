/** Many models in one process, of which the lately used are in memory. */
import { Metadata, status as codes, type ServiceDefinition } from '@grpc/grpc-js'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { GrpcError, implement, status, type CallContext, type ServiceRegistrar } from '../src/index.ts'
import { ModelCache, type Lease } from '../src/serving/model-cache.ts'
import { multiplexed, multiplexedModelId } from '../src/serving/index.ts'
import { callOverHttp, Kinds, KINDS, recordingLogger, serve, sleep, until, type Kind, type Note, type Outcome, type Served } from './serving.ts'

interface Model { id: string, isDisposed: boolean, dispose (): void }

/** A loader whose models know when they were disposed of. */
function loading (ms = 0): { load: (id: string) => Promise<Model>, loads: string[], disposed: string[] } {
  const [loads, disposed]: string[][] = [[], []]
  return {
    loads: loads!,
    disposed: disposed!,
    async load (id) {
      loads!.push(id)
      await sleep(ms)
      const model: Model = {
        id,
        isDisposed: false,
        dispose () {
          if (model.isDisposed) throw new Error(`${id} is disposed of twice`)
          model.isDisposed = true
          disposed!.push(id)
        }
      }
      return model
    }
  }
}

/** A promise that is settled from outside. */
function gate (): { opened: Promise<void>, open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open }
}

t.test('B23 the models that were asked for lately stay, the others are disposed of', async t => {
  const { load, disposed } = loading()
  const models = multiplexed(load, { maxNumModelsPerReplica: 2 })
  for (const id of ['1', '2', '3']) t.equal((await models(id)).id, id)
  t.same([models.loaded, disposed], [['2', '3'], ['1']])
  await models('2')
  t.same(models.loaded, ['3', '2'])
  await models('4')
  t.same([models.loaded, disposed], [['2', '4'], ['1', '3']])
})

t.test('B23 to ask for a model keeps it', async t => {
  const models = multiplexed(id => id, { maxNumModelsPerReplica: 2 })
  for (const id of ['1', '2', '1', '3']) await models(id)
  t.same(models.loaded, ['1', '3'])
})

t.test('B23 different models load at the same time, one model once', async t => {
  const { opened, open } = gate()
  const loads: string[] = []
  const models = multiplexed(async id => {
    loads.push(id)
    await opened
    return { id }
  }, { maxNumModelsPerReplica: 1 })
  const asked = Promise.all(['a', 'b', 'c', 'a'].map(async id => await models(id)))
  await until(() => loads.length === 3, 'all three to load')
  open()
  const got = await asked
  t.same(loads, ['a', 'b', 'c'])
  t.same(got.map(({ id }) => id), ['a', 'b', 'c', 'a'])
  t.equal(got[0], got[3])
  t.equal(models.loaded.length, 1)
})

t.test('B23 a model has an id', async t => {
  const models = multiplexed(id => id)
  await t.rejects(models(''), { code: status.INVALID_ARGUMENT, message: 'The model ID cannot be empty.' })
  await t.rejects(models(), { message: 'The model ID cannot be empty.' }, 'outside of a call there is none')
  await t.rejects(models(7 as never), { name: 'TypeError', message: 'The model ID must be a string.' })
  await t.rejects(models.use('', () => {}), { message: 'The model ID cannot be empty.' })
  t.same(models.loaded, [])
})

t.test('there is room for three unless told otherwise', async t => {
  const ids = ['1', '2', '3', '4', '5']
  const [three, all] = [multiplexed(id => id), multiplexed(id => id, { maxNumModelsPerReplica: -1 })]
  for (const id of ids) await Promise.all([three(id), all(id)])
  t.same([three.loaded, all.loaded], [['3', '4', '5'], ids])
})

t.test('options that cannot be are refused', async t => {
  for (const max of [0, -2, 1.5, NaN, Infinity, '3' as never, null as never]) {
    t.throws(() => multiplexed(id => id, { maxNumModelsPerReplica: max }), { code: 'FGG_ERR_MULTIPLEXED', message: /maxNumModelsPerReplica.*positive integer.*-1/ }, String(max))
  }
  t.throws(() => multiplexed(undefined as never), { code: 'FGG_ERR_MULTIPLEXED', message: /loader/ })
})

t.test('a load that fails costs no model its place, and is tried anew', async t => {
  const { load, disposed } = loading()
  let failures = 0
  const models = multiplexed(id => {
    if (id !== 'bad' || failures >= 2) return load(id)
    failures++
    throw new Error('no such file')
  }, { maxNumModelsPerReplica: 1 })
  const good = await models('good')
  t.match(await Promise.allSettled([models('bad'), models('bad')]), [{ reason: { message: 'no such file' } }, { reason: { message: 'no such file' } }])
  t.equal(failures, 1, 'those who wait for one load hear of one failure')
  t.same([models.loaded, disposed, await models('good') === good], [['good'], [], true])
  await t.rejects(models('bad'))
  t.equal((await models('bad')).id, 'bad')
  t.same([models.loaded, disposed], [['bad'], ['good']])
})

t.test('models are disposed of in the way that they have', async t => {
  const disposed: string[] = []
  const dispose = (name: string) => () => { disposed.push(name) }
  const made: Record<string, unknown> = {
    async: { [Symbol.asyncDispose]: dispose('asyncDispose'), [Symbol.dispose]: dispose('wrong'), dispose: dispose('wrong') },
    sync: { [Symbol.dispose]: dispose('Symbol.dispose'), dispose: dispose('wrong') },
    method: { dispose: dispose('dispose') },
    function: Object.assign(() => {}, { dispose: dispose('of a function') }),
    plain: {},
    text: 'text',
    nothing: null
  }
  const models = multiplexed(id => made[id])
  for (const id of Object.keys(made)) t.equal(await models(id), made[id], id)
  await models.dispose()
  t.same(disposed, ['asyncDispose', 'Symbol.dispose', 'dispose', 'of a function'])
})

t.test('a model that fails to be disposed of is logged, and fails no load', async t => {
  const logger = recordingLogger()
  const failures: Record<string, () => unknown> = {
    throws () { throw new Error('stuck') },
    async rejects () { throw new Error('stuck') }
  }
  const models = multiplexed(id => ({ id, dispose: failures[id] }), { maxNumModelsPerReplica: 1, logger })
  for (const id of ['throws', 'rejects', 'other']) t.equal((await models(id)).id, id)
  await until(() => logger.lines.length === 2, 'both failures')
  t.match(logger.lines, ['throws', 'rejects'].map(modelId => ({ level: 'error', message: 'A model failed to be disposed of', fields: { modelId, err: { message: 'stuck' } } })))
})

t.test('a model is not loaded again before its predecessor has gone', async t => {
  const { opened, open } = gate()
  const events: string[] = []
  const models = multiplexed(id => {
    events.push(`load ${id}`)
    return { async dispose () { await opened; events.push(`gone ${id}`) } }
  }, { maxNumModelsPerReplica: 1 })
  await models('a')
  await models('b')
  const again = models('a')
  await models('c')
  t.same(events, ['load a', 'load b', 'load c'])
  open()
  await again
  t.same(events.slice(3, 5), ['gone a', 'gone b'])
  t.ok(events.includes('load a', 3))
})

t.test('use() keeps a model until its work is done, even if it fails', async t => {
  const { load, disposed } = loading()
  const models = multiplexed(load, { maxNumModelsPerReplica: 1 })
  const { opened, open } = gate()
  const working = models.use('a', async ({ id }) => { await opened; return `${id} worked` })
  await models('b')
  t.same([disposed, models.loaded], [['b'], ['a']])
  open()
  t.equal(await working, 'a worked')
  await t.rejects(models.use('c', () => { throw new Error('no') }), { message: 'no' })
  t.same([disposed, models.loaded], [['b', 'a'], ['c']])
  await models('d')
  t.same(models.loaded, ['d'])
})

t.test('dispose() waits for models that are in use or being loaded, and is the end', async t => {
  const { load, disposed } = loading(20)
  const models = multiplexed(load)
  const { opened, open } = gate()
  await models('idle')
  const working = models.use('used', async () => await opened)
  await until(() => models.loaded.includes('used'), 'the model to be used')
  const late = models('late')
  const ended = models.dispose()
  await t.rejects(models('idle'), { message: 'The models have been disposed of' })
  t.equal((await late).id, 'late')
  await until(() => disposed.length === 2, 'those that are not in use')
  t.same(disposed.toSorted(), ['idle', 'late'])
  open()
  await Promise.all([working, ended, models[Symbol.asyncDispose]()])
  t.same([disposed.at(-1), models.loaded], ['used', []])
  await multiplexed(load).dispose()
})

const PROTOCOLS = ['grpc', 'http'] as const
type AnyProtocol = typeof PROTOCOLS[number]

interface CallOptions { id?: string, header?: string, text?: string, signal?: AbortSignal }

/** Calls a method of Kinds and asks for a model. */
async function call ({ client, url }: Served, protocol: AnyProtocol, kind: Kind, { id, header = 'multiplexed_model_id', text = '', signal }: CallOptions): Promise<Outcome> {
  const method = (Kinds as unknown as ServiceDefinition)[kind]!
  const requests = method.requestStream ? [{ text }] : { text }
  if (protocol === 'http') return await callOverHttp(`${url}/grpc/test.Kinds/${kind}`, method, requests, { headers: id === undefined ? {} : { [header]: id }, ...(signal === undefined ? {} : { signal }) })
  const metadata = new Metadata()
  if (id !== undefined) metadata.set(header, id)
  return await client(Kinds).call(kind, requests, { metadata, ...(signal === undefined ? {} : { signal }) })
}

t.test('B2 the client names the model by metadata or a header', async t => {
  const served = await serve(t, {
    services: [implement(Kinds, {
      async Unary (_note, context) {
        await sleep(1)
        t.equal(multiplexedModelId(), context.multiplexedModelId)
        return { text: `loading model: ${context.multiplexedModelId}` }
      }
    })]
  })
  for (const protocol of PROTOCOLS) {
    for (const header of ['multiplexed_model_id', 'multiplexed-model-id', 'serve_multiplexed_model_id', 'serve-multiplexed-model-id', 'Serve_Multiplexed-Model_ID']) {
      t.match(await call(served, protocol, 'Unary', { id: '999', header }), { code: codes.OK, messages: [{ text: 'loading model: 999' }] }, `${protocol} ${header}`)
    }
    t.match(await call(served, protocol, 'Unary', {}), { messages: [{ text: 'loading model: ' }] }, `${protocol} without`)
  }
  const metadata = new Metadata()
  metadata.set('serve_multiplexed_model_id', 'of a proxy')
  metadata.set('multiplexed_model_id', '999')
  t.match(await served.client(Kinds).call('Unary', {}, { metadata }), { messages: [{ text: 'loading model: 999' }] })
})

t.test('a handler gets the model that its client has named', async t => {
  const models = multiplexed(id => {
    if (id === 'none') throw new GrpcError(status.NOT_FOUND, `No model ${id}`)
    return { id }
  })
  const served = await serve(t, { services: [implement(Kinds, { Unary: async () => ({ text: (await models()).id }) })] })
  for (const protocol of PROTOCOLS) {
    t.match(await call(served, protocol, 'Unary', { id: 'a' }), { messages: [{ text: 'a' }] }, protocol)
    t.match(await call(served, protocol, 'Unary', { id: 'none' }), { code: codes.NOT_FOUND, details: 'No model none' }, protocol)
    t.match(await call(served, protocol, 'Unary', {}), { code: codes.INVALID_ARGUMENT, details: 'The model ID cannot be empty.' }, protocol)
  }
})

/** A service whose methods get a model, wait, and say whether they still have it. */
interface Holding {
  source: object
  /** Waits until a handler has its model. */
  entered (): Promise<void>
  /** Lets it go on. */
  open (): void
}

type UseModel = (context: Pick<CallContext, 'multiplexedModelId'>) => Promise<string>

function holding (t: Test, style: 'context' | 'grpc-js', models: (id: string) => Promise<Model>): Holding {
  let [entered, pass] = [gate(), gate()]
  const use: UseModel = async ({ multiplexedModelId }) => {
    const model = await models(multiplexedModelId)
    entered.open()
    if (model.id === 'held') await pass.opened
    if (model.isDisposed) t.fail(`${model.id} was disposed of while it was in use`)
    return model.id
  }
  const open = (): void => {
    pass.open()
    ;[entered, pass] = [gate(), gate()]
  }
  return { source: style === 'context' ? contextService(use) : grpcJsService(use), entered: async () => await entered.opened, open }
}

function contextService (use: UseModel): object {
  return implement(Kinds, {
    Unary: async (_note, context) => ({ text: await use(context) }),
    async * ServerStream (_note, context) {
      yield { text: 'first' }
      yield { text: await use(context) }
    },
    async ClientStream (notes, context) {
      let all = ''
      for await (const { text } of notes) all += text
      return { text: all + await use(context) }
    },
    async * Bidi (notes, context) {
      for await (const { text } of notes) yield { text: text + await use(context) }
    }
  })
}

interface GrpcJsCall {
  metadata: Metadata
  write (note: Partial<Note>): void
  end (): void
  on (event: string, listener: () => void): this
}

/** Handlers of grpc-js, which return no promise. */
function grpcJsService (use: UseModel): object {
  class Service {
    static addToServer (_instance: Service, server: ServiceRegistrar): void {
      type Done = (error: unknown, note?: Partial<Note>) => void
      const useOf = ({ metadata }: GrpcJsCall): Promise<string> => use({ multiplexedModelId: String(metadata.get('multiplexed_model_id')[0]) })
      const reply = (call: GrpcJsCall, done: Done): void => { useOf(call).then(text => done(null, { text }), done) }
      const stream = (call: GrpcJsCall): void => { useOf(call).then(text => { call.write({ text }); call.end() }, () => {}) }
      server.addService(Kinds, {
        Unary: reply,
        ServerStream: stream,
        ClientStream: (call: GrpcJsCall, done: Done) => { call.on('data', () => {}).on('end', () => reply(call, done)) },
        Bidi: (call: GrpcJsCall) => { call.on('data', () => stream(call)) }
      })
    }
  }
  return Service
}

for (const style of ['context', 'grpc-js'] as const) {
  for (const protocol of PROTOCOLS) {
    for (const kind of KINDS) {
      t.test(`${kind} of ${style} handlers over ${protocol}: no model is taken away from a handler that uses it`, async t => {
        const { load, disposed } = loading()
        const models = multiplexed(load, { maxNumModelsPerReplica: 1 })
        const { source, entered, open } = holding(t, style, models)
        const served = await serve(t, { services: [source] })
        const held = call(served, protocol, kind, { id: 'held' })
        await entered()
        for (const id of ['b', 'c']) t.match(await call(served, protocol, kind, { id }), { code: codes.OK }, id)
        await until(() => disposed.length === 2, 'the others to make room')
        t.same([disposed, models.loaded], [['b', 'c'], ['held']])
        open()
        const { code, messages } = await held
        t.same([code, (messages.at(-1) as Note).text], [codes.OK, 'held'])
        await call(served, protocol, kind, { id: 'd' })
        await until(() => disposed.length === 3, 'it to make room when it is no longer in use')
        t.same([disposed, models.loaded], [['b', 'c', 'held'], ['d']])
      })
    }
  }
}

for (const protocol of PROTOCOLS) {
  t.test(`over ${protocol}, a handler whose client has left keeps its model until it has finished`, async t => {
    for (const kind of KINDS) {
      const { load, disposed } = loading()
      const models = multiplexed(load, { maxNumModelsPerReplica: 1 })
      const { source, entered, open } = holding(t, 'context', models)
      const served = await serve(t, { services: [source], logger: recordingLogger() })
      const leaving = new AbortController()
      const held = call(served, protocol, kind, { id: 'held', signal: leaving.signal })
      await entered()
      leaving.abort()
      t.match(await held, { code: codes.CANCELLED }, kind)
      await until(() => served.gateway.load.running === 0, 'the call to be over')
      await call(served, protocol, 'Unary', { id: 'b' })
      await until(() => disposed.length === 1, 'b to make room')
      t.same([disposed, models.loaded], [['b'], ['held']], kind)
      open()
      await call(served, protocol, 'Unary', { id: 'c' })
      await until(() => disposed.length === 2, 'the model to be given back')
      t.same([disposed, models.loaded], [['b', 'held'], ['c']], kind)
    }
  })
}

t.test('a call that asks for its model again and again uses it once; one that uses two keeps both', async t => {
  const { load, disposed } = loading()
  const models = multiplexed(load, { maxNumModelsPerReplica: 1 })
  const served = await serve(t, {
    services: [implement(Kinds, {
      async * Bidi (notes) {
        for await (const { text } of notes) yield { text: (await models(text)).id, n: String(models.loaded.length) }
      }
    })]
  })
  const { messages } = await served.client(Kinds).call('Bidi', ['a', 'a', 'b', 'a'].map(text => ({ text })))
  t.match(messages, [{ text: 'a', n: '1' }, { text: 'a', n: '1' }, { text: 'b', n: '2' }, { text: 'a', n: '2' }])
  await until(() => disposed.length === 1, 'one of both to make room')
  t.equal(models.loaded.length, 1)
})

t.test('what a handler leaves behind uses no model, unless by use()', async t => {
  const { load, disposed } = loading(5)
  const models = multiplexed(load, { maxNumModelsPerReplica: 1 })
  let late: Promise<Model> | undefined
  const served = await serve(t, { services: [implement(Kinds, { Unary: ({ text }) => { late = models(text); return {} } })] })
  for (const text of ['a', 'b']) {
    await served.client(Kinds).call('Unary', { text })
    await late
  }
  await until(() => disposed.length === 1, 'a to make room')
  t.same([disposed, models.loaded], [['a'], ['b']])
})

t.test('1,000 calls at once over 20 models with room for 3: no more are kept, each is loaded once a miss, no call fails', async t => {
  const { load, loads, disposed } = loading(2)
  const live = new Map<string, number>()
  let [misses, twins, gone] = [0, 0, 0]
  const models = multiplexed(async id => {
    const model = await load(id)
    live.set(id, (live.get(id) ?? 0) + 1)
    if (live.get(id)! > 1) twins++
    return { ...model, dispose () { model.dispose(); live.set(id, live.get(id)! - 1) }, isGone: () => model.isDisposed }
  })
  const wanted = new Set<string>()
  const served = await serve(t, {
    services: [implement(Kinds, {
      async Unary (_note, { multiplexedModelId: id }) {
        // A miss is a model that is neither there nor on its way.
        if (!models.loaded.includes(id) && !wanted.has(id)) {
          misses++
          wanted.add(id)
        }
        const model = await models(id)
        wanted.delete(id)
        await sleep(Number(id) % 3)
        if (model.isGone()) gone++
        return { text: model.id }
      }
    })]
  })
  const client = served.client(Kinds)
  const ids = Array.from({ length: 1000 }, (_, i) => String(i * 7 % 20))
  const texts = await Promise.all(ids.map(async (id, i) => {
    if (i % 2 === 0) return (await served.post('/grpc/kinds/unary', {}, { serve_multiplexed_model_id: id })).json.text
    const metadata = new Metadata()
    metadata.set('multiplexed_model_id', id)
    return ((await client.call('Unary', {}, { metadata })).messages[0] as Note).text
  }))
  t.same(texts, ids, 'every call is answered by its model')
  t.equal(loads.length, misses, 'loads and misses')
  t.same([twins, gone], [0, 0], 'no model is there twice, none is disposed of while it is in use')
  await until(() => models.loaded.length <= 3, 'no more than three to be left')
  t.equal(loads.length - disposed.length, 3)
  t.comment(`${loads.length} loads`)
})

/** What happens to a cache: ids and turns are indices into what there is at the time. */
type Step = { do: 'acquire', id: number } | { do: 'release' | 'load' | 'fail' | 'unload', turn: number }

const steps: fc.Arbitrary<Step[]> = fc.array(fc.oneof(
  fc.record({ do: fc.constant('acquire' as const), id: fc.nat(4) }),
  fc.record({ do: fc.constantFrom('release' as const, 'load' as const, 'fail' as const, 'unload' as const), turn: fc.nat(20) })
), { maxLength: 60, size: 'max' })

class SlowModel {
  readonly id: string
  users = 0
  state: 'loaded' | 'unloading' | 'gone' = 'loaded'

  constructor (id: string) {
    this.id = id
  }
}

interface Pending<T> { id: string, resolve (value: T): void, reject (error: Error): void }

function pick<T> (list: T[], turn: number): T | undefined {
  return list.splice(turn % Math.max(1, list.length), 1)[0]
}

t.test('whatever happens in whatever order, the cache keeps its promises', async t => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 3 }), steps, async (max, steps) => {
    const broken: string[] = []
    const expect = (holds: boolean, what: string): void => { if (!holds) broken.push(what) }
    const models: SlowModel[] = []
    const loads: Array<Pending<SlowModel>> = []
    const unloads: Array<Pending<void>> = []
    const leases: Array<Lease<SlowModel>> = []
    let [waiting, answered, failed] = [0, 0, 0]
    const cache = new ModelCache<SlowModel>({
      max,
      load (id) {
        expect(!loads.some(load => load.id === id), `${id} is loaded twice at once`)
        expect(!models.some(model => model.id === id && model.state !== 'gone'), `${id} is loaded although it is there`)
        return new Promise((resolve, reject) => loads.push({ id, resolve, reject }))
      },
      unload (model, id) {
        expect(model.id === id && model.state === 'loaded', `${id} is unloaded twice`)
        expect(model.users === 0, `${id} is unloaded while it is in use`)
        model.state = 'unloading'
        return new Promise((resolve, reject) => unloads.push({ id, resolve: () => { model.state = 'gone'; resolve() }, reject }))
      }
    })
    const settled = async (): Promise<void> => {
      await new Promise(resolve => setImmediate(resolve))
      const loaded = models.filter(({ state }) => state === 'loaded')
      const idle = loaded.filter(({ users }) => users === 0)
      expect(idle.length === 0 || loaded.length <= max, `${loaded.length} models are kept, ${idle.length} of them idle`)
      expect(cache.ids.toSorted().join() === loaded.map(({ id }) => id).toSorted().join(), 'ids are those of the models that are loaded')
    }
    const load = (pending: Pending<SlowModel>): void => {
      const model = new SlowModel(pending.id)
      models.push(model)
      pending.resolve(model)
    }
    const release = ({ model, release }: Lease<SlowModel>): void => {
      model.users--
      release()
    }
    const acquire = (id: string): void => {
      waiting++
      cache.acquire(id).then(lease => {
        answered++
        expect(lease.model.id === id && lease.model.state === 'loaded', `${id} is handed out when it is ${lease.model.state}`)
        lease.model.users++
        leases.push(lease)
      }, () => { failed++ })
    }
    for (const step of steps) {
      if (step.do === 'acquire') acquire(String(step.id))
      else if (step.do === 'release') [pick(leases, step.turn)].forEach(lease => lease && release(lease))
      else if (step.do === 'load') [pick(loads, step.turn)].forEach(pending => pending && load(pending))
      else if (step.do === 'unload') [pick(unloads, step.turn)].forEach(pending => pending?.resolve())
      else {
        const before = cache.ids.join()
        pick(loads, step.turn)?.reject(new Error('no such model'))
        await settled()
        expect(cache.ids.join() === before, 'a load that fails changes nothing')
      }
      await settled()
    }
    const closed = cache.close()
    do {
      await new Promise(resolve => setImmediate(resolve))
      loads.splice(0).forEach(load)
      leases.splice(0).forEach(release)
      unloads.splice(0).forEach(({ resolve }) => resolve())
      await new Promise(resolve => setImmediate(resolve))
    } while (loads.length + leases.length + unloads.length > 0)
    await closed
    expect(models.every(({ state }) => state === 'gone'), 'every model is disposed of in the end')
    expect(answered + failed === waiting, 'everybody is answered')
    if (broken.length > 0) throw new Error(broken.join('; '))
  }), { numRuns: 300 })
  t.pass()
})
