// Walks the real appliance in headless Chromium: the main job by clicking, then
// every page at two sizes and in two themes under axe-core.
//
//   node walk.mjs '{"base": "http://…", "links": {"operator": …, "researcher": …,
//                   "checker1": …, "checker2": …}, "shots": "DIR"}'     (or on stdin)
//
// Prints `ok - name` or `not ok - name` lines, then `walk: N passed, M failed`.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const o = JSON.parse(process.argv[2] ?? readFileSync(0, 'utf8'))
const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const shots = o.shots ?? 'shots'
mkdirSync(shots, { recursive: true })
let passed = 0
let failed = 0

async function step(name, f) {
  try {
    const got = await f()
    passed++
    console.log(`ok - ${name}`)
    return got
  } catch (err) {
    failed++
    console.log(`not ok - ${name}\n    ${String(err.message ?? err).split('\n').slice(0, 12).join('\n    ')}`)
    if (failed > 4) return // the first ones tell the story
    for (const [who, p] of Object.entries(pages)) await p.screenshot({ path: join(shots, `failed-${failed}-${who}.png`), fullPage: true }).catch(() => {})
  }
}

function ok(condition, says) {
  if (!condition) throw new Error(says)
}

const browser = await chromium.launch({
  executablePath: o.chromium ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync),
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
const pages = {}
const complaints = [] // of the browser: refused by policy, errors of scripts
const wide = { width: 1280, height: 800 }
const narrow = { width: 390, height: 844 }

async function person(who) {
  const context = await browser.newContext({ viewport: wide, ignoreHTTPSErrors: true, acceptDownloads: true, reducedMotion: 'reduce' })
  const page = await context.newPage()
  page.setDefaultTimeout(o.timeout ?? 20_000)
  page.on('pageerror', (e) => complaints.push(`${who} at ${new URL(page.url()).pathname}: ${e.message}`))
  page.on('console', (m) => { if (m.type() === 'error' && /Content Security Policy|TrustedHTML|TrustedScript/i.test(m.text())) complaints.push(`${who}: ${m.text()}`) })
  page.on('request', (r) => { const u = new URL(r.url()); if (/^(https?|wss?):$/.test(u.protocol) && u.host !== new URL(o.base).host) complaints.push(`${who} asked ${u.host}`) })
  pages[who] = page
  return page
}

async function signIn(who, link) {
  const page = await person(who)
  await page.goto(link)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { level: 1, name: 'Home' }).waitFor()
  return page
}

async function settle(page) {
  await page.waitForLoadState('networkidle').catch(() => {}) // the web socket stays open
  await page.waitForTimeout(150)
}

// editor types into an editor without its own closing of brackets.
async function write(page, label, text) {
  const box = page.getByRole('textbox', { name: label })
  await box.click()
  await page.keyboard.press('ControlOrMeta+a')
  await page.keyboard.insertText(text)
}

const main = {}
const visits = `SELECT CASE WHEN hlthp = 1 THEN 'poor' WHEN hlthf = 1 THEN 'fair' WHEN hlthg = 1 THEN 'good' ELSE 'excellent' END AS self_rated_health,
  COUNT(*) AS person_years, ROUND(AVG(mdvis), 2) AS mean_visits
FROM randhie GROUP BY self_rated_health HAVING COUNT(*) >= 10 ORDER BY mean_visits`
const chronic = `SELECT CASE WHEN physlm > 0 THEN 'yes' ELSE 'no' END AS physical_limitation, COUNT(*) AS person_years, ROUND(AVG(mdvis), 2) AS mean_visits
FROM randhie GROUP BY physical_limitation HAVING COUNT(*) >= 10`

