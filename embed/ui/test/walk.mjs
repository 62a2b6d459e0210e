// Walks the real appliance in headless Chromium: four people do the main job by
// clicking, a second request has a cell that is too small, then every page is
// looked at in two sizes and two themes. See scripts/walk for how it is called:
//
//   node walk.mjs '{"base": "http://…", "links": {"operator": …, "researcher": …,
//                   "checker1": …, "checker2": …, "steward": …, "lead": …, "hub": …},
//                   "hub": "http://…", "shots": "FOLDER",
//                   "plugin": {"tresor": "PROGRAM", "data": "FOLDER", "file": "PLUGIN"},
//                   "two": {"hub": "http://…", "link": …, "task": ID, "node": PID}}'
//
// steward, lead and hub are links of accounts that still have to be set up: the data steward,
// the project's lead, and the first operator of the hub at the address `hub`. two is another hub with two nodes
// that have released a task: the link of its researcher, and the process of the second node.
//
// Prints `ok - name` or `not ok - name: why, at page, picture`, then `walk: N passed, M failed`.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { federation } from './federation.mjs'
import { many } from './many.mjs'
import { Person, check, confirm, finish, look, must, quiet, review, soon, start, story } from './kit.mjs'

const { base, hub, links, plugin, shots, two } = JSON.parse(process.argv[2])
const query = (name) => readFileSync(new URL(`../../demo/${name}.sql`, import.meta.url), 'utf8')

const visits = { name: 'Visits by health and limitation', outputs: [['visits_by_health.csv', query('visits_by_health')], ['visits_by_limitation.csv', `SELECT CASE WHEN physlm > 0 THEN 'yes' ELSE 'no' END AS physical_limitation, COUNT(*) AS person_years, ROUND(AVG(mdvis), 2) AS mean_visits
FROM randhie GROUP BY physical_limitation HAVING COUNT(*) >= 10`]] }
const cells = { name: 'Person-years by plan and health', outputs: [['plan_by_health.csv', query('plan_by_health')]] }

const browser = await start(shots)
const [rosa, carl, cemile, olga, nobody] = await Promise.all(['rosa', 'carl', 'cemile', 'olga', 'nobody'].map((n) => Person.enter(browser, n, base)))
const at = {} // addresses of what is made on the way
const path = (p) => new URL(p.page.url()).pathname

// analyse writes the statements and runs them until their files are held.
async function analyse(p, { name, outputs }) {
  await p.go(at.project)
  await p.link('New analysis').first().click()
  await p.heading('New analysis')
  for (const [i, [file, sql]] of outputs.entries()) {
    if (i) await p.button('Another output').click()
    await p.field('File name').nth(i).fill(file)
    await p.page.getByRole('textbox', { name: `SQL statement for ${file}` }).fill(sql)
  }
  await p.page.getByRole('textbox', { name: /^Name/ }).fill(name)
  await p.button('Run analysis').click()
  await p.heading(name)
  await p.link('Send to review').waitFor(soon)
  await p.text('Held inside')
  return path(p)
}

async function describe(p, texts) {
  for (const [label, text] of Object.entries(texts)) await p.field(new RegExp(`^${label}`)).fill(text)
}

// In.
await check('a wrong password is refused in plain words', () => nobody.expecting(/\b401\b.*\/api\/v1\/session/, async () => {
  await nobody.go('/')
  await nobody.field('Name').fill('nobody')
  await nobody.field('Password').fill('not the password')
  await nobody.button('Sign in').click()
  await nobody.page.getByRole('alert').waitFor()
  quiet(nobody)
}), nobody.page)
for (const [p, key] of [[rosa, 'researcher'], [carl, 'checker1'], [cemile, 'checker2'], [olga, 'operator']]) {
  await story(`${p.name} opens the link and is signed in`, async () => { await p.signIn(links[key]); quiet(p) }, p.page)
}

