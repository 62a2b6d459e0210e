import { api, type Failure } from './api'
import { asFailure, resource } from './load.svelte'
import type { Page as List } from './types'

// paged is a list whose newest page is kept up to date and whose older pages are asked
// for. What happens while somebody reads older lines leaves them where they are. path is
// the list with its filter and limit; cursor the parameter that names where to go on.
export function paged<T, P extends List<T> = List<T>>(path: () => string, id: (x: T) => string | number, topics: () => string[] = () => [], cursor = 'before') {
  let older = $state.raw<T[]>([])
  let next = $state<string>()
  let busy = $state(false)
  let failure = $state.raw<Failure>()
  let at = '' // what is shown: the path, and all its lines
  let all: T[] = []
  let turn = 0
  const first = resource(async () => {
    const mine = ++turn
    const asked = path()
    const p = await api.get<P>(asked)
    if (mine !== turn) return p
    const last = p.items.at(-1)
    const place = asked === at && last ? all.findIndex((x) => id(x) === id(last)) : -1
    if (older.length && place >= 0) older = all.slice(place + 1) // the same list, with some more at its top
    else { older = []; next = p.next; failure = undefined }
    at = asked
    all = [...p.items, ...older]
    return p
  }, topics)
  async function more() {
    const asked = at
    busy = true
    failure = undefined
    try {
      const p = await api.get<P>(`${asked}&${cursor}=${encodeURIComponent(next ?? '')}`)
      if (asked !== at) return
      older = [...older, ...p.items]
      next = p.next
      all = [...all, ...p.items]
    } catch (err) { failure = asFailure(err) } finally { busy = false }
  }
  return {
    first, more,
    get items(): T[] { return [...(first.data?.items ?? []), ...older] },
    get next() { return next },
    get busy() { return busy },
    get failure() { return failure },
  }
}
