// A hub with two nodes that have each released a part of one task: what a person does
// when results are no longer wanted, and when a node stays away. `tresor demo federation`
// has made people, links and the task; node is the process that goes away.
import { counts } from './federation.mjs'
import { Person, check, confirm, dialog, look, must, quiet, soon, story, tes, token } from './kit.mjs'

export async function many(browser, { hub, link, task, node, shots }) {
  const hanna = await Person.enter(browser, 'hanna of two nodes', hub)
  await story('hanna sees one task with what two nodes released', async () => {
    await hanna.enrol(link)
    await hanna.go(`/tasks/${task}`)
    await hanna.text(/2 of 2 nodes have released/)
    must(await hanna.button(/^Download the release of/).count() === 2, 'two releases to download')
    quiet(hanna)
  }, hanna.page)
  await look(hanna, 'hub-task-two')
  await check('hanna deletes all results at the hub after a question, and their addresses say so', async () => {
    await hanna.button('Delete all results here').click()
    await hanna.page.screenshot({ path: `${shots}/hub-delete-all.png` })
    await dialog(hanna, /^Delete the 2 results/).getByRole('button', { name: 'Keep as it is' }).click()
    must(await hanna.button(/^Download the release of/).count() === 2, 'nothing was deleted yet')
    await confirm(hanna, hanna.button('Delete all results here'), /^Delete the 2 results of this task/, 'Delete them here')
    await hanna.text(/2 of 2 nodes have released/)
    for (const n of ['node-1', 'node-2']) await hanna.part(n).getByText(/Deleted here .* Names and hashes stay/).waitFor()
    must(!(await hanna.button(/^D(ownload the release|elete)/).count()), 'it still offers a result')
    const gone = await hanna.expecting(/\b410\b/, () => hanna.page.evaluate(async (t) => {
      const nodes = (await (await fetch(`/api/v1/hub/tasks/${t}`)).json()).parts.map((p) => p.node_id)
      return Promise.all(nodes.map(async (n) => (await fetch(`/api/v1/hub/tasks/${t}/results/${n}`)).status))
    }, task))
    must(gone.join() === '410,410', `the results are answered with ${gone}`)
    quiet(hanna)
  }, hanna.page)
  await look(hanna, 'hub-task-two-deleted')

  await story('a node takes a task and goes away, and the task is cancelled', async () => {
    const sent = await tes(hub, await token(hanna, 'A notebook'), counts('Waits for a node', 'SELECT COUNT(*) AS n FROM randhie', 'hub://counts.csv'))
    must(sent.status === 200, JSON.stringify(sent.body))
    await hanna.go(`/tasks/${sent.body.id}`)
    await hanna.part('node-2').getByText(/node-2 has to end it/).waitFor(soon)
    must(!(await hanna.button('Stop waiting').count()), 'nothing was cancelled yet')
    process.kill(node, 'SIGTERM')
    await hanna.part('node-2').getByText('Offline').waitFor(soon)
    await confirm(hanna, hanna.button('Cancel everywhere'), 'Cancel “Waits for a node” on every node', 'Cancel everywhere')
    await hanna.text(/Nodes that are offline are told when they are back/)
    await hanna.part('node-1').getByText('Cancelled', { exact: true }).first().waitFor(soon)
    await hanna.button('Stop waiting').waitFor()
    quiet(hanna)
  }, hanna.page)
  await look(hanna, 'hub-task-waits')
  await check('hanna stops waiting for the node that stays away, and the task has ended', async () => {
    await confirm(hanna, hanna.button('Stop waiting'), 'Stop waiting for “Waits for a node”', 'Stop waiting')
    await hanna.button('Stop waiting').waitFor({ state: 'detached' })
    await hanna.part('node-2').getByText('Cancelled', { exact: true }).first().waitFor()
    const state = await hanna.page.evaluate(async () => { const t = await (await fetch(`/api/v1/hub${location.pathname}`)).json(); return [t.state, !!t.ended_at] })
    must(state.join() === 'CANCELED,true', `the task is ${state}`)
    quiet(hanna)
  }, hanna.page)
  await look(hanna, 'hub-task-ended')
}