// The main job.
await story('rosa finds the project', async () => {
  await rosa.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Projects' }).click()
  await rosa.page.getByRole('main').getByRole('link', { name: /Aurora/ }).click()
  await rosa.heading(/Aurora/)
  at.project = path(rosa)
}, rosa.page)
await story('rosa finds a column in the dictionary', async () => {
  await rosa.link(/RAND Health/).first().click()
  await rosa.page.getByRole('searchbox', { name: 'Find in the dictionary' }).fill('visits')
  await rosa.page.getByRole('cell', { name: 'mdvis' }).waitFor()
  at.dataset = path(rosa)
}, rosa.page)
await check('a click on a column puts its name into the statement', async () => {
  await rosa.go(`${at.project}/new`)
  const tables = rosa.page.getByRole('complementary', { name: 'Tables and dictionary' })
  await tables.getByRole('searchbox').fill('mdvis')
  const statement = rosa.page.getByRole('textbox', { name: /SQL statement/ })
  await statement.waitFor()
  await tables.getByRole('button', { name: /mdvis/ }).click()
  must((await statement.inputValue().catch(() => statement.textContent())).includes('mdvis'), 'it does not')
  quiet(rosa)
}, rosa.page)
await story('rosa runs an analysis until its two files are held', async () => { at.job = await analyse(rosa, visits); quiet(rosa) }, rosa.page)
await check('rosa reads a file that is still inside', async () => {
  await rosa.button('visits_by_health.csv').click()
  await rosa.page.getByRole('cell', { name: 'excellent' }).waitFor()
}, rosa.page)
await story('rosa sends it to review', async () => {
  await rosa.link('Send to review').click()
  await describe(rosa, {
    Context: 'Mean number of outpatient visits by self-rated health and by physical limitation, for a table in a report. The smallest group has more than 300 person-years.',
    Population: 'All 20,190 person-years of the RAND Health Insurance Experiment subset.',
    'Disclosure controls': 'Groups under 10 are left out; means have two decimals, shares one.',
  })
  await rosa.button('Send to review').click()
  await rosa.page.waitForURL(/\/airlock\/[^/]+$/)
  await rosa.button('Withdraw').waitFor()
  at.request = path(rosa)
  quiet(rosa)
}, rosa.page)
await check('rosa cannot review her own request', async () => must(!(await rosa.button('Cast your vote').count()), 'she can vote'))
await story('carl opens every file and approves', async () => { await review(carl, visits.name, 'Approve', 'Large groups, rounded means.'); quiet(carl) }, carl.page)
await check('cemile does not see the vote of carl before her own', async () => {
  await cemile.go(at.request)
  await cemile.text(/are shown when all are in/)
  must(!(await cemile.page.getByText('Large groups, rounded means.').count()), 'she sees it')
  quiet(cemile)
}, cemile.page)
await story('cemile opens every file and approves', async () => { await review(cemile, visits.name, 'Approve', 'No cell under ten.'); quiet(cemile) }, cemile.page)
await check('rosa sees both votes without loading the page again', async () => {
  await rosa.text('Large groups, rounded means.')
  await rosa.text('No cell under ten.')
}, rosa.page)
await story('rosa makes the release', async () => {
  await rosa.button('Make the release').click()
  await rosa.page.waitForURL(/\/releases\//)
  await rosa.settle()
  at.release = path(rosa)
  quiet(rosa)
}, rosa.page)
await check('the hash on the page is the hash of the zip that came out', async () => {
  const [zip] = await Promise.all([rosa.page.waitForEvent('download'), rosa.button(/^Download zip/).click()])
  const bytes = readFileSync(await zip.path())
  const sum = createHash('sha256').update(bytes).digest('hex')
  must(bytes.subarray(0, 2).toString() === 'PK' && /\.zip$/.test(zip.suggestedFilename()), `${zip.suggestedFilename()} is no zip`)
  must((await rosa.page.getByRole('main').innerText()).includes(sum), `the page does not show ${sum}`)
  quiet(rosa)
}, rosa.page)

// A cell that is too small.
await story('rosa runs an analysis with a cell under ten', async () => { at.small = await analyse(rosa, cells); quiet(rosa) }, rosa.page)
await look(rosa, 'job-held', true)
await story('rosa describes the request', async () => {
  await rosa.link('Send to review').click()
  await describe(rosa, { Context: 'Cell sizes of plan by self-rated health, to see where a comparison is possible.', Population: 'All person-years of the subset.', 'Disclosure controls': 'None: the cells are shown as they are.' })
}, rosa.page)
await look(rosa, 'send', true)
await story('the small cell stops it until an exception is argued', async () => {
  await rosa.expecting(/\b4\d\d\b.*\/api\/v1\/airlock\//, async () => {
    await rosa.button('Send to review').click()
    await rosa.page.getByRole('alert').waitFor()
    await rosa.text(/holds counts under 10/)
  })
  await rosa.page.evaluate(() => scrollTo(0, 0))
  await rosa.page.screenshot({ path: `${shots}/send-stopped.png`, fullPage: true })
  must(path(rosa) === `${at.small}/send`, 'it was sent')
  await describe(rosa, { Exception: 'The data is public, so the small cell tells nothing new about anybody.' })
  await rosa.button('Send to review').click()
  await rosa.button('Withdraw').waitFor()
  at.exception = path(rosa)
  quiet(rosa)
}, rosa.page)
await story('carl finds the cell marked and the exception above it', async () => {
  await carl.go(at.exception)
  await carl.text(/Asked despite/)
  await carl.text('Stops release')
  await carl.page.locator('td.block').first().waitFor()
  quiet(carl)
}, carl.page)
await look(carl, 'review')
await check('keys of the review page: ? opens the list, n goes to the finding, a chooses approve', async () => {
  await carl.go(at.exception)
  await carl.page.keyboard.press('Shift+?')
  const help = carl.page.getByRole('dialog', { name: 'Keys on this page' })
  await help.waitFor()
  await carl.page.keyboard.press('Escape')
  await help.waitFor({ state: 'detached' })
  await carl.page.keyboard.press('n')
  await carl.page.locator('td.block.at').waitFor()
  await carl.page.screenshot({ path: `${shots}/review-finding.png` })
  await carl.page.keyboard.press('a')
  must(await carl.page.getByRole('radio', { name: /^Approve/ }).isChecked(), 'a does not choose approve')
  await carl.page.screenshot({ path: `${shots}/review-voting.png` })
  await carl.page.keyboard.press('Tab')
  must(await carl.button('Cast your vote').evaluate((e) => e === document.activeElement), 'Tab does not lead from the comment to the vote')
  quiet(carl)
}, carl.page)
await story('both want a change and rosa has it back', async () => {
  await review(carl, cells.name, 'Change wanted', 'Join the smallest groups.')
  await review(cemile, cells.name, 'Change wanted', 'One cell is under ten.')
  await rosa.go('/')
  await rosa.page.getByRole('main').getByRole('link', { name: new RegExp(cells.name) }).first().waitFor()
  for (const p of [carl, cemile, rosa]) quiet(p)
}, rosa.page)

