import { Failure } from './api'
import { watch } from './live'

// Resource is one answer of the API on a page: its data, the failure that
// replaced it, and `slow` after a second (under one second nothing is shown).
export class Resource<T> {
  data = $state.raw<T | undefined>()
  failure = $state.raw<Failure | undefined>()
  busy = $state(false)
  slow = $state(false)
  #turn = 0
  #get: () => Promise<T>

  constructor(get: () => Promise<T>) { this.#get = get }

  async load() {
    const turn = ++this.#turn
    this.busy = true
    const timer = setTimeout(() => { if (turn === this.#turn) this.slow = true }, 1000)
    try {
      const data = await this.#get()
      if (turn !== this.#turn) return
      this.data = data
      this.failure = undefined
    } catch (err) {
      if (turn !== this.#turn) return
      this.failure = asFailure(err)
    } finally {
      clearTimeout(timer)
      if (turn === this.#turn) { this.busy = false; this.slow = false }
    }
  }
}

// resource loads now and whenever what `get` reads changes, and again (at most
// four times a second) when one of the topics reports something.
export function resource<T>(get: () => Promise<T>, topics: () => string[] = () => []): Resource<T> {
  const r = new Resource(get)
  $effect(() => { void r.load() })
  $effect(() => {
    let timer = 0
    const again = () => { if (!timer) timer = window.setTimeout(() => { timer = 0; void r.load() }, 250) }
    const stops = topics().map((t) => watch(t, (e) => { if (e.type !== 'log' && e.type !== 'job.log') again() }))
    return () => { clearTimeout(timer); stops.forEach((s) => s()) }
  })
  return r
}

export function asFailure(err: unknown): Failure {
  if (err instanceof Failure) return err
  return new Failure({ status: 0, title: 'This page broke', detail: String(err), next: 'Load the page again. If it stays, tell the operator what you did.' })
}
