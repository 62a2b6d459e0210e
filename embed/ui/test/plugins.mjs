// An external plugin by clicking: its file is trusted on the server, its settings are
// drawn from its schema, a secret is never shown again, and a file that has changed is
// refused with both hashes. Called by federation.mjs.
import { execFileSync } from 'node:child_process'
import { appendFileSync, copyFileSync } from 'node:fs'
import { check, look, must, quiet, story } from './kit.mjs'

const secret = 'kept-inside-and-never-shown-5180'

// plugins: olga is the operator; plugin names the program, the data folder and the file.
export async function plugins({ olga, plugin: { tresor, data, file }, confirm, shot }) {
  const trust = () => execFileSync(tresor, ['plugin', 'trust', '--yes', file, '--data', data], { encoding: 'utf8' })
  const state = (word) => olga.page.locator('header .chip', { hasText: word }).waitFor()
  copyFileSync(file, `${file}.whole`)

  await story('a trusted file stands among the plugins, without loading the page again', async () => {
    await olga.go('/plugins')
    await olga.text('tresor plugin trust FILE')
    trust()
    await olga.link('Example protocol').click()
    await olga.heading('Example protocol')
    await state('Off')
    await olga.text(/by the command line/)
    quiet(olga)
  }, olga.page)
  await story('its settings are drawn from its schema; the secret is saved and not shown', async () => {
    must(await olga.field(/^Image/).inputValue(), 'the default of the schema is not in the field')
    await olga.field(/^Image/).fill('tools/shell:1')
    await olga.field(/^Token of the registry/).fill(secret)
    await olga.button('Save settings').click()
    await olga.text('Saved')
    await olga.go('/plugins/example')
    must(await olga.field(/^Image/).inputValue() === 'tools/shell:1', 'the image was not kept')
    must(await olga.field(/^Token of the registry/).inputValue() === '', 'the secret came back')
    await olga.text('A value is kept; leave this empty to keep it.')
    must(!(await olga.page.content()).includes(secret), 'the page holds the secret')
    quiet(olga)
  }, olga.page)
  await check('a secret that is left empty is kept', async () => {
    await olga.field(/^Image/).fill('tools/shell:2')
    await olga.button('Save settings').click()
    await olga.text('Saved')
    await olga.go('/plugins/example')
    must(await olga.field(/^Image/).inputValue() === 'tools/shell:2', 'the image was not kept')
    await olga.text('A value is kept; leave this empty to keep it.')
    quiet(olga)
  }, olga.page)
  await story('it starts, and its doctor has only ticks', async () => {
    await olga.button('Start it').click()
    await state('Runs')
    await olga.button('Test the plugin').click()
    await olga.text('Every step is fine.')
    quiet(olga)
  }, olga.page)
  await look(olga, 'plugin-external')
  await story('a file that has changed is refused with both hashes', async () => {
    appendFileSync(file, '\0')
    await confirm(olga, olga.button('Stop it'), /^Stop /, 'Stop it')
    await olga.button('Start it').click()
    const told = olga.page.getByRole('alert', { name: 'The file has changed' })
    await told.waitFor()
    const sums = (await told.innerText()).match(/[0-9a-f]{64}/g) ?? []
    must(sums.length === 2 && sums[0] !== sums[1], `it shows ${sums.length} hashes`)
    await shot(olga, 'plugin-changed')
    olga.said.length = 0
  }, olga.page)
  await check('the doctor says which step fails, what to do, and gives a report to copy', async () => {
    await olga.page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await olga.button(/^Test (the plugin|again)/).click()
    await olga.text(/of \d+ steps? needs? attention/)
    await olga.text('What to do:')
    await olga.button('Copy the report').click()
    await olga.button('Copied').waitFor()
    const report = await olga.page.evaluate(() => navigator.clipboard.readText())
    must(/file/i.test(report) && report.split('\n').length > 2 && !report.includes(secret), `the report says: ${report}`)
    await shot(olga, 'plugin-doctor')
    olga.said.length = 0
  }, olga.page)
  await check('trusted again it runs; forgotten it is gone', async () => {
    trust()
    await olga.go('/plugins/example')
    if (await olga.button('Start it').count()) await olga.button('Start it').click()
    await state('Runs')
    await confirm(olga, olga.button('Forget it'), /^Forget /, 'Forget it', 'Another version takes its place.')
    await olga.heading('Plugins')
    await olga.link('Example protocol').waitFor({ state: 'detached' })
    olga.said.length = 0
  }, olga.page)
}