await check('to withdraw a request asks first', async () => {
  await rosa.go(at.exception)
  await rosa.button('Withdraw').click()
  const dialog = rosa.page.getByRole('dialog', { name: /^Withdraw/ })
  await dialog.getByText(/The files stay inside/).waitFor()
  await dialog.getByRole('button', { name: 'Keep as it is' }).click()
  await dialog.waitFor({ state: 'detached' })
  quiet(rosa)
}, rosa.page)
await check('rosa changes the request', async () => {
  await rosa.go(at.exception)
  await rosa.button('Change the request').click()
  const dialog = rosa.page.getByRole('dialog', { name: 'Change the request' })
  await dialog.getByLabel(/^Disclosure controls/).fill('The two smallest groups will be joined.')
  await rosa.page.screenshot({ path: `${shots}/request-change.png` })
  await dialog.getByRole('button', { name: 'Save the request' }).click()
  await dialog.waitFor({ state: 'detached' })
  await rosa.text('The two smallest groups will be joined.')
  quiet(rosa)
}, rosa.page)

// By keyboard.
await check('Ctrl K finds a dataset and opens it', async () => {
  await rosa.page.keyboard.press('Control+k')
  await rosa.page.getByRole('combobox', { name: 'Search' }).fill('rand')
  await rosa.page.getByRole('option', { name: /RAND Health/ }).waitFor()
  await rosa.page.screenshot({ path: `${shots}/search.png` })
  await rosa.page.keyboard.press('Enter')
  await rosa.heading(/RAND Health/)
  quiet(rosa)
}, rosa.page)

