// What the walk stands on: the browser, people in rooms of their own, named
// checks, and the look at a page (axe, width, keyboard, what the browser said).
import { createHmac } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'
import axe from 'axe-core'

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
export const sizes = [{ width: 1280, height: 800 }, { width: 390, height: 844 }]
export const themes = ['light', 'dark']
// Every wait is for a condition. Its limit is far beyond what a busy machine needs: it is
// there so that a broken page is told, and not to measure.
const limit = 60_000
export const soon = { timeout: 300_000 } // a job's time

let shots = '.'
let passed = 0
const broken = []

// start opens the browser; screenshots go to the folder.
export function start(folder) {
  shots = folder
  return chromium.launch({ executablePath: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync), args: flags })
}

// check runs one named step. A failure is told and the walk goes on, so that one
// run shows everything that is broken.
export async function check(name, f, page) {
  const began = Date.now()
  try {
    await f()
    passed++
    console.log(`ok - ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`)
    return true
  } catch (err) {
    broken.push(name)
    const why = String(err.message ?? err).replace(/\u001b\[\d+m/g, '').split('\n').slice(0, 6).join(' | ').slice(0, 900)
    const picture = page && `${shots}/broken-${broken.length}.png`
    if (picture) await page.screenshot({ path: picture }).catch(() => {})
    console.log(`not ok - ${name}: ${why}${page ? ` (at ${page.url()}; picture ${picture})` : ''}`)
    return false
  }
}

// story is a check whose successors need it: after one that failed the rest of
// the story is not tried, because each would only wait for what cannot come.
let lost = ''
export async function story(name, f, page) {
  if (!await check(name, lost ? () => { throw new Error(`not tried after "${lost}"`) } : f, lost ? undefined : page)) lost ||= name
}

export function finish() {
  console.log(`walk: ${passed} passed, ${broken.length} failed`)
  return broken.length ? 1 : 0
}

export function must(fact, says) {
  if (!fact) throw new Error(says)
}

// Person is one browser profile: its cookie, its page, and everything that the
// browser complained about since it was last asked.
export class Person {
  constructor(name, page) {
    this.name = name
    this.page = page
    this.said = []
    this.expected = []
  }

  static async enter(browser, name, base) {
    const context = await browser.newContext({ baseURL: base, viewport: sizes[0], colorScheme: 'light', reducedMotion: 'reduce', acceptDownloads: true })
    context.setDefaultTimeout(limit)
    const page = await context.newPage()
    const p = new Person(name, page)
    page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') p.hear(m.text(), m.location().url) })
    page.on('pageerror', (e) => p.hear(`exception: ${e.message}`))
    page.on('request', (r) => { if (!r.url().startsWith(base) && !/^(data|blob):/.test(r.url())) p.hear(`asked another server: ${r.url()}`) })
    await context.exposeFunction('policyBroken', (what) => p.hear(`policy: ${what}`))
    await context.addInitScript(() => document.addEventListener('securitypolicyviolation', (e) => window.policyBroken(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`)))
    return p
  }

  hear(text, url = '') {
    if (!this.expected.some((e) => e.test(`${text} ${url}`))) this.said.push(`${text} ${url}`.trim())
  }

  // expecting lets the browser log what f provokes on purpose (a refusal).
  async expecting(what, f) {
    this.expected.push(what)
    try { return await f() } finally { this.expected.pop() }
  }

  // signIn opens the one-time link. Before it the page asks who is there, and the
  // browser logs that answer.
  signIn(link) {
    return this.expecting(/401.*\/api\/v1\/session/, async () => {
      await this.page.goto(link)
      await this.button('Sign in').click()
      await this.heading('Home')
    })
  }

  // enrol opens the one-time link of a new account and does what it asks: a password
  // and a second factor.
  async enrol(link) {
    await this.expecting(/401.*\/api\/v1\/session/, async () => {
      await this.page.goto(link)
      await this.button('Sign in').click()
      await this.heading('Set up your account')
    })
    await this.field(/^New password ?At least/).fill('four calm words here')
    await this.field('New password again').fill('four calm words here')
    await this.button('Save the password').click()
    await this.page.getByAltText(/QR code/).waitFor()
    await this.field('Code from your authenticator').fill(codeOf(await this.page.locator('code.key').innerText()))
    await this.button('Confirm the code').click()
    await this.page.getByRole('navigation', { name: 'Main' }).waitFor({ state: 'attached' })
  }

  button(name) { return this.page.getByRole('button', { name, exact: typeof name === 'string' }) }
  link(name) { return this.page.getByRole('link', { name, exact: typeof name === 'string' }) }
  field(name) { return this.page.getByLabel(name) }
  heading(name) { return this.page.getByRole('heading', { level: 1, name }).waitFor() }
  // part is the card of one node on a hub's task page.
  part(node) { return this.page.getByRole('listitem').filter({ has: this.page.getByRole('heading', { name: node, exact: true }) }) }
  text(what) { return this.page.getByText(what).first().waitFor() }

  async go(path) {
    await this.page.goto(path)
    await this.settle()
  }

  // settle waits until the page has its heading and no answer is awaited.
  async settle() {
    await this.page.getByRole('heading', { level: 1 }).waitFor()
    await this.page.waitForLoadState('networkidle')
  }
}

// review goes in from Home, opens every file and casts a vote.
export async function review(p, title, vote, comment) {
  await p.go('/')
  // Its turn, not a line of what changed lately, which is there sooner and leads to the job.
  const turn = p.link(new RegExp(`^Review: .*${title}`)).first()
  await turn.waitFor(soon)
  await turn.click()
  await p.page.waitForURL(/\/airlock\//)
  await p.heading(title)
  const files = p.page.getByRole('navigation', { name: 'Files of the request' }).getByRole('button')
  await files.first().waitFor()
  for (const f of await files.all()) {
    await f.click()
    await p.page.getByRole('region', { name: 'Table, scrollable' }).waitFor()
    await p.page.waitForLoadState('networkidle')
  }
  await p.page.getByRole('radio', { name: new RegExp(`^${vote}`) }).check()
  await p.page.getByRole('textbox', { name: /^Comment/ }).fill(comment)
  await p.button('Cast your vote').click()
  await p.button('Cast your vote').waitFor({ state: 'detached' })
}

// look examines the page as it stands in both sizes and both themes. primary says
// which action Tab has to reach: a name, or true for the one the page marks.
export async function look(person, name, primary = false) {
  const { page } = person
  for (const size of sizes) {
    await page.setViewportSize(size)
    for (const theme of themes) {
      await page.emulateMedia({ colorScheme: theme })
      const label = `${name}, ${size.width} wide, ${theme}`
      await check(label, async () => {
        await page.evaluate(() => scrollTo(0, 0))
        await page.screenshot({ path: `${shots}/${name.replace(/\W+/g, '-')}-${size.width}-${theme}.png`, fullPage: true })
        await fits(page)
        await accessible(page, theme === 'dark')
        await whole(page)
        quiet(person)
      }, page)
    }
  }
  await page.setViewportSize(sizes[0])
  await page.emulateMedia({ colorScheme: 'light' })
  if (primary) await check(`${name}, primary action by Tab`, () => reach(page, primary), page)
}

// codeOf is what an authenticator app shows for a secret now (RFC 6238).
function codeOf(secret) {
  const bits = [...secret.replace(/\s/g, '')].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)))
  const sum = createHmac('sha1', Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)))).update(step).digest()
  return String((sum.readUInt32BE(sum[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0')
}

async function fits(page) {
  const over = await page.evaluate(() => {
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth
    if (wide <= 0) return ''
    const guilty = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3)
    return `${wide} px too wide: ${guilty.map((e) => `${e.tagName.toLowerCase()}.${e.className}`).join(', ')}`
  })
  must(!over, over)
}

// accessible: axe through the debugger, which the page's policy does not bind. A theme
// changes colours only, so in the second one only the rules about colour are asked.
async function accessible(page, colours) {
  await page.evaluate(axe.source)
  const found = await page.evaluate(async (colours) => {
    const r = await window.axe.run(document, { runOnly: colours ? { type: 'rule', values: ['color-contrast', 'link-in-text-block'] } : ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] })
    return r.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
      .map((v) => `${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join('; ')} ${v.nodes[0].any[0]?.message ?? ''}`)
  }, colours)
  must(!found.length, found.join(' | '))
}

// whole: nothing on the page was made from a value that is not there.
async function whole(page) {
  const text = await page.locator('body').innerText()
  const odd = text.match(/.{0,30}(\bundefined\b|\bNaN\b|\[object Object\]|Invalid Date).{0,30}/)
  must(!odd, `the page says "${odd?.[0]}"`)
  const alerts = await page.getByRole('alert').allInnerTexts()
  must(!alerts.length, `the page shows a failure: ${alerts[0]}`)
}

export function quiet(person) {
  const said = person.said.splice(0)
  must(!said.length, `the browser said: ${said.join(' | ')}`)
}

// reach tabs from the top of the page until the primary action has the focus,
// and asks that the focus can be seen.
async function reach(page, primary) {
  const target = typeof primary === 'string' ? page.getByRole('button', { name: primary }).or(page.getByRole('link', { name: primary })) : page.locator('#main .btn.primary:not(:disabled)')
  const wanted = await target.first().elementHandle()
  await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0) })
  for (let i = 0; i < 200; i++) {
    await page.keyboard.press('Tab')
    if (await wanted.evaluate((e) => e === document.activeElement)) {
      must(await wanted.evaluate((e) => getComputedStyle(e).outlineStyle !== 'none'), 'the focus cannot be seen')
      return
    }
  }
  throw new Error('200 times Tab did not reach it')
}

export const dialog = (p, name) => p.page.getByRole('dialog', { name })

// confirm presses a button of the page, then the one of the dialog that asks again, with
// a reason where one is kept.
export async function confirm(p, button, name, action, reason) {
  await button.click()
  const d = dialog(p, name)
  if (reason) await d.getByLabel(/^Reason/).fill(reason)
  await d.getByRole('button', { name: action, exact: true }).click()
  await d.waitFor({ state: 'detached' })
}

// tes sends one request as a program would, without a browser.
export async function tes(base, token, body, way = '/tasks') {
  const res = await fetch(`${base}/ga4gh/tes/v1${way}`, { method: body ? 'POST' : 'GET', headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) })
  return { status: res.status, body: await res.json() }
}

// token makes one on the account page and answers its secret.
export async function token(p, name) {
  await p.go('/account')
  await p.button('Make a token').click()
  const d = dialog(p, 'Make a token')
  await d.getByLabel(/^Name/).fill(name)
  await d.getByRole('button', { name: 'Make token' }).click()
  const secret = (await d.locator('code.secret').innerText()).trim()
  await d.getByRole('button', { name: 'I have kept it' }).click()
  await p.text(name)
  return secret
}
