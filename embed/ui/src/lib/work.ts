import type { Finding, Item, Request, View } from './types'

// What the pages of work need beyond the plain types.
export interface Cell { row: number; col: number }
export type Marked = Finding & { cells?: Cell[] }
export type FullRequest = Request & { can?: string[]; findings?: Finding[]; round?: number; turn?: { who: string; next: string; yours?: boolean }; checks?: { threshold?: number; blocks: number; warnings: number; version?: string } }

// Words are the texts of a request; spoken says whether none is missing.
export interface Words { title: string; context: string; population: string; controls: string; exception: string }
export const spoken = (w: Words) => [w.title, w.context, w.population, w.controls].every((t) => t.trim())
export const wordsOf = (r?: Partial<Words>): Words => ({ title: r?.title ?? '', context: r?.context ?? '', population: r?.population ?? '', controls: r?.controls ?? '', exception: r?.exception ?? '' })

// spread gives every cell of a finding a mark of its own.
export function spread(findings: Marked[] = []): Finding[] {
  return findings.flatMap((f) => (f.cells?.length ? f.cells.map((c) => ({ ...f, row: c.row, col: c.col })) : [f]))
}

export const blocks = (findings: Finding[] = []) => findings.filter((f) => f.severity === 'block').length
export const fileName = (path: string) => path.split('/').pop() ?? path

// worst is the state icon of a file in the tree.
export function worst(item: Item): string {
  const f = item.findings ?? []
  if (f.some((x) => x.severity === 'block')) return 'block'
  if (f.some((x) => x.severity === 'warn')) return 'warn'
  return 'ok'
}

export interface Numbers { name: string; min: number; max: number; sum: number; five: boolean; six: boolean; least: number | null }

// numbers sums up the numeric columns of a table page: what a checker counts by hand.
export function numbers(v: View): Numbers[] {
  const rows = v.rows ?? []
  return (v.columns ?? []).flatMap((name, c) => {
    const cells = rows.map((r) => r[c]).filter((x) => x !== '')
    if (!cells.length || cells.some((x) => isNaN(Number(x)))) return []
    const n = cells.map(Number)
    const above = n.filter((x) => x > 0)
    return [{
      name, min: Math.min(...n), max: Math.max(...n), sum: n.reduce((a, b) => a + b, 0),
      five: n.every((x) => Number.isInteger(x) && x % 5 === 0), six: n.every((x) => Number.isInteger(x) && (x % 6 === 0)),
      least: above.length ? Math.min(...above) : null,
    }]
  })
}
