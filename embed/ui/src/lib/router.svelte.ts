// A history router: one reactive place, links caught at the document.
export const place = $state({ path: location.pathname, query: location.search, hash: location.hash })

function read() {
  place.path = location.pathname
  place.query = location.search
  place.hash = location.hash
}

export function go(to: string, replace = false) {
  history[replace ? 'replaceState' : 'pushState'](null, '', to)
  read()
  window.scrollTo(0, 0)
  queueMicrotask(() => document.getElementById('main')?.focus({ preventScroll: true }))
}

export function setQuery(values: Record<string, string>) {
  const q = new URLSearchParams(location.search)
  for (const [k, v] of Object.entries(values)) v ? q.set(k, v) : q.delete(k)
  const s = q.toString()
  history.replaceState(null, '', location.pathname + (s ? '?' + s : ''))
  read()
}

export function query(name: string) {
  return new URLSearchParams(place.query).get(name) ?? ''
}

export function startRouter() {
  addEventListener('popstate', read)
  document.addEventListener('click', (e) => {
    if (e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
    const a = (e.target as Element).closest?.('a')
    if (!a || a.target || a.hasAttribute('download') || a.origin !== location.origin) return
    const to = a.getAttribute('href') ?? ''
    if (to.startsWith('#') || /^\/(api|docs)(\/|$)/.test(a.pathname)) return
    e.preventDefault()
    go(a.pathname + a.search + a.hash)
  })
}

// readable is the text of an address' part; one that is badly written stays as it is.
export function readable(part: string) {
  try { return decodeURIComponent(part) } catch { return part }
}

// match compares a path with a pattern such as /jobs/:id.
export function match(pattern: string, path: string): Record<string, string> | null {
  const p = pattern.split('/')
  const q = path.replace(/\/+$/, '').split('/')
  if (p.length !== q.length && !(pattern === '/' && path === '/')) return null
  const out: Record<string, string> = {}
  for (let i = 0; i < p.length; i++) {
    if (p[i].startsWith(':')) out[p[i].slice(1)] = readable(q[i] ?? '')
    else if (p[i] !== (q[i] ?? '')) return null
  }
  return out
}