await step('the sign-in page refuses a wrong password in plain words', async () => {
  const page = await person('stranger')
  await page.goto(o.base)
  await page.getByLabel('Name', { exact: true }).fill('nobody')
  await page.getByLabel('Password').fill('not the password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
})

await step('the researcher signs in by link', () => signIn('researcher', o.links.researcher))
const rosa = pages.researcher

await step('the researcher finds the project and its data', async () => {
  await rosa.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Projects' }).click()
  await rosa.getByRole('link', { name: /Aurora/ }).first().click()
  await rosa.getByRole('heading', { level: 1, name: /Aurora/ }).waitFor()
  main.project = new URL(rosa.url()).pathname
  await rosa.getByRole('link', { name: /RAND Health/ }).click()
  await rosa.getByRole('searchbox', { name: 'Find in the dictionary' }).fill('visits')
  await rosa.getByRole('cell', { name: 'mdvis' }).waitFor()
  main.dataset = new URL(rosa.url()).pathname
  await rosa.goBack()
})

await step('the researcher writes an analysis with two outputs', async () => {
  await rosa.getByRole('link', { name: 'New analysis' }).first().click()
  await rosa.getByRole('heading', { level: 1, name: 'New analysis' }).waitFor()
  main.new = new URL(rosa.url()).pathname
  const tables = rosa.getByRole('complementary', { name: 'Tables and dictionary' })
  await tables.getByRole('searchbox').fill('mdvis')
  await rosa.getByRole('textbox', { name: /SQL statement/ }).waitFor()
  await tables.getByRole('button', { name: /mdvis/ }).click()
  ok((await rosa.getByRole('textbox', { name: /SQL statement/ }).textContent()).includes('mdvis'), 'a click on a column did not insert its name')
  await tables.getByRole('searchbox').fill('')
  await rosa.getByLabel('File name').fill('visits_by_health.csv')
  await write(rosa, /SQL statement for visits_by_health/, visits)
  await rosa.getByRole('button', { name: 'Another output' }).click()
  await rosa.getByLabel('File name').nth(1).fill('visits_by_limitation.csv')
  await rosa.getByRole('textbox', { name: /SQL statement for visits_by_limitation/ }).waitFor()
  await write(rosa, /SQL statement for visits_by_limitation/, chronic)
  await rosa.getByLabel('Name', { exact: false }).first().waitFor()
  await rosa.getByPlaceholder('Visits by self-rated health').fill('Visits by health and limitation')
  await rosa.screenshot({ path: join(shots, 'new-analysis-filled.png'), fullPage: true })
})

await step('it runs and its outputs are held', async () => {
  await rosa.getByRole('button', { name: 'Run analysis' }).click()
  await rosa.waitForURL(/\/jobs\/[^/]+$/)
  main.job = new URL(rosa.url()).pathname
  await rosa.getByRole('link', { name: 'Send to review' }).waitFor({ timeout: o.jobTimeout ?? 120_000 })
  await rosa.getByRole('button', { name: 'visits_by_health.csv' }).click()
  await rosa.getByRole('cell', { name: 'excellent' }).waitFor()
})

await step('the researcher sends it to review', async () => {
  await rosa.getByRole('link', { name: 'Send to review' }).click()
  await rosa.getByLabel('Context').fill('Mean visits for two groupings, for a table in a report. Groups are large.')
  await rosa.getByLabel('Population').fill('All 20,190 person-years of the dataset.')
  await rosa.getByLabel('Disclosure controls').fill('Groups under 10 are left out, means are rounded to two places.')
  main.send = new URL(rosa.url()).pathname
  await rosa.screenshot({ path: join(shots, 'send-filled.png'), fullPage: true })
  await rosa.getByRole('button', { name: 'Send to review' }).click()
  await rosa.waitForURL(/\/airlock\/[^/]+$/)
  main.request = new URL(rosa.url()).pathname
  await rosa.getByRole('status').filter({ hasText: 'The checkers’ turn' }).waitFor()
})

for (const [i, who] of ['checker1', 'checker2'].entries()) {
  await step(`${who} opens each file and approves`, async () => {
    const page = await signIn(who, o.links[who])
    await page.getByRole('link', { name: /Visits by health and limitation/ }).first().click()
    const files = page.getByRole('navigation', { name: 'Files of the request' })
    await files.waitFor()
    await page.getByRole('table').first().waitFor()
    if (i === 1) ok(await page.getByText('are shown when all are in').isVisible(), 'nothing says that the other vote is hidden')
    await settle(page)
    await page.getByRole('heading', { level: 1 }).click()
    await page.keyboard.press('j')
    await page.getByRole('heading', { level: 2, name: 'visits_by_limitation.csv' }).waitFor()
    await page.getByRole('cell', { name: 'yes', exact: true }).waitFor()
    await page.getByRole('radio', { name: /^Approve Every/ }).waitFor()
    await page.keyboard.press('a')
    ok(await page.getByRole('radio', { name: /^Approve/ }).isChecked(), 'the key a did not choose approve')
    await page.screenshot({ path: join(shots, `review-${who}.png`), fullPage: true })
    await page.getByRole('textbox', { name: /^Comment/ }).fill('Counts are large, means are rounded.')
    await page.getByRole('button', { name: 'Cast your vote' }).click()
    await page.getByRole('button', { name: 'Cast your vote' }).waitFor({ state: 'detached' })
  })
}

await step('the researcher makes the release', async () => {
  await rosa.getByRole('button', { name: 'Make the release' }).waitFor() // by itself: the page is live
  await rosa.getByRole('button', { name: 'Make the release' }).click()
  await rosa.waitForURL(/\/releases\/[^/]+$/)
  main.release = new URL(rosa.url()).pathname
})

await step('the zip downloads and has the hash of the page', async () => {
  const [d] = await Promise.all([rosa.waitForEvent('download'), rosa.getByRole('button', { name: /^Download zip/ }).click()])
  const file = join(shots, 'release.zip')
  await d.saveAs(file)
  const sum = createHash('sha256').update(readFileSync(file)).digest('hex')
  ok((await rosa.getByRole('main').textContent()).includes(sum), `the page does not show ${sum}`)
})

await step('the operator signs in by link', () => signIn('operator', o.links.operator))

await step('the audit log verifies from its page', async () => {
  await pages.operator.goto(o.base + '/audit')
  await pages.operator.getByRole('button', { name: 'Verify the log' }).click()
  await pages.operator.getByText(/events match their hashes/).waitFor()
})

await step('the palette finds the job by keyboard', async () => {
  await rosa.goto(o.base + '/')
  await rosa.getByRole('heading', { level: 1, name: 'Home' }).waitFor()
  await rosa.keyboard.press('ControlOrMeta+k')
  await rosa.getByRole('combobox', { name: 'Search' }).fill('limitation')
  await rosa.getByRole('option', { name: /Visits by health and limitation/ }).first().waitFor()
  await rosa.keyboard.press('Enter')
  await rosa.waitForURL(/\/(jobs|airlock|releases)\//)
})

async function reachable(page) {
  const seen = new Set()
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab')
    seen.add(await page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute('aria-label') || document.activeElement?.tagName))
  }
  return seen
}

