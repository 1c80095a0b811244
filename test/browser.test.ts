/** The page of examples/browser, in a real browser. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser, type Locator, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { endsOnSigterm, example, run, type Running } from './example-process.ts'

/** The browser that `CHROMIUM` names, else the first that is installed. */
function findBrowser (): string | undefined {
  const { CHROMIUM, PATH = '' } = process.env
  if (CHROMIUM !== undefined && CHROMIUM !== '') return CHROMIUM
  return ['chromium', 'chromium-browser', 'google-chrome']
    .flatMap(name => PATH.split(delimiter).map(folder => join(folder, name)))
    .find(isExecutable)
}

function isExecutable (file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const executablePath = findBrowser()

t.test('the page of examples/browser', { skip: executablePath === undefined && 'no Chromium on the PATH, and CHROMIUM names none' }, async t => {
  const running = await run(t, example('browser/main.ts'))
  const browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] })
  t.teardown(() => browser.close())

  await t.test('a server stream, by server-sent events', t => followsTicks(t, browser, running))
  await t.test('a server stream that fails', t => showsError(t, browser, running))
  await t.test('a server stream that is left', t => stops(t, browser, running))
  await t.test('a server stream whose connection is lost goes on where it was', t => resumes(t, browser, running))
  await t.test('a chat of two pages', t => chats(t, browser, running))
  await t.test('a chat that fails', t => failsToJoin(t, browser, running))
  await t.test('a chat whose page is closed', t => leavesByClosing(t, browser, running))

  await browser.close()
  await endsOnSigterm(t, running)
})

/** Opens the page, which keeps its event sources in `sources`. Nothing in it may fail unnoticed. */
async function open (t: Test, browser: Browser, { http }: Running): Promise<Page> {
  const page = await browser.newPage()
  t.teardown(() => page.close())
  page.setDefaultTimeout(20_000)
  page.on('pageerror', error => t.error(error))
  await page.addInitScript(`
    globalThis.sources = []
    globalThis.EventSource = class extends EventSource {
      constructor (url) {
        super(url)
        sources.push(this)
      }
    }`)
  await page.goto(http)
  return page
}

const shown = async (element: Locator, text: string | RegExp): Promise<void> => await element.filter({ hasText: text }).waitFor()

async function follow (page: Page, { ticks, failAfter = 0 }: { ticks: number, failAfter?: number }): Promise<void> {
  await page.getByLabel('Ticks', { exact: true }).and(page.locator('input')).fill(String(ticks))
  await page.getByLabel('Fail after').fill(String(failAfter))
  await page.getByRole('button', { name: 'Follow' }).click()
}

const tickerStatus = (page: Page): Locator => page.locator('#ticker-status')
const tickNumbers = async (page: Page): Promise<string[]> => (await page.locator('#ticks li').allTextContents()).map(text => /^Tick (\d+) at ./.exec(text)![1]!)
const closedSources = async (page: Page): Promise<boolean[]> => await page.evaluate('sources.map(({ readyState }) => readyState === EventSource.CLOSED)')

async function followsTicks (t: Test, browser: Browser, running: Running): Promise<void> {
  const page = await open(t, browser, running)
  const requests: string[] = []
  page.on('request', request => { if (request.resourceType() === 'eventsource') requests.push(new URL(request.url()).search) })
  await follow(page, { ticks: 4 })
  await shown(tickerStatus(page), 'Ended: OK')
  t.same(await tickNumbers(page), ['1', '2', '3', '4'])
  t.equal(await page.locator('#ticker-error').textContent(), '')
  t.same(await closedSources(page), [true], 'a closed EventSource does not connect again')
  t.same(requests, ['?count=4&failAfter=0'])
}

async function showsError (t: Test, browser: Browser, running: Running): Promise<void> {
  const page = await open(t, browser, running)
  await follow(page, { ticks: 5, failAfter: 2 })
  await shown(page.locator('#ticker-error'), 'UNAVAILABLE: The clock stopped after 2')
  await shown(tickerStatus(page), 'Ended: UNAVAILABLE')
  t.same(await tickNumbers(page), ['1', '2'])
  t.same(await closedSources(page), [true])

  await follow(page, { ticks: 1 })
  await shown(tickerStatus(page), 'Ended: OK')
  t.equal(await page.locator('#ticker-error').textContent(), '', 'the next stream begins afresh')
  t.same(await tickNumbers(page), ['1'])
}

