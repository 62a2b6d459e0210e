import type { Limits, TaskRun, Who } from './types'

// The JSON of federation, plugins and hubs, as the pages use it.
export interface Use { project: string; slug: string; name: string; sponsor: Who; datasets: string[] | null; dataset_names?: string[] | null; since: string; by: string }
export interface Principal {
  id: string; slug: string; name: string; kind: 'hub' | 'client'; state: string; paused: boolean; approval: string; airlock: string
  quotas: { tasks_per_hour: number; open_tasks: number; cores: number }; projects: Use[] | null; created_at: string; created_by: string; last_seen?: string
  has_token: boolean; plugins: string[] | null; hub_key?: string; hub_url?: string; words?: string; publishes: boolean; node?: string; reason?: string
}
export interface LinkState { state: string; since?: string; last_contact?: string; error: string; next: string; retry_at?: string; round_trip_ms: number; attempts: number; reconnects: number; confirmed: boolean; confirmed_at?: string; words: string }
export interface Hub extends Principal { link: LinkState }
export interface Node { name: string; key: string; words: string; paused: boolean; enrolled: boolean; rotation?: { key: string; until: string; known: string[]; waiting: string[] } | null }
export interface Setting { key: string; label: string; help?: string; kind: string; choices?: string[]; default?: string; required?: boolean }
export interface Confined { landlock: boolean; seccomp: boolean; memory: boolean; network: boolean; account: boolean; checked: boolean; text: string }
export interface Plugin {
  name: string; title: string; version: string; protocol: string; parts: string[] | null; builtin: boolean; on_demand: boolean; path: string; sha256: string; trusted_by: string; trusted_at?: string
  enabled: boolean; running: boolean; starts: number; since?: string; last_error: string; health?: { ok: boolean; detail: string; at: string } | null
  settings_schema: Setting[] | null; settings: Record<string, string> | null; set: string[] | null; confined: Confined
  calls: number; failures: number; average_ms: number
}
export interface Overview { node: Node; hubs: Hub[]; clients: Principal[]; plugins: Plugin[]; waiting: number }
export interface Entry { seq: number; at: string; project?: string; direction: 'in' | 'out'; what: string; remote_id?: string; task?: string; sha256?: string; bytes: number; count: number; outcome: string; code?: string; text?: string; correlation?: string }
export interface Step { name: string; ok: boolean; detail: string; next?: string }
export interface Report { steps: Step[]; report: string }
export interface Source { id: string; prefix: string; kind: string; endpoint?: string; plugin?: string; added_at: string; added_by: string; private?: boolean; credential_at?: string }
export interface Token { id: string; name: string; project: string; slug?: string; project_slug?: string; created_at: string; expires_at: string; last_used?: string; revoked?: boolean; revoked_at?: string; token?: string }
export interface PlaceInfo { path: string; directory?: boolean; from?: string; dataset?: string; dataset_id?: string; version?: number; file?: string; tree?: string; origin?: string; sha256?: string; size?: number; copied?: boolean; files?: { path: string; sha256: string; size: number }[] }
export interface WantInfo { path: string; prefix?: string; directory?: boolean; target?: string; tree?: string }
export interface WaitingImage { ref: string; digest: string; state: string; reason: string; imported_by: string; imported_at?: string; approved_by: string; approved_at?: string; runs: number }
export interface Waiting {
  job: string; name: string; purpose: string; project: string; project_name: string; principal: string; kind: string; from: string; on_behalf: string; remote_id: string; sponsor: Who
  images: WaitingImage[]; tasks: TaskRun[]; datasets: { id: string; slug: string; version: number; sha256?: string }[] | null; places: PlaceInfo[] | null; inputs: { name: string; sha256: string; size: number }[] | null
  wants: WantInfo[] | null; volumes: string[] | null; limits: Limits & { wall_seconds?: number }; waiting_since: string; waiting_image: string; reason: string; can_decide: boolean
}
export interface TreeFile { path: string; sha256: string; size: number; job?: string; created_at: string }
export interface Tree { items: TreeFile[]; next?: string; used: number; quota: number }

// How a hub or client stands, in one word of the state table.
export const standing = (p: Principal & { link?: LinkState }) => (p.state === 'revoked' ? 'revoked' : p.link && !p.link.confirmed ? 'unconfirmed' : p.paused ? 'paused' : p.link ? p.link.state || 'offline' : 'active')
// A link that broke without a word of the other end says so in ours.
export const linkError = (text = '') => (/^(EOF|unexpected EOF|connection reset)/i.test(text) ? 'The hub closed the connection without saying why.' : text)
// Where a hub is, without what only programs need of its address.
export const hostOf = (url = '') => { try { return new URL(url).host } catch { return url } }
// By which door a job came: kind of the door, and the short name or id behind it.
export const doorWords: Record<string, string> = { hub: 'hub', client: 'outside client', person: 'a member’s program', token: 'a member’s program', inside: 'a program in another job' }

// At a hub.
export interface HubSelf { name: string; key: string; address: string; nodes: number; online: number; open_tasks: number; rotation?: { next: string; until: string; known: number; nodes: number } }
export interface HubNode { id: string; name: string; words: string; enrolled_at: string; confirmed_at?: string; revoked_at?: string; reason?: string; state: string; since?: string; last_contact?: string; remote?: string; version?: string; paused: boolean; plugins: string[] | null; trouble?: string; catalogue_at?: string; projects: string[] | null; open_tasks: number }
export interface HubProject { id: string; slug: string; name: string; state: string; created_at: string; members: { person_id: string; handle: string; name: string; role: string }[]; nodes: { node_id: string; name: string; remote: string; state: string }[] }
export interface HubResult { state: string; release: string; sha256?: string; size: number; files: { path: string; size: number; sha256: string }[] | null; root?: string; trouble?: string; stored_at?: string; keep_until?: string | null; deleted_at?: string | null; deleted_by?: string }
export interface HubPart { node_id: string; node: string; online: boolean; state: string; delivery: string; remote?: string; code?: string; text?: string; correlation?: string; trouble?: string; turn?: string; last_seen?: string; messages: string[] | null; result?: HubResult | null }
export interface HubTask { id: string; name: string; project: string; project_slug: string; owner: string; state: string; created_at: string; ended_at?: string; cancel_at?: string; images: string[] | null; parts: HubPart[]; can_cancel: boolean; can_open: boolean; can_erase?: boolean; can_end?: boolean }
export interface Published { node_id: string; node: string; online: boolean; at?: string; catalogue: { node: string; projects?: { slug: string; name: string }[]; datasets?: { slug: string; name: string; description?: string; version?: number; tables?: { name: string; description?: string; columns?: { name: string; type?: string; description?: string }[] }[] }[] } }

export const ledgerWords: Record<string, string> = {
  'task.create': 'Task', 'task.cancel': 'Cancel', 'task.read': 'Asked how tasks stand', 'input.fetched': 'Input from a listed source', 'release.sent': 'Released files', refused: 'Request', published: 'Catalogue',
}
export const airlockWords: Record<string, string> = {
  submit: 'Outputs go to review at once, and leave when the checkers have approved them', sponsor: 'The sponsor sends outputs to review and releases them',
}
export const useWords = (u?: Use) => (!u?.datasets?.length ? 'no data' : u.datasets.includes('*') ? 'all data of the project' : (u.dataset_names ?? u.datasets).join(', '))
