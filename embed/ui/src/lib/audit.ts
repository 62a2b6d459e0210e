// The log's fixed vocabulary in words. A verb is noun.participle; what is not here is
// shown as it stands in the log.

// Nouns as they are chosen in the filter, here and at a hub.
export const nouns: [string, string][] = [['job', 'Jobs'], ['airlock', 'Reviews'], ['release', 'Releases'], ['dataset', 'Data'], ['image', 'Images'], ['project', 'Projects'], ['member', 'Members'], ['gateway', 'Work from outside'], ['hub', 'Hubs: keys, codes'], ['plugin', 'Plugins'], ['tree', 'Files of projects'], ['token', 'Tokens'], ['person', 'People'], ['session', 'Sign-ins'], ['link', 'One-time links'], ['credential', 'Passwords and factors'], ['workspace', 'Logs that were read'], ['log', 'The log itself']]
export const hubNouns: [string, string][] = [['task', 'Tasks'], ['part', 'Tasks at nodes'], ['result', 'Results'], ['node', 'Nodes'], ['code', 'Codes'], ['hub-project', 'Projects'], ['member', 'Members'], ['token', 'Tokens'], ['person', 'People'], ['session', 'Sign-ins'], ['link', 'One-time links'], ['credential', 'Passwords and factors'], ['log', 'The log itself']]

const named: Record<string, string> = {
  airlock: 'request', 'hub-project': 'project', gateway: 'work from outside', hub: 'hub', tree: 'file', link: 'one-time link', credential: 'password or factor', part: 'task at a node', workspace: 'job', log: 'audit log', session: 'session', principal: 'hub or client', source: 'address', input: 'file sent with a job',
}
const whole: Record<string, string> = {
  'workspace.attached': 'log of a job read', 'airlock.viewed': 'file of a request read', 'airlock.voted': 'vote cast', 'airlock.allowed': 'finding let pass', 'session.opened': 'signed in', 'session.ended': 'signed out', 'session.refused': 'sign-in refused', 'session.proved': 'proved to be there',
  'gateway.lent': 'let into a project', 'gateway.withdrawn': 'taken back from a project', 'gateway.created': 'hub or client added', 'gateway.changed': 'rules of a hub or client changed', 'gateway.revoked': 'hub or client revoked', 'gateway.published': 'catalogue shown', 'gateway.token-made': 'token for a program made', 'gateway.token-refused': 'token refused',
  'gateway.source-added': 'address allowed', 'gateway.source-dropped': 'address removed', 'gateway.source-credential-set': 'credential of an address set', 'gateway.source-credential-dropped': 'credential of an address removed', 'task.forgotten': 'task removed after its time', 'task.left': 'a node no longer waited for', 'gateway.paused': 'work from outside paused', 'gateway.resumed': 'work from outside taken again', 'release.opened': 'release downloaded', 'result.opened': 'result downloaded', 'hub.code-made': 'code for a hub made', 'plugin.noted': 'plugin: something noted',
  'gateway.way-out': 'outputs sent to review', 'gateway.accepted': 'work from outside taken', 'gateway.sent': 'release sent outside', 'gateway.token-revoked': 'token for a program ended', 'log.opened': 'audit log begun', 'log.restored': 'audit log restored', 'member.dropped': 'member removed',
}
export const verbWords = (v: string) => {
  const [noun, did] = v.split('.')
  return whole[v] ?? `${named[noun] ?? noun.replace(/-/g, ' ')} ${(did ?? '').replace(/-/g, ' ')}`.trim()
}
export const kindWords = (subject: string) => named[subject.split(':')[0]] ?? subject.split(':')[0].replace(/-/g, ' ')

const homes: Record<string, string> = { job: '/jobs/', airlock: '/airlock/', project: '/projects/', dataset: '/datasets/', release: '/releases/', plugin: '/plugins/', task: '/tasks/' }
export const homeOf = (subject: string) => { const [kind, ...rest] = subject.split(':'); return homes[kind] ? homes[kind] + rest.join(':') : '' }

// Hashes and ids are cut for reading; the export has them whole.
const cut = (v: string) => (v.length > 24 ? v.replace(/^sha256:/, '').slice(0, 12) + '…' : v)
// The hash of a reason says nothing where the reason stands in its words.
export const detailWords = (d?: Record<string, string>) => Object.entries(d ?? {}).filter(([k]) => k !== 'reason_hash').map(([k, v]) => `${k.replace(/[_-]/g, ' ')} ${cut(v)}`).join(', ')