async function stops (t: Test, browser: Browser, running: Running): Promise<void> {
  const page = await open(t, browser, running)
  await follow(page, { ticks: 1000 })
  await shown(page.locator('#ticks'), 'Tick 2')
  t.equal(await tickerStatus(page).textContent(), 'Following')
  await page.getByRole('button', { name: 'Stop' }).click()
  await shown(tickerStatus(page), 'Stopped')
  t.same(await closedSources(page), [true])
}

async function resumes (t: Test, browser: Browser, running: Running): Promise<void> {
  const page = await open(t, browser, running)
  let requests = 0
  await page.route('**/follow?*', async route => {
    requests++
    if (requests > 1) return await route.continue()
    await route.fulfill({ contentType: 'text/event-stream', body: 'retry: 50\n\nid: 1\ndata: {"number":1,"time":"2026-01-01T00:00:00Z"}\n\n' })
  })
  await follow(page, { ticks: 3 })
  await shown(tickerStatus(page), 'Ended: OK')
  t.same(await tickNumbers(page), ['1', '2', '3'])
  t.equal(requests, 2)
}

const chatStatus = (page: Page): Locator => page.locator('#chat-status')
const linesIn = (page: Page): Locator => page.locator('#lines li')

async function joinAs (page: Page, name: string): Promise<void> {
  await page.getByLabel('Name').fill(name)
  await page.getByRole('button', { name: 'Join' }).click()
}

async function say (page: Page, text: string): Promise<void> {
  await page.getByLabel('Line', { exact: true }).fill(text)
  await page.getByRole('button', { name: 'Say' }).click()
}

async function chats (t: Test, browser: Browser, running: Running): Promise<void> {
  const [ada, ben] = [await open(t, browser, running), await open(t, browser, running)]
  t.ok(await ada.getByRole('button', { name: 'Say' }).isDisabled(), 'nothing can be said before joining')
  await joinAs(ada, 'Ada')
  await shown(chatStatus(ada), 'Joined, talkers: 1')
  await joinAs(ben, 'Ben')
  await shown(chatStatus(ben), 'Joined, talkers: 2')

  await say(ada, 'Hello, <b>Ben</b>')
  await shown(linesIn(ben), 'Ada: Hello, <b>Ben</b>')
  await say(ben, 'Hello, Ada ✓')
  for (const page of [ada, ben]) {
    await shown(linesIn(page), 'Ben: Hello, Ada ✓')
    t.same(await linesIn(page).allTextContents(), ['Ada: Hello, <b>Ben</b>', 'Ben: Hello, Ada ✓'])
  }

  await ben.getByRole('button', { name: 'Leave' }).click()
  await shown(chatStatus(ben), 'Ended: OK, close code 1000')
  t.equal(await ben.locator('#chat-error').textContent(), '')
  t.ok(await ben.getByRole('button', { name: 'Join' }).isEnabled())

  await say(ada, 'Are you there?')
  await shown(linesIn(ada), 'Ada: Are you there?')
  t.equal(await linesIn(ben).count(), 2, 'who has left hears nothing')
  await ada.getByRole('button', { name: 'Leave' }).click()
  await shown(chatStatus(ada), 'Ended: OK, close code 1000')
}

async function failsToJoin (t: Test, browser: Browser, running: Running): Promise<void> {
  const [first, second] = [await open(t, browser, running), await open(t, browser, running)]
  await joinAs(first, 'Ada')
  await shown(chatStatus(first), 'Joined, talkers: 1')
  await joinAs(second, 'Ada')
  await shown(chatStatus(second), 'Ended: ALREADY_EXISTS, close code 4006')
  t.equal(await second.locator('#chat-error').textContent(), 'ALREADY_EXISTS: Ada is here already')

  await joinAs(second, 'Ben')
  await shown(chatStatus(second), 'Joined, talkers: 2')
  t.equal(await second.locator('#chat-error').textContent(), '', 'the next chat begins afresh')
}

async function leavesByClosing (t: Test, browser: Browser, running: Running): Promise<void> {
  const [left, next] = [await open(t, browser, running), await open(t, browser, running)]
  await joinAs(left, 'Cleo')
  await shown(chatStatus(left), 'Joined')
  await left.close()
  for (let joined = false; !joined;) {
    await joinAs(next, 'Cleo')
    await shown(chatStatus(next), /Joined|Ended/)
    joined = await chatStatus(next).filter({ hasText: 'Joined' }).count() > 0
  }
  t.pass('the name is free again')
}