// Every page, for the person whom it fits; true: it has a primary action.
for (const [p, name, address, primary] of [
  [nobody, 'sign-in', '/', 'Sign in'], [nobody, 'link-empty', '/link'],
  [rosa, 'home', '/', true], [rosa, 'projects', '/projects'], [rosa, 'project', at.project, true], [rosa, 'new-analysis', `${at.project}/new`],
  [rosa, 'data', '/datasets'], [rosa, 'dataset', at.dataset], [rosa, 'jobs', '/jobs', true], [rosa, 'job-released', at.job, true],
  [rosa, 'requests', '/airlock'], [rosa, 'request-back', at.exception, true], [rosa, 'request-released', at.request, true],
  [rosa, 'releases', '/releases'], [rosa, 'release', at.release, true], [rosa, 'images', '/images'], [rosa, 'account', '/account'], [rosa, 'lost', '/no/such/place', true],
  [carl, 'home-checker', '/'], [carl, 'requests-checker', '/airlock'], [carl, 'request-released-checker', at.request], [carl, 'request-back-checker', at.exception],
  [olga, 'home-operator', '/'], [olga, 'projects-operator', '/projects', true], [olga, 'project-operator', at.project], [olga, 'people', '/people', true],
  [olga, 'images-operator', '/images', true], [olga, 'audit', '/audit', true], [olga, 'system', '/system'],
]) {
  const opened = await check(`${name} opens`, () => p.expecting(p === nobody ? /\b401\b.*\/api\/v1\/session/ : /^$/, async () => { await p.go(address); quiet(p) }), p.page)
  if (opened) await look(p, name, primary)
}
await check('the menu opens on a small screen', async () => {
  await rosa.page.setViewportSize({ width: 390, height: 844 })
  await rosa.go('/')
  await rosa.button('Open the menu').click()
  await rosa.page.screenshot({ path: `${shots}/menu-390.png` })
  await rosa.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Data' }).click()
  await rosa.heading('Data')
  quiet(rosa)
}, rosa.page)
await check('olga verifies the audit log', async () => {
  await olga.go('/audit')
  await olga.button('Verify the log').click()
  await olga.text(/events match their hashes/)
  await olga.page.screenshot({ path: `${shots}/audit-verified.png` })
  quiet(olga)
}, olga.page)

// The federation: a hub, this node, and a client.
const [lena, otto, hanna] = await Promise.all([['lena', base], ['otto', hub], ['hanna', hub]].map(([n, b]) => Person.enter(browser, n, b)))
await federation({ rosa, carl, cemile, olga, lena, otto, hanna, nodeBase: base, hubBase: hub, links, plugin, project: at.project, shots })
await many(browser, { ...two, shots })

// A grant that is taken back.
await check('stefan revokes a grant, with a reason, and grants it again', async () => {
  const stefan = await Person.enter(browser, 'stefan', base)
  await stefan.enrol(links.steward)
  await stefan.go(at.project)
  await confirm(stefan, stefan.button(/^Revoke RAND/), /^Revoke RAND/, 'Revoke the grant', 'The agreement is being renewed.')
  await stefan.text('No dataset is granted')
  await stefan.button('Grant a dataset').click()
  const d = stefan.page.getByRole('dialog', { name: /^Grant a dataset/ })
  await d.getByLabel('Dataset').selectOption({ index: 1 })
  await d.getByRole('button', { name: 'Grant dataset' }).click()
  await stefan.button(/^Revoke RAND/).waitFor()
  quiet(stefan)
}, olga.page)

