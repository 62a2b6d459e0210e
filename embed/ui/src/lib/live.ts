export interface LiveEvent { type: string; at: string; data?: unknown }

// watch follows one topic over the web socket and reconnects with growing
// pauses. Every connection, the first one too, reports an event of type "resumed",
// because something may have happened while nobody listened: also between the
// page's first look and now.
export function watch(topic: string, on: (e: LiveEvent) => void): () => void {
  let socket: WebSocket | null = null
  let timer = 0
  let tries = 0
  let over = false
  const open = () => {
    socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/live?topic=${encodeURIComponent(topic)}`)
    socket.onopen = () => {
      tries = 0
      on({ type: 'resumed', at: new Date().toISOString() })
    }
    socket.onmessage = (m) => {
      try { on(JSON.parse(m.data as string) as LiveEvent) } catch { on({ type: 'changed', at: new Date().toISOString() }) }
    }
    socket.onclose = () => {
      if (over) return
      tries++
      timer = window.setTimeout(open, Math.min(30_000, 500 * 2 ** Math.min(tries, 6)) * (0.75 + Math.random() / 2))
    }
  }
  open()
  return () => { over = true; clearTimeout(timer); socket?.close() }
}