await step('the project page is reached with the Tab key alone', async () => {
  await rosa.goto(o.base + main.project)
  await rosa.getByRole('link', { name: 'New analysis' }).first().waitFor()
  const seen = await reachable(rosa)
  ok(seen.has('New analysis'), 'Tab never reaches New analysis')
})

const tour = [
  ['stranger', 'sign-in', '/'], ['stranger', 'link', '/link#xyz'],
  ['researcher', 'home', '/'], ['researcher', 'projects', '/projects'], ['researcher', 'project', main.project],
  ['researcher', 'data', '/datasets'], ['researcher', 'dataset', main.dataset], ['researcher', 'new-analysis', main.new],
  ['researcher', 'jobs', '/jobs'], ['researcher', 'job', main.job], ['researcher', 'send', main.send], ['researcher', 'request', main.request],
  ['researcher', 'releases', '/releases'], ['researcher', 'release', main.release], ['researcher', 'account', '/account'], ['researcher', 'lost', '/nowhere'],
  ['checker1', 'checker-home', '/'], ['checker1', 'reviews', '/airlock'], ['checker1', 'review', main.request],
  ['operator', 'operator-home', '/'], ['operator', 'people', '/people'], ['operator', 'images', '/images'], ['operator', 'audit', '/audit'], ['operator', 'system', '/system'],
]

for (const [who, name, path] of tour) {
  const page = pages[who]
  if (!page || !path) { await step(`page ${name}`, () => { throw new Error('an earlier step left nothing to open') }); continue }
  for (const [size, viewport] of [['1280', wide], ['390', narrow]]) {
    for (const scheme of ['light', 'dark']) {
      await step(`page ${name} ${size} ${scheme}`, async () => {
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
        await page.setViewportSize(viewport)
        await page.goto(o.base + path)
        await page.getByRole('heading', { level: 1 }).first().waitFor()
        await settle(page)
        await page.screenshot({ path: join(shots, `${name}-${size}-${scheme}.png`), fullPage: true })
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
        ok(over <= 0, `the page is ${over} px wider than the window`)
        if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe)
        const found = await page.evaluate(async () => {
          const r = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations'] })
          return r.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join(' | ')}`)
        })
        ok(found.length === 0, found.join('\n'))
      })
    }
  }
}

await step('the browser refused nothing and no script failed', () => {
  ok(complaints.length === 0, [...new Set(complaints)].slice(0, 10).join('\n'))
})

await step('signing out ends the session', async () => {
  await rosa.setViewportSize(wide)
  await rosa.goto(o.base + '/')
  await rosa.getByRole('button', { name: /Your account/ }).click()
  await rosa.getByRole('button', { name: 'Sign out' }).click()
  await rosa.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor()
})

await browser.close()
console.log(`walk: ${passed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