// Somebody new.
const nina = await Person.enter(browser, 'nina', base)
const entered = await check('olga creates an account and nina opens its link', async () => {
  await olga.go('/people')
  await olga.button('Create an account').click()
  const dialog = olga.page.getByRole('dialog', { name: 'Create an account' })
  await dialog.getByLabel('Full name').fill('Nina Roth')
  await dialog.getByLabel(/^Sign-in name/).fill('nina')
  await dialog.getByRole('button', { name: 'Create account' }).click()
  const link = olga.page.getByRole('dialog', { name: /One-time link/ }).locator('code')
  await nina.expecting(/\b401\b.*\/api\/v1\/session/, async () => {
    await nina.page.goto((await link.innerText()).trim())
    await nina.heading('Sign in with your link')
    quiet(nina)
  })
  quiet(olga)
}, olga.page)
if (entered) {
  await look(nina, 'link', 'Sign in')
  await check('nina sets a password and is asked for a second factor', async () => {
    await nina.button('Sign in').click()
    await nina.heading('Set up your account')
    await nina.field(/^New password ?At least/).fill('four calm words here')
    await nina.field('New password again').fill('four calm words here')
    await nina.button('Save the password').click()
    await nina.page.getByAltText(/QR code/).waitFor()
    quiet(nina)
  }, nina.page)
  await look(nina, 'enrol', 'Confirm the code')
  await check('olga makes nina a member and removes her, with a reason', async () => {
    await olga.go(at.project)
    await olga.button('Add a member').click()
    const d = olga.page.getByRole('dialog', { name: 'Add a member' })
    await d.getByLabel('Person').selectOption({ label: 'Nina Roth (nina)' })
    await d.getByRole('button', { name: 'Add member' }).click()
    await confirm(olga, olga.button('Remove Nina Roth'), 'Remove Nina Roth', 'Remove the member', 'Works on another study now.')
    await olga.button('Remove Nina Roth').waitFor({ state: 'detached' })
    quiet(olga)
  }, olga.page)
  await check('to disable a person asks first', async () => {
    await olga.go('/people')
    await olga.button('Disable Nina Roth').click()
    const dialog = olga.page.getByRole('dialog', { name: 'Disable Nina Roth' })
    must(await dialog.getByLabel(/^Reason/).evaluate((e) => e === document.activeElement), 'the question does not have the focus')
    await dialog.getByRole('button', { name: 'Keep as it is' }).click()
    await dialog.waitFor({ state: 'detached' })
    await olga.page.waitForFunction(() => document.activeElement?.ariaLabel === 'Disable Nina Roth') // the focus comes back
    await olga.button('Disable Nina Roth').click()
    await olga.page.screenshot({ path: `${shots}/disable.png` })
    must(await dialog.getByRole('button', { name: 'Disable the account' }).isDisabled(), 'no reason is asked for')
    await dialog.getByLabel(/^Reason/).fill('Left the institute.')
    await dialog.getByRole('button', { name: 'Disable the account' }).click()
    await olga.button('Enable Nina Roth').waitFor()
    quiet(olga)
  }, olga.page)
  await check('the audit page shows why', async () => {
    await olga.go('/audit')
    for (const why of ['Left the institute.', 'Works on another study now.', 'The agreement is being renewed.']) await olga.page.getByRole('cell', { name: why }).waitFor()
    await olga.page.getByRole('combobox', { name: 'What' }).selectOption({ label: 'Work from outside' })
    await olga.page.getByRole('cell', { name: 'It sends more than was agreed.' }).waitFor()
    quiet(olga)
  }, olga.page)
  await look(olga, 'audit-reasons')
}
await check('rosa signs out', async () => {
  await rosa.page.setViewportSize({ width: 1280, height: 800 })
  await rosa.go('/')
  await rosa.button(/Your account/).click()
  await rosa.button('Sign out').click()
  await rosa.heading('Sign in')
  quiet(rosa)
}, rosa.page)

await browser.close()
process.exit(finish())
