/** Many models in one process, of which the lately used are in memory. */
import t from 'tap'
import { multiplexed } from '../src/serving/index.ts'
import { sleep } from './serving.ts'

t.test('B23 the models that were asked for lately stay, the others are disposed of', async t => {
  const disposed: string[] = []
  const load = (id: string) => ({ id, dispose () { disposed.push(id) } })
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
  const loads: string[] = []
  const models = multiplexed(async id => {
    loads.push(id)
    await sleep(10)
    return { id }
  }, { maxNumModelsPerReplica: 1 })
  const got = await Promise.all(['a', 'b', 'c', 'a'].map(async id => await models(id)))
  t.same(loads, ['a', 'b', 'c'])
  t.same(got.map(({ id }) => id), ['a', 'b', 'c', 'a'])
  t.equal(got[0], got[3])
  t.equal(models.loaded.length, 1)
})

t.test('B23 a model has an id', async t => {
  const models = multiplexed(id => id)
  await t.rejects(models(''), { message: 'The model ID cannot be empty.' })
  await t.rejects(models(7 as never), { name: 'TypeError', message: 'The model ID must be a string.' })
  t.same(models.loaded, [])
})
