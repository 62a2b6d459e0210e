const nf = new Intl.NumberFormat('en-GB')
export const count = (n?: number) => (n === undefined || n === null ? '–' : nf.format(n))
export const plural = (n: number, one: string, many = one + 's') => `${nf.format(n)} ${n === 1 ? one : many}`

export function bytes(n?: number): string {
  if (n === undefined || n === null) return '–'
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let i = 0
  while (n >= 1000 && i < units.length - 1) { n /= 1000; i++ }
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`
}

// Limits are binary numbers on the wire; people set and read them as GB.
export const memory = (n?: number) => (n ? `${+(n / 2 ** 30).toFixed(1)} GB` : 'no limit')

// Go durations are nanoseconds.
export function duration(ns?: number): string {
  if (!ns) return 'no limit'
  const s = ns / 1e9
  if (s < 60) return plural(Math.round(s), 'second')
  if (s < 5400) return plural(Math.round(s / 60), 'minute')
  return plural(+(s / 3600).toFixed(1), 'hour')
}

export function span(from?: string, to?: string): string {
  if (!from) return '–'
  const s = Math.max(0, ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000)
  if (s < 1) return 'under 1 s'
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`
}

const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
export const absolute = (t: string) => full.format(new Date(t))
const hands = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })
export const clock = (t: string) => hands.format(new Date(t))
export const date = (t?: string) => (t ? day.format(new Date(t)) : '–')

export function relative(t: string, now = Date.now()): string {
  const s = Math.round((now - Date.parse(t)) / 1000)
  const a = Math.abs(s)
  const say = (n: number, unit: string) => (s >= 0 ? `${plural(n, unit)} ago` : `in ${plural(n, unit)}`)
  if (a < 10) return s >= 0 ? 'just now' : 'in a moment'
  if (a < 60) return say(a, 'second')
  if (a < 3600) return say(Math.round(a / 60), 'minute')
  if (a < 86400) return say(Math.round(a / 3600), 'hour')
  if (a < 14 * 86400) return say(Math.round(a / 86400), 'day')
  return day.format(new Date(t))
}

export function waiting(t: string): string {
  const s = Math.max(0, (Date.now() - Date.parse(t)) / 1000)
  if (s < 60) return 'a moment'
  if (s < 3600) return plural(Math.round(s / 60), 'minute')
  if (s < 86400) return plural(Math.round(s / 3600), 'hour')
  return plural(Math.round(s / 86400), 'day')
}

export const short = (h?: string) => (h ? h.replace(/^sha256:/, '').slice(0, 12) : '–')
export const sentence = (s: string) => s.charAt(0).toUpperCase() + s.slice(1).replace(/[-_]/g, ' ')
export const cap = (s?: string) => (s ? s.charAt(0).toUpperCase() + s.slice(1) : '')

// Characters that hide or reorder what is read are written out, so that a text from
// outside reads as the machine takes it: \u202e and so on.
const hidden = /[\p{Cf}\p{Zl}\p{Zp}]|(?![\n\t])\p{Cc}/gu
export const plain = (s: string) => s.replace(hidden, (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`)
export const hides = (s: string) => s !== plain(s)
export function allPlain<T>(v: T): T {
  if (typeof v === 'string') return plain(v) as T
  if (Array.isArray(v)) return v.map(allPlain) as T
  if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, allPlain(x)])) as T
  return v
}
