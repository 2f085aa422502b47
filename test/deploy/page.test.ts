/**
 * The chat page of the demo in a real Chromium. With SCREENSHOTS=1 the pictures of the README are taken anew
 * (docs/page-*.png).
 */
import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { within } from '../../demo/client.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { startChromium } from '../helpers/chromium.ts'
import { demo } from '../helpers/demo-process.ts'

t.setTimeout(290_000)

const ROOT = join(import.meta.dirname, '..', '..')
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const PATIENCE_MS = 30_000
const DESKTOP = { width: 1360, height: 850 }
const PHONE = { width: 360, height: 740 }
const MAX_PICTURE_BYTES = 150_000

interface Violation { readonly id: string, readonly nodes: ReadonlyArray<{ readonly target: readonly string[], readonly failureSummary?: string }> }

/** A demo of its own, ready to be looked at. */
async function startDemo (t: Test, args: readonly string[] = []): Promise<{ readonly url: string, readonly stop: () => Promise<{ readonly code: number | null }> }> {
  const { child, texts, ended, printed } = demo(t, args)
  await within(printed(/PushMessage\n/), 'welcome text', 120_000)
  return {
    url: /^ {2}(http:\S+\/)$/m.exec(texts.out)?.[1] ?? '',
    stop: async () => {
      child.kill('SIGINT')
      return await within(ended, 'end', PATIENCE_MS)
    }
  }
}

/** The page with everybody connected; whatever it complains of is collected. */
async function openPage (t: Test, browser: Browser, url: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, reducedMotion: 'reduce', locale: 'en-GB', ...options })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => { faults.push(String(error)) })
  page.on('console', (message) => { if (/Content Security Policy/i.test(message.text())) faults.push(message.text()) })
  page.on('request', (request) => { if (!request.url().startsWith(url) && !request.url().startsWith(url.replace('http', 'ws'))) faults.push(request.url()) })
  await page.goto(url)
  for (const name of ['alice', 'bob', 'carol']) await person(page, name).state(/node \d/)
  return { page, faults }
}

/** One of the panels. */
function person (page: Page, name: string) {
  const panel = page.getByRole('region', { name, exact: true })
  const messages = panel.getByRole('article')
  return {
    panel,
    messages,
    last: messages.last(),
    tab: (of: string): Locator => panel.getByRole('tab', { name: new RegExp(`^#?${of}\\b`) }),
    say: async (text: string): Promise<void> => {
      await panel.getByRole('textbox').fill(text)
      await panel.getByRole('textbox').press('Enter')
    },
    state: (text: RegExp): Promise<void> => sees(panel.locator('.state'), text),
    /** Puts the person in front of the page. */
    look: (): Promise<void> => panel.getByRole('log').focus()
  }
}

/** The page draws when it comes to it: a key that was pressed shows a moment later. */
async function has (locator: Locator, attribute: string, value: string): Promise<void> {
  await eventually(async () => await locator.getAttribute(attribute) === value, PATIENCE_MS)
}

async function sees (locator: Locator, text: RegExp, patienceMs = PATIENCE_MS): Promise<void> {
  let last = ''
  await eventually(async () => {
    last = await locator.innerText({ timeout: 1_000 }).catch(() => '')
    return text.test(last)
  }, patienceMs).catch(() => { throw new Error(`${String(text)} is not to be seen, but: ${last}`) })
}

async function tick (message: Locator, wanted: string): Promise<void> {
  let tick: string | null = ''
  await eventually(async () => {
    tick = await message.locator('.ticks').getAttribute('data-tick', { timeout: 1_000 }).catch(() => null)
    return tick === wanted
  }, PATIENCE_MS).catch(() => { throw new Error(`the tick is ${String(tick)}, not ${wanted}`) })
}

