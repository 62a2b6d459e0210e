import type { IconName } from './icons'

export type Tone = 'info' | 'good' | 'attention' | 'stop' | 'calm'
interface Look { word: string; icon: IconName; tone: Tone }

// One table for every thing that has a state: the word people read, its icon,
// its colour. A state that is not here is shown as its own word.
const looks: Record<string, Look> = {
  submitted: { word: 'Submitted', icon: 'clock', tone: 'info' },
  approved: { word: 'Approved', icon: 'check', tone: 'good' },
  refused: { word: 'Refused', icon: 'stop', tone: 'stop' },
  queued: { word: 'Queued', icon: 'clock', tone: 'info' },
  preparing: { word: 'Preparing', icon: 'run', tone: 'info' },
  running: { word: 'Running', icon: 'run', tone: 'info' },
  collecting: { word: 'Collecting', icon: 'run', tone: 'info' },
  held: { word: 'Held inside', icon: 'lock', tone: 'attention' },
  released: { word: 'Released', icon: 'out', tone: 'good' },
  rejected: { word: 'Rejected', icon: 'stop', tone: 'stop' },
  failed: { word: 'Failed', icon: 'warn', tone: 'stop' },
  completed: { word: 'Completed inside', icon: 'check', tone: 'good' },
  cancelled: { word: 'Cancelled', icon: 'stop', tone: 'calm' },
  draft: { word: 'Draft', icon: 'pen', tone: 'calm' },
  'in-review': { word: 'In review', icon: 'eye', tone: 'info' },
  returned: { word: 'Changes wanted', icon: 'back', tone: 'attention' },
  withdrawn: { word: 'Withdrawn', icon: 'stop', tone: 'calm' },
  voted: { word: 'Vote cast', icon: 'note', tone: 'info' },
  requested: { word: 'In a request', icon: 'eye', tone: 'info' },
  erased: { word: 'Erased', icon: 'stop', tone: 'calm' },
  open: { word: 'Open', icon: 'check', tone: 'good' },
  closed: { word: 'Closed', icon: 'lock', tone: 'calm' },
  active: { word: 'Active', icon: 'check', tone: 'good' },
  disabled: { word: 'Disabled', icon: 'stop', tone: 'calm' },
  imported: { word: 'Not approved', icon: 'clock', tone: 'attention' },
  revoked: { word: 'Revoked', icon: 'stop', tone: 'stop' },
  missing: { word: 'Missing', icon: 'warn', tone: 'stop' },
  ok: { word: 'Fine', icon: 'check', tone: 'good' },
  warn: { word: 'Look at this', icon: 'warn', tone: 'attention' },
  fail: { word: 'Broken', icon: 'stop', tone: 'stop' },
  block: { word: 'Stops release', icon: 'stop', tone: 'stop' },
  info: { word: 'Note', icon: 'info', tone: 'info' },
  pending: { word: 'Waiting', icon: 'clock', tone: 'calm' },
  ended: { word: 'Ended', icon: 'check', tone: 'calm' },
  succeeded: { word: 'Done', icon: 'check', tone: 'good' },
  done: { word: 'Done', icon: 'check', tone: 'good' },
  approve: { word: 'Approve', icon: 'check', tone: 'good' },
  change: { word: 'Change wanted', icon: 'back', tone: 'attention' },
  online: { word: 'Online', icon: 'check', tone: 'good' },
  offline: { word: 'Offline', icon: 'warn', tone: 'attention' },
  connecting: { word: 'Connecting', icon: 'run', tone: 'info' },
  paused: { word: 'Paused', icon: 'lock', tone: 'attention' },
  unconfirmed: { word: 'Words not compared', icon: 'eye', tone: 'attention' },
  accepted: { word: 'Accepted', icon: 'check', tone: 'good' },
  sent: { word: 'Sent', icon: 'out', tone: 'good' },
  answered: { word: 'Answered', icon: 'check', tone: 'calm' },
  absent: { word: 'Not here', icon: 'warn', tone: 'attention' },
  deleted: { word: 'Deleted here', icon: 'stop', tone: 'calm' },
  stored: { word: 'Here', icon: 'check', tone: 'good' },
  wanted: { word: 'Coming', icon: 'run', tone: 'info' },
  offered: { word: 'Offered', icon: 'clock', tone: 'info' },
  waiting: { word: 'Waiting', icon: 'clock', tone: 'info' },
  QUEUED: { word: 'Queued', icon: 'clock', tone: 'info' },
  INITIALIZING: { word: 'Preparing', icon: 'run', tone: 'info' },
  RUNNING: { word: 'Running or held', icon: 'run', tone: 'info' },
  COMPLETE: { word: 'Complete', icon: 'check', tone: 'good' },
  'EXECUTOR-ERROR': { word: 'Program failed', icon: 'warn', tone: 'stop' },
  'SYSTEM-ERROR': { word: 'Not done', icon: 'stop', tone: 'stop' },
  CANCELING: { word: 'Being cancelled', icon: 'stop', tone: 'attention' },
  PAUSED: { word: 'Paused', icon: 'lock', tone: 'attention' },
  PREEMPTED: { word: 'Interrupted', icon: 'warn', tone: 'attention' },
  UNKNOWN: { word: 'Not known', icon: 'dot', tone: 'calm' },
  CANCELED: { word: 'Cancelled', icon: 'stop', tone: 'calm' },
  reject: { word: 'Reject', icon: 'stop', tone: 'stop' },
}

export function look(state: string): Look {
  const s = looks[state.replace(/[ _]/g, '-')]
  return s ?? { word: state.charAt(0).toUpperCase() + state.slice(1).replace(/[-_]/g, ' '), icon: 'dot', tone: 'calm' }
}

export const moving = (s: string) => ['submitted', 'approved', 'queued', 'preparing', 'running', 'collecting'].includes(s)

export const roleWords: Record<string, string> = {
  operator: 'Operator', steward: 'Data steward', checker: 'Output checker', auditor: 'Auditor', researcher: 'Researcher', lead: 'Project lead',
}
export const approvalWords: Record<string, string> = {
  every: 'Every job is approved by a person', image: 'Jobs run when their image is approved', off: 'Jobs run without approval',
}
