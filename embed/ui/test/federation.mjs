// The federation by clicking: a hub with its own people, a node that enrols there, a
// task that goes over the link and comes back as a release, an outside client, the
// plugins, and every page of both looked at. Called by walk.mjs.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { check, confirm, dialog, look, must, quiet, review, soon, story, tes, token } from './kit.mjs'
import { plugins } from './plugins.mjs'

const path = (p) => new URL(p.page.url()).pathname

// counts is the task of the built-in SQL image that leaves one table.
export const counts = (name, sql, url) => ({
  name, description: 'Visits by self-rated health, in groups that are large enough.',
  executors: [{ image: 'tresor/sql', command: ['/tresor', 'sql', '--script', '/in/queries.json', '--out', '/work/out'] }],
  inputs: [{ path: '/data/randhie', url: 'tresor://dataset/randhie', type: 'DIRECTORY' }, { path: '/in/queries.json', content: JSON.stringify({ queries: [{ output: 'counts.csv', sql }] }) }],
  outputs: [{ path: '/work/out/counts.csv', url }],
})

async function wordsOf(p) { return (await p.page.locator('.words').first().innerText()).trim() }

// federation walks all of it. people: rosa, carl, cemile, olga of the node (signed in),
// lena its project lead, otto and hanna of the hub; enter makes a further person.
export async function federation({ rosa, carl, cemile, olga, lena, otto, hanna, nodeBase, hubBase, links, plugin, project, shots }) {
  const at = {}
  const shot = async (p, name) => { await p.page.evaluate(() => scrollTo(0, 0)); await p.page.screenshot({ path: `${shots}/${name}.png`, fullPage: true }) }

  // The hub's people.
  await story('otto sets up the first account of the hub', async () => { await otto.enrol(links.hub); await otto.heading('Northern Federation'); quiet(otto) }, otto.page)
  await look(otto, 'hub-home-empty', true)
  await story('otto creates an account for hanna, who sets hers up', async () => {
    await otto.go('/people')
    await otto.button('Create an account').click()
    await dialog(otto, 'Create an account').getByLabel('Full name').fill('Hanna Brandt')
    await dialog(otto, 'Create an account').getByLabel(/^Sign-in name/).fill('hanna')
    await dialog(otto, 'Create an account').getByRole('button', { name: 'Create account' }).click()
    await hanna.enrol((await dialog(otto, /One-time link/).locator('code').innerText()).trim())
    await hanna.heading('Northern Federation')
    quiet(otto)
    quiet(hanna)
  }, hanna.page)
  await check('hanna finds empty pages that say what they are for', async () => {
    await hanna.go('/projects')
    await hanna.text('No projects yet')
    await hanna.go('/catalogue')
    await hanna.text('Nothing is published')
    quiet(hanna)
  }, hanna.page)
  await story('otto makes a project and hanna its member', async () => {
    await otto.go('/projects')
    await otto.button('New project').click()
    await dialog(otto, 'New project').getByLabel('Name', { exact: true }).fill('Aurora over all hospitals')
    await dialog(otto, 'New project').getByLabel(/^Short name/).fill('aurora')
    await dialog(otto, 'New project').getByRole('button', { name: 'Make project' }).click()
    await otto.button('Add a member').click()
    await dialog(otto, /Add a member/).getByLabel('Person').selectOption({ label: 'Hanna Brandt' })
    await dialog(otto, /Add a member/).getByRole('button', { name: 'Add', exact: true }).click()
    await otto.text('Hanna Brandt')
    quiet(otto)
  }, otto.page)

  // Enrolment.
  await check('the federation page opens without a hub', async () => { await olga.go('/federation'); await olga.text('Not connected to a hub'); quiet(olga) }, olga.page)
  await look(olga, 'federation-empty', true)
  await story('a code that otto made is typed at the node', async () => {
    await otto.go('/')
    await otto.button('Add a node').first().click()
    await dialog(otto, 'Add a node').getByLabel(/^Name of the node/).fill('hospital-1')
    await dialog(otto, 'Add a node').getByRole('button', { name: 'Make the code' }).click()
    const code = (await dialog(otto, 'Add a node').locator('code.big').innerText()).trim()
    await shot(otto, 'hub-code')
    await dialog(otto, 'Add a node').getByRole('button', { name: 'Done' }).click()
    await olga.button('Enrol at a hub').first().click()
    const d = dialog(olga, 'Enrol at a hub')
    await d.getByLabel(/^Name/).fill('Northern Federation')
    await d.getByLabel(/^Address of the hub/).fill(hubBase)
    await d.getByLabel('One-time code').fill(code)
    await shot(olga, 'federation-enrol')
    await d.getByRole('button', { name: 'Enrol', exact: true }).click()
    await olga.heading('Northern Federation')
    at.hub = path(olga)
    quiet(olga)
    quiet(otto)
  }, olga.page)
  await story('both ends show the same words', async () => {
    const here = await wordsOf(olga)
    await otto.text(here)
    must(here.split(' ').length >= 8, `"${here}" are few words`)
  }, otto.page)
  await look(olga, 'hub-unconfirmed', true)
  await look(otto, 'hub-home-unconfirmed', true)
  await story('olga confirms, and the link is online without loading the page again', async () => {
    await confirm(olga, olga.button('Confirm the words'), 'Are the words the same at both ends?', 'They are the same')
    await olga.text('Online')
    quiet(olga)
  }, olga.page)
  await story('olga sets rules: a person approves every task, the catalogue is shown', async () => {
    await olga.button('Change the rules').click()
    const d = dialog(olga, 'Rules')
    await d.getByLabel('Approval').selectOption('every')
    await d.getByLabel(/names and descriptions/).check()
    await shot(olga, 'hub-rules')
    await d.getByRole('button', { name: 'Save the rules' }).click()
    await olga.text('A person approves every task')
    quiet(olga)
  }, olga.page)
  await story('lena lets the hub into her project and names who answers for it', async () => {
    await lena.enrol(links.lead)
    await lena.go(project)
    await lena.button('Let a hub or client in').click()
    const d = dialog(lena, 'Let a hub or client in')
    await d.getByLabel(/^Short name/).fill('northern-federation')
    await d.getByLabel(/^Who answers/).selectOption({ label: 'Rosa Lindqvist' })
    await d.getByLabel(/RAND Health/).check()
    await shot(lena, 'hub-lend')
    await d.getByRole('button', { name: 'Let it in' }).click()
    await lena.page.getByRole('region', { name: 'Who may send work from outside' }).getByRole('link', { name: 'Northern Federation' }).click()
    await lena.page.getByRole('cell', { name: 'Rosa Lindqvist' }).waitFor()
    quiet(lena)
  }, lena.page)
  await story('otto confirms, and the node is online without loading the page again', async () => {
    await confirm(otto, otto.button('Confirm the words'), /same words/, 'They are the same')
    await otto.text('Online')
    quiet(otto)
  }, otto.page)
  await story('otto runs the project on the node', async () => {
    await otto.go('/projects')
    await otto.button('Add a node').click()
    await dialog(otto, /Add a node/).getByLabel(/^Node/).selectOption({ label: 'hospital-1' })
    await dialog(otto, /Add a node/).getByRole('button', { name: 'Add', exact: true }).click()
    await otto.text(/there: aurora/)
    quiet(otto)
  }, otto.page)
  await look(otto, 'hub-projects', true)

  // One task through the hub.
  await story('hanna makes a token and a program of hers sends a task', async () => {
    at.hubToken = await token(hanna, 'A notebook')
    const sent = await tes(hubBase, at.hubToken, counts('Visits over all hospitals', 'SELECT hlthp AS poor, COUNT(*) AS person_years, ROUND(AVG(mdvis), 2) AS mean_visits FROM randhie GROUP BY hlthp HAVING COUNT(*) >= 10', 'hub://counts.csv'))
    must(sent.status === 200, `the hub answered ${sent.status} ${JSON.stringify(sent.body)}`)
    at.task = `/tasks/${sent.body.id}`
    quiet(hanna)
  }, hanna.page)
  await story('lena sees everything that an approver needs', async () => {
    await lena.go('/')
    await lena.link(/Visits over all hospitals/).first().waitFor(soon)
    await lena.go('/federation/requests')
    await lena.heading('Requests from outside')
    await lena.button('Read /in/queries.json').click()
    await lena.page.getByRole('region', { name: 'Text of /in/queries.json' }).getByText('COUNT(*) AS person_years').waitFor()
    for (const what of ['Northern Federation', 'tresor/sql', '/tresor sql --script', '/data/randhie', 'leaves only through the airlock']) await lena.text(what)
    quiet(lena)
  }, lena.page)
  await look(lena, 'requests-outside', true)
  await story('lena approves it with a reason', async () => {
    await lena.go('/federation/requests')
    await lena.button('Approve this task').click()
    await dialog(lena, /Approve/).getByLabel(/^Reason/).fill('The study of the federation that the project agreed to.')
    await dialog(lena, /Approve/).getByRole('button', { name: 'Approve task' }).click()
    await lena.text('Nothing waits')
    quiet(lena)
  }, lena.page)
  await look(lena, 'requests-none')
  await story('the checkers of the node approve what it left', async () => {
    await review(carl, 'Visits over all hospitals', 'Approve', 'Large groups.')
    await review(cemile, 'Visits over all hospitals', 'Approve', 'No small cell.')
    quiet(carl)
    quiet(cemile)
  }, cemile.page)
  await story('hanna downloads the release, with the hash that the page shows', async () => {
    await hanna.go(at.task)
    await hanna.text(/1 of 1 node has released/)
    await hanna.text(/Kept here until/)
    const [zip] = await Promise.all([hanna.page.waitForEvent('download'), hanna.button(/^Download the release/).click()])
    const bytes = readFileSync(await zip.path())
    const sum = createHash('sha256').update(bytes).digest('hex')
    must(bytes.subarray(0, 2).toString() === 'PK', `${zip.suggestedFilename()} is no zip`)
    must(await hanna.page.locator(`code[title="${sum}"]`).count(), `the page does not show ${sum}`)
    quiet(hanna)
  }, hanna.page)

  // A client with a token of its own.
  await story('olga adds a client and makes its token, lena lets it in', async () => {
    await olga.go('/federation')
    await olga.button('Add a client').click()
    await dialog(olga, /Add an outside client/).getByLabel(/^Name/).fill('Registry of Uppland')
    await dialog(olga, /Add an outside client/).getByRole('button', { name: 'Add client' }).click()
    await olga.heading('Registry of Uppland')
    at.client = path(olga)
    await olga.button('Make its token').click()
    await dialog(olga, 'Make its token').getByRole('button', { name: 'Make the token' }).click()
    at.clientToken = (await dialog(olga, /its token/).locator('code.secret').innerText()).trim()
    await shot(olga, 'client-token')
    await dialog(olga, /its token/).getByRole('button', { name: 'I have kept it' }).click()
    await olga.text('Made; only its hash is kept')
    await lena.go(project)
    await lena.button('Let a hub or client in').click()
    await dialog(lena, /^Let a/).getByLabel(/^Short name/).fill('registry-of-uppland')
    await dialog(lena, /^Let a/).getByLabel(/^Who answers/).selectOption({ label: 'Rosa Lindqvist' })
    await dialog(lena, /^Let a/).getByLabel(/All that the project/).check()
    await dialog(lena, /^Let a/).getByRole('button', { name: 'Let it in' }).click()
    await lena.text(/Rosa Lindqvist answers for it; all data of the project/)
    quiet(olga)
    quiet(lena)
  }, olga.page)
  await story('the client leaves a file inside, waits for an image, and is refused an address', async () => {
    const inside = await tes(nodeBase, at.clientToken, counts('Counts for the next step', 'SELECT COUNT(*) AS n FROM randhie', 'file:///project/steps/one/counts.csv'))
    must(inside.status === 200, JSON.stringify(inside.body))
    at.inside = `/jobs/${inside.body.id}`
    const image = await tes(nodeBase, at.clientToken, { name: 'Train a model', executors: [{ image: 'docker.io/library/python:3.12', command: ['python', '/in/train.py', 'safe\u202egnp'], stdout: '/out/log.txt' }], inputs: [{ path: '/in/train.py', content: 'print(1)\n' }], outputs: [{ path: '/out/model.csv', url: 'model.csv' }], volumes: ['/scratch'] })
    must(image.status === 200, JSON.stringify(image.body))
    at.image = `/jobs/${image.body.id}`
    const away = await tes(nodeBase, at.clientToken, { executors: [{ image: 'tresor/sql', command: ['x'] }], inputs: [{ path: '/a', url: 'https://elsewhere.example.org/a' }] })
    must(away.status === 403, `an address that nobody allowed was answered with ${away.status}`)
    await lena.go('/federation/requests')
    await lena.text("$'safe\\u202egnp'") // what would turn the text round is written out
    await lena.text(/look twice/)
    await lena.go(at.inside)
    await lena.text('Completed inside')
    quiet(lena)
  }, lena.page)
  await story('lena finds the file in the project and erases it after a question', async () => {
    await lena.go(project)
    const files = lena.page.getByRole('region', { name: 'Files inside', exact: true })
    await files.getByRole('button', { name: 'steps', exact: true }).click()
    await files.getByRole('button', { name: 'one', exact: true }).click()
    await files.getByText('counts.csv').waitFor()
    await shot(lena, 'project-files')
    await confirm(lena, files.getByRole('button', { name: /^Erase/ }), /Erase steps/, 'Erase the file')
    await files.getByText('No files yet').waitFor()
    quiet(lena)
  }, lena.page)
  await check('who may send work from outside stands on the project page', async () => {
    await lena.page.getByRole('region', { name: 'Who may send work from outside' }).getByRole('link', { name: 'Registry of Uppland' }).waitFor()
  }, lena.page)
  await check('olga pauses the hub, which is told so, and takes its work again', async () => {
    await olga.go(at.hub)
    await confirm(olga, olga.button('Pause'), 'Pause Northern Federation', 'Pause', 'It sends more than was agreed.')
    await olga.text(/Paused: It sends more than was agreed/)
    quiet(olga)
  }, olga.page)
  await look(olga, 'hub-paused')
  await check('a step of the doctor that fails says what to do', async () => {
    await olga.button('Test the link').click()
    await olga.text(/of \d+ steps needs attention/)
    await olga.button('Copy the report').waitFor()
    await shot(olga, 'doctor-attention')
    await confirm(olga, olga.button('Take its work again'), /Take work of Northern/, 'Take its work again')
    quiet(olga)
  }, olga.page)
  await check('the doctor has only ticks when all is well', async () => {
    await olga.text('Online')
    await olga.button('Test again').click()
    await olga.text('Every step is fine.')
    quiet(olga)
  }, olga.page)
  await look(olga, 'hub-doctor')
  await check('olga pauses everything from outside and takes it again', async () => {
    await olga.go('/federation')
    await confirm(olga, olga.button('Pause all'), 'Pause everything from outside', 'Pause all')
    await olga.text(/Everything from outside is refused/)
    await shot(olga, 'federation-paused')
    const refused = await tes(nodeBase, at.clientToken, { executors: [{ image: 'tresor/sql', command: ['x'] }] })
    must(refused.status >= 400, 'a task was taken')
    await confirm(olga, olga.button('Take work again'), 'Take work from outside again', 'Take work again')
    await olga.button('Pause all').waitFor()
    quiet(olga)
  }, olga.page)
  await check('olga allows an address that inputs may come from, and removes it', async () => {
    await olga.button('Allow an address').click()
    await dialog(olga, 'Allow an address').getByLabel(/^Begins with/).fill('https://data.example.org/public/')
    await dialog(olga, 'Allow an address').getByRole('button', { name: 'Allow', exact: true }).click()
    await olga.text('https://data.example.org/public/')
    await confirm(olga, olga.button(/^Remove address/), 'Remove this address', 'Remove address')
    await olga.text(/nothing is fetched from outside/)
    quiet(olga)
  }, olga.page)
  await check('a bucket gets a key, which no page shows again, and loses it', async () => {
    await olga.button('Allow an address').click()
    await dialog(olga, 'Allow an address').getByLabel(/^Begins with/).fill('s3://registry/visits/')
    await dialog(olga, 'Allow an address').getByLabel(/^Answered by/).fill('https://s3.example.org')
    await dialog(olga, 'Allow an address').getByRole('button', { name: 'Allow', exact: true }).click()
    await olga.button('Set credential: s3://registry/visits/').click()
    const d = dialog(olga, 'Set a credential')
    await d.getByLabel('Access key').fill('walk-key')
    await d.getByLabel('Secret key').fill('walk-secret-value')
    await shot(olga, 'source-credential')
    await d.getByRole('button', { name: 'Set the credential' }).click()
    await d.waitFor({ state: 'detached' })
    await olga.text(/credential set/)
    must(!(await olga.page.content()).includes('walk-secret-value'), 'the page holds the secret')
    quiet(olga)
  }, olga.page)
  await look(olga, 'federation-sources')
  await check('the credential is taken away and the address removed', async () => {
    await confirm(olga, olga.button('Remove credential: s3://registry/visits/'), 'Remove the credential', 'Remove credential')
    await olga.text(/no credential/)
    await confirm(olga, olga.button(/^Remove address/), 'Remove this address', 'Remove address')
    await olga.text(/nothing is fetched from outside/)
    quiet(olga)
  }, olga.page)

  // Plugins.
  await check('olga sets the organisation, the plugin says it, and a test has ticks', async () => {
    await olga.go('/plugins/tes')
    await olga.field(/^Organisation/).fill('Hospital of the walk')
    await olga.button('Save settings').click()
    await olga.text(/Saved/)
    await olga.button('Test the plugin').click()
    await olga.text('Every step is fine.')
    const info = await tes(nodeBase, at.clientToken, undefined, '/service-info')
    must(JSON.stringify(info.body).includes('Hospital of the walk'), JSON.stringify(info.body))
    quiet(olga)
  }, olga.page)
  await look(olga, 'plugin', 'Save settings')
  await check('a plugin that was stopped says so and starts again', async () => {
    await confirm(olga, olga.button('Stop it'), /^Stop /, 'Stop it')
    await olga.button('Start it').waitFor()
    await shot(olga, 'plugin-stopped')
    await olga.button('Start it').click()
    await olga.button('Stop it').waitFor()
    quiet(olga)
  }, olga.page)

  await plugins({ olga, plugin, confirm, shot })

  // New keys, with the link up all the while.
  await check('olga gives the node a new key and the hub takes it', async () => {
    await olga.go('/federation')
    const before = await olga.page.getByText('Its key, as words').locator('xpath=following-sibling::dd[1]').innerText()
    await confirm(olga, olga.button('Give it a new key'), 'Give this node a new key', 'Announce the new key')
    await olga.text(/The new key is in use: every hub has it/)
    await shot(olga, 'node-rotation')
    await olga.text('Online')
    must(!(await olga.page.getByRole('main').innerText()).includes(before), 'the words of the key are what they were')
    quiet(olga)
  }, olga.page)
  await check('otto gives the hub a new key and the node takes it', async () => {
    await otto.go('/')
    await confirm(otto, otto.button('Give it a new key'), 'Give this hub a new key', 'Announce the new key')
    await otto.text(/The new key is in use: every node has it/)
    await shot(otto, 'hub-rotation')
    await otto.text('Online')
    await olga.go(at.hub)
    await olga.text('Online')
    quiet(otto)
    quiet(olga)
  }, otto.page)

  // Tokens of a person.
  await check('rosa makes a token and ends it', async () => {
    const secret = await token(rosa, 'Snakemake')
    const before = await tes(nodeBase, secret, undefined, '/tasks')
    must(before.status === 200, `the token was answered with ${before.status}`)
    await confirm(rosa, rosa.button(/^End it/), /End the token/, 'End it', 'The laptop was sold.')
    await rosa.text('Ended')
    const after = await tes(nodeBase, secret, undefined, '/tasks')
    must(after.status === 401, `the ended token was answered with ${after.status}`)
    quiet(rosa)
  }, rosa.page)

  // Every page, for the person whom it fits.
  for (const [p, name, address, primary] of [
    [olga, 'federation', '/federation', true], [olga, 'principal-hub', at.hub], [olga, 'principal-client', at.client], [olga, 'requests-image', '/federation/requests'], [olga, 'plugins', '/plugins'],
    [lena, 'federation-lead', '/federation'], [lena, 'project-lead', project, true], [lena, 'job-outside', at.image], [lena, 'job-inside', at.inside], [rosa, 'account-token', '/account'],
    [olga, 'audit-hub', '/audit?verb=gateway.'],
    [hanna, 'hub-tasks', '/tasks'], [hanna, 'hub-task', at.task], [hanna, 'hub-catalogue', '/catalogue'], [hanna, 'hub-account', '/account'],
    [otto, 'hub-home', '/', true], [otto, 'hub-people', '/people', true], [otto, 'hub-audit', '/audit', true], [otto, 'hub-system', '/system'],
  ]) {
    if (await check(`${name} opens`, async () => { await p.go(address ?? '/lost-on-the-way'); quiet(p) }, p.page)) await look(p, name, primary)
  }
  await check('the catalogue of the hub shows what the node publishes', async () => { await hanna.go('/catalogue'); await hanna.text(/RAND Health/); quiet(hanna) }, hanna.page)
  await check('the audit page filters by person and by kind', async () => {
    await olga.go('/audit')
    await olga.page.getByRole('combobox', { name: 'Who' }).selectOption({ label: 'Lena Vogt' })
    await olga.page.getByRole('combobox', { name: 'What' }).selectOption({ label: 'Work from outside' })
    await olga.page.getByRole('cell', { name: 'Let into a project' }).first().waitFor()
    must(!(await olga.page.getByRole('cell', { name: 'olga', exact: true }).count()), 'it shows what olga did')
    quiet(olga)
  }, olga.page)

  // The end of things.
  await check('hanna deletes the hub’s copy of a result after a question', async () => {
    await hanna.go(at.task)
    await confirm(hanna, hanna.button(/^Delete it here/), /^Delete the result of hospital-1/, 'Delete it here')
    await hanna.text(/Names and hashes stay; the node keeps its release/)
    must(!(await hanna.button(/^Download the release/).count()), 'it still offers the download')
    quiet(hanna)
  }, hanna.page)
  await look(hanna, 'hub-task-deleted')
  await check('a client that was revoked says why', async () => {
    await olga.go(at.client)
    await olga.button('Revoke').click()
    await dialog(olga, /Revoke/).getByRole('button', { name: 'Keep as it is' }).click()
    await olga.button('Revoke').click()
    await dialog(olga, /Revoke/).getByLabel(/^Reason/).fill('The contract has ended.')
    await dialog(olga, /Revoke/).getByRole('button', { name: 'Revoke', exact: true }).click()
    await olga.text(/Revoked: The contract has ended/)
    must((await tes(nodeBase, at.clientToken, undefined, '/tasks')).status === 401, 'its token still works')
    quiet(olga)
  }, olga.page)
  await look(olga, 'client-revoked')
  await check('a node that the hub revoked finds the link down, with what to do', async () => {
    await otto.go('/')
    await otto.button(/^Revoke/).click()
    await dialog(otto, /Revoke/).getByLabel(/^Reason/).fill('The hospital left the federation.')
    await dialog(otto, /Revoke/).getByRole('button', { name: 'Revoke node' }).click()
    await otto.text(/The hospital left/)
    await olga.go(at.hub)
    await olga.text('Offline')
    quiet(olga)
    quiet(otto)
  }, olga.page)
  await check('the doctor says where the link fails, with a report to copy', async () => {
    await olga.button('Test the link').click()
    await olga.text(/of \d+ steps? needs? attention/)
    await olga.text('What to do:')
    await olga.page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await olga.button('Copy the report').click()
    await olga.button('Copied').waitFor()
    const report = await olga.page.evaluate(() => navigator.clipboard.readText())
    must(/hub/i.test(report) && report.split('\n').length > 5, `the report says: ${report}`)
    quiet(olga)
  }, olga.page)
  await look(olga, 'hub-down')
  await look(otto, 'hub-home-revoked', true)
}