t.test('people chat, each message once, its ticks rise to read, groups are joined and left', async (t) => {
  const [{ url, stop }, browser] = await Promise.all([startDemo(t), startChromium(t)])
  const { page, faults } = await openPage(t, browser, url)
  const [alice, bob, carol] = [person(page, 'alice'), person(page, 'bob'), person(page, 'carol')]

  await t.test('a private message is delivered, and read once the other looks', async (t) => {
    await alice.say('Hello Bob')
    await tick(alice.last, 'delivered')
    t.equal(await bob.messages.count(), 1)
    t.match(await bob.last.innerText(), /^Hello Bob\s+\d\d:\d\d\s+[\d.]+ ms$/)
    await bob.look()
    await tick(alice.last, 'read')
    await bob.say('Hello Alice')
    await alice.look()
    await tick(bob.last, 'read')
    t.strictSame(await alice.panel.locator('.content').allInnerTexts(), ['Hello Bob', 'Hello Alice'])
    await alice.state(/node \d · ack [\d.]+ m?s/)
  })

  await t.test('what is not looked at is counted on its tab', async (t) => {
    await carol.tab('bob').click()
    await carol.say('One')
    await carol.say('Two')
    await sees(bob.tab('carol'), /2\s*unread/)
    await bob.tab('carol').click()
    await tick(carol.last, 'read')
    t.equal(await bob.tab('carol').locator('.unread').count(), 0)
  })

  await t.test('a group message is read when all others have read it', async (t) => {
    for (const each of [alice, bob, carol]) await each.tab('friends').click()
    await carol.say('Hello all')
    await alice.look()
    await sees(carol.last.locator('.ticks'), /read by 1 of 2/)
    await bob.look()
    await tick(carol.last, 'read')
    t.match(await alice.last.innerText(), /^carol/i)
  })

  await t.test('who leaves a group is out, and comes back by joining', async (t) => {
    await bob.panel.getByRole('button', { name: 'Leave' }).click()
    await sees(alice.panel.locator('.members'), /^alice, carol\b/i)
    t.equal(await bob.panel.getByRole('textbox').count(), 0)
    await alice.say('Without Bob')
    await sees(carol.last, /Without Bob/)
    await bob.panel.getByRole('button', { name: 'Join friends' }).click()
    await sees(alice.panel.locator('.members'), /alice, bob, carol/i)
    await alice.say('With Bob')
    await sees(bob.last, /With Bob/)
  })

  await t.test('more people and groups are added', async () => {
    await page.getByRole('button', { name: 'Add…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('A person').fill('dave')
    await dialog.getByRole('button', { name: 'Add person' }).click()
    const dave = person(page, 'dave')
    await dave.state(/node \d/)
    await alice.tab('dave').click()
    await alice.say('Welcome')
    await dave.tab('alice').click()
    await sees(dave.last, /Welcome/)
    await page.getByRole('button', { name: 'Add…' }).click()
    await dialog.getByLabel('A group').fill('friends')
    await dialog.getByRole('button', { name: 'Add group' }).click()
    await sees(dialog.getByRole('alert'), /there is such a group/)
    await dialog.getByLabel('A group').fill('lunch')
    await dialog.getByRole('button', { name: 'Add group' }).click()
    await dave.tab('lunch').click()
    await dave.say('Soup?')
    await alice.tab('lunch').click()
    await sees(alice.last, /Soup\?/)
  })

  await t.test('it is all there after a reload', async (t) => {
    await page.reload()
    await person(page, 'alice').state(/node \d/)
    await sees(alice.last, /Hello Alice/)
    t.strictSame(await alice.panel.locator('.content').allInnerTexts(), ['Hello Bob', 'Hello Alice'])
  })

  t.strictSame(faults, [], 'nothing was loaded from elsewhere, nothing failed')
  t.match(await stop(), { code: 0 })
})

t.test('faults: a cut, a slow client, a node that is killed and one that is drained, and nothing is lost', async (t) => {
  const [{ url }, browser] = await Promise.all([startDemo(t, ['--real']), startChromium(t)])
  const { page, faults } = await openPage(t, browser, url)
  const [alice, bob] = [person(page, 'alice'), person(page, 'bob')]
  const news = page.getByRole('log', { name: 'What happened' })
  const nodes = page.locator('.nodes li')

  await t.test('three people are on three nodes', async (t) => {
    const users = await Promise.all([0, 1, 2].map((i) => nodes.nth(i).locator('.words').innerText()))
    t.strictSame(users.map((text) => text.replace('up · ', '')).sort(), ['alice', 'bob', 'carol'])
  })

  await t.test('who is cut off comes back, and gets what was said meanwhile', async () => {
    await alice.say('Before the cut')
    await tick(alice.last, 'delivered')
    await bob.panel.getByRole('button', { name: 'Cut bob' }).click()
    await alice.say('Right after the cut')
    await sees(news, /bob is back after \d+ ms/)
    await sees(bob.last, /Right after the cut/)
  })

  await t.test('a slow client takes its time', async (t) => {
    const slow = bob.panel.getByRole('button', { name: 'Slow bob' })
    await slow.click()
    await has(slow, 'aria-pressed', 'true')
    await alice.say('Slowly')
    await sees(bob.last, /Slowly/)
    const [, taken, unit] = /([\d.]+) (m?s)$/.exec(await bob.last.innerText()) ?? []
    t.ok(Number(taken) * (unit === 's' ? 1_000 : 1) >= 700, `it took ${String(taken)} ${String(unit)}`)
    await slow.click()
    await has(slow, 'aria-pressed', 'false')
  })

  for (const [fault, words] of [['Kill', /was killed/], ['Drain', /has ended/]] as const) {
    await t.test(`${fault}: clients go elsewhere, the node comes back, both sides have the same`, async (t) => {
      await alice.state(/node \d/)
      const [, place] = /node (\d)/.exec(await alice.panel.locator('.state').innerText()) ?? []
      const victim = nodes.nth(Number(place) - 1)
      for (let i = 0; i < 5; i++) await alice.say(`${fault} ${i}`)
      await victim.getByRole('button', { name: fault }).click()
      for (let i = 5; i < 10; i++) await alice.say(`${fault} ${i}`)
      await sees(news, words)
      await sees(victim, /^Node \d\s+up/)
      await alice.state(/node \d/)
      await sees(alice.panel.locator('.state'), /^(?!.*waiting)/)
      await eventually(async () => {
        const [said, heard] = await Promise.all([alice, bob].map(({ panel }) => panel.locator('.content').allInnerTexts()))
        return JSON.stringify(said) === JSON.stringify(heard)
      }, PATIENCE_MS)
      const said = await bob.panel.locator('.content').allInnerTexts()
      t.strictSame(said.filter((text) => text.startsWith(fault)), Array.from({ length: 10 }, (_, i) => `${fault} ${i}`), 'each once, in order')
    })
  }
  t.strictSame(faults, [])
})

t.test('by keyboard, on a phone, in dark and in light', async (t) => {
  const [{ url }, browser] = await Promise.all([startDemo(t), startChromium(t)])

  await t.test('all can be done without a mouse', async (t) => {
    const { page } = await openPage(t, browser, url)
    const alice = person(page, 'alice')
    const focused = (): Promise<unknown> => page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
    const tabTo = async (name: RegExp): Promise<void> => {
      for (let i = 0; i < 40; i++) {
        await page.keyboard.press('Tab')
        if (name.test(String(await focused()))) return
      }
      throw new Error(`Tab does not lead to ${String(name)}`)
    }
    await tabTo(/^Slow/)
    await tabTo(/^bob/i)
    await page.keyboard.press('ArrowRight')
    t.match(await focused(), /carol/i)
    await has(alice.tab('carol'), 'aria-selected', 'true')
    await page.keyboard.press('End')
    t.match(await focused(), /friends/i)
    await page.keyboard.press('Home')
    await tabTo(/^Messages of alice/)
    await tabTo(/^Message from alice to bob/)
    await page.keyboard.type('By keyboard')
    await page.keyboard.press('Enter')
    await tick(alice.last, 'delivered')
    // Whose panel has the focus reads.
    await has(alice.panel, 'data-reading', 'true')
    await tabTo(/^Kill\s+node 1/)
    t.equal(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'solid', 'the focus is seen')
    await page.keyboard.press('Enter')
    await sees(page.getByRole('log', { name: 'What happened' }), /Node 1 was killed/)
    await sees(page.locator('.nodes li').first(), /Node 1\s+up/)
    t.match(await focused(), /^Kill\s+node 1/, 'and stays where it was')
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const [kind, viewport] of [['desktop', DESKTOP], ['phone', PHONE]] as const) {
      await t.test(`${colorScheme}, ${kind}: nothing sticks out, nothing is hard to read or without a name`, async (t) => {
        // Of its own: what others said is not in the picture.
        const { url } = await startDemo(t)
        const { page, faults } = await openPage(t, browser, url, { colorScheme, viewport, bypassCSP: true, hasTouch: kind === 'phone' })
        await talk(page)
        const [width, wanted] = await page.evaluate('[innerWidth, document.documentElement.scrollWidth]') as [number, number]
        t.equal(wanted, width, 'no scrolling sideways')
        t.strictSame(await page.evaluate(`[...document.querySelectorAll('button, input, select, h2, .message')].filter((element) => {
          const { left, right, width } = element.getBoundingClientRect()
          return width > 1 && (left < 0 || right > innerWidth) && !element.closest('.tabs, .jump')
        }).map(({ outerHTML }) => outerHTML.slice(0, 120))`), [])
        await page.addScriptTag({ path: AXE })
        const violations = await page.evaluate('axe.run().then(({ violations }) => violations)') as Violation[]
        t.strictSame(violations.map(({ id, nodes }) => [id, ...nodes.map(({ target, failureSummary }) => `${target.join(' ')}: ${failureSummary ?? ''}`)]), [])
        const picture = `docs/page-${kind}-${colorScheme}.png`
        const path = join(process.env['SCREENSHOTS'] === '1' ? ROOT : t.testdir({ docs: {} }), picture)
        await page.screenshot({ path })
        t.ok(statSync(path).size < MAX_PICTURE_BYTES, `${picture} has ${statSync(path).size} bytes`)
        t.strictSame(faults, [])
      })
    }
  }

  await t.test('a theme that is chosen holds, against the system and over a reload', async (t) => {
    const { page } = await openPage(t, browser, url, { colorScheme: 'light' })
    const ground = (): Promise<unknown> => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.getByLabel('Theme').selectOption('dark')
    const dark = await ground()
    t.not(dark, light)
    await page.reload()
    await person(page, 'alice').state(/node \d/)
    t.equal(await ground(), dark)
    await page.getByLabel('Theme').selectOption('system')
    t.equal(await ground(), light)
  })
})

/** Enough for a picture: ticks of all kinds, a group, a slow client. */
async function talk (page: Page): Promise<void> {
  const [alice, bob, carol] = [person(page, 'alice'), person(page, 'bob'), person(page, 'carol')]
  await carol.tab('friends').click()
  await carol.say('Dinner on Friday?')
  await alice.say('Are you coming on Friday?')
  await bob.say('Yes! Shall I bring something?')
  await alice.look()
  await tick(bob.last, 'read')
  await alice.say('A dessert would be lovely')
  await tick(alice.last, 'delivered')
  await bob.tab('friends').click()
  await bob.say('I am in')
  await bob.tab('alice').click()
  await tick(alice.last, 'read')
  await alice.say('Eight o’clock, then')
  await tick(alice.last, 'delivered')
}
