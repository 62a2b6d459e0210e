import type { Problem } from './types'

// Failure is every refusal and breakage that a page shows: what happened, what
// to do next, and the id an operator needs to find the cause.
export class Failure extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title || 'The server gave no reason.')
  }
  get status() { return this.problem.status }
}

// The shell sets these: what to do when the session is over, and how to ask for
// a fresh proof of presence before a protected action is tried again.
export const hooks: { signedOut: () => void; stepUp: () => Promise<boolean> } = {
  signedOut: () => {},
  stepUp: async () => false,
}

const unreachable: Problem = {
  status: 0,
  title: 'The server does not answer',
  detail: 'The server does not answer. Nothing you have sent is lost on the server; what is on this page has not been saved yet.',
  next: 'Check the network, wait a moment and try again.',
}

async function problemOf(res: Response): Promise<Problem> {
  try {
    const p = (await res.json()) as Problem
    return { ...p, status: res.status }
  } catch {
    return { status: res.status, title: `The server answered ${res.status}`, detail: `The server answered ${res.status} without a reason.`, next: 'Try again. If it stays, tell the operator.' }
  }
}

async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method, signal, credentials: 'same-origin', headers: { Accept: 'application/json' } }
  if (body instanceof FormData || body instanceof Blob) init.body = body
  else if (body !== undefined) {
    init.body = JSON.stringify(body)
    init.headers = { ...init.headers, 'Content-Type': 'application/json' }
  }
  try {
    return await fetch('/api/v1' + path, init)
  } catch (err) {
    if (signal?.aborted) throw err
    throw new Failure(unreachable)
  }
}

function wantsStepUp(p: Problem) {
  return (p.status === 401 || p.status === 403) && /step.?up|fresh|presence/i.test(p.code ?? '')
}

// answered sends, once more after a fresh proof of presence where that is asked for.
async function answered(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  let res = await send(method, path, body, signal)
  if (res.ok) return res
  const p = await problemOf(res)
  if (!wantsStepUp(p) || !(await hooks.stepUp())) {
    if (p.status === 401 && !path.startsWith('/session') && !wantsStepUp(p)) hooks.signedOut()
    throw new Failure(p)
  }
  res = await send(method, path, body, signal)
  if (!res.ok) throw new Failure(await problemOf(res))
  return res
}

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const res = await answered(method, path, body, signal)
  let text = ''
  try { text = await res.text() } catch (err) {
    if (signal?.aborted) throw err
    throw new Failure(unreachable)
  }
  try { return (text ? JSON.parse(text) : undefined) as T } catch {
    throw new Failure({ status: res.status, title: 'The answer cannot be read', detail: 'What came back is not an answer of this server.', next: 'Something between this browser and the server changed it, such as a proxy. Tell the operator.' })
  }
}

export const api = {
  get: <T>(path: string, signal?: AbortSignal) => call<T>('GET', path, undefined, signal),
  post: <T = unknown>(path: string, body?: unknown) => call<T>('POST', path, body ?? {}),
  put: <T = unknown>(path: string, body?: unknown) => call<T>('PUT', path, body ?? {}),
  patch: <T = unknown>(path: string, body?: unknown) => call<T>('PATCH', path, body ?? {}),
  del: <T = unknown>(path: string) => call<T>('DELETE', path),
  raw: (path: string) => answered('GET', path),
}

// download fetches a protected file first, so that a refusal is shown on the
// page instead of being saved under the file's name.
export async function download(path: string, name: string): Promise<void> {
  const res = await answered('GET', path)
  const url = URL.createObjectURL(await res.blob())
  const a = document.createElement('a')
  a.href = url
  a.download = name
  a.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

export type Sent = (done: number, total: number) => void

// upload sends a body with progress, which fetch cannot report.
export function upload<T>(path: string, body: FormData | Blob, sent: Sent): Promise<T> {
  const once = () => new Promise<T>((ok, no) => {
    const x = new XMLHttpRequest()
    x.open('POST', '/api/v1' + path)
    x.responseType = 'text'
    x.upload.onprogress = (e) => sent(e.loaded, e.total)
    x.onerror = () => no(new Failure(unreachable))
    x.onload = () => {
      let data: unknown
      try { data = x.responseText ? JSON.parse(x.responseText) : undefined } catch { data = undefined }
      if (x.status < 300) ok(data as T)
      else no(new Failure({ title: `The server answered ${x.status}`, ...(data as object), status: x.status }))
    }
    x.send(body)
  })
  return once().catch(async (err) => {
    if (err instanceof Failure && wantsStepUp(err.problem) && (await hooks.stepUp())) return once()
    throw err
  })
}
