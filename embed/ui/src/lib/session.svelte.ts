import { api, Failure } from './api'
import type { Session } from './types'

// Who is signed in. `known` is false until the first answer.
export const me = $state<{ session: Session | null; known: boolean; failure: Failure | null }>({ session: null, known: false, failure: null })

export async function refreshSession() {
  try {
    me.session = await api.get<Session>('/session')
    me.failure = null
  } catch (err) {
    me.session = null
    me.failure = err instanceof Failure && err.status !== 401 && err.status !== 403 ? err : null
  }
  me.known = true
}

// signOut ends the session at the server; where that does not answer the person is told,
// because the session is still good there.
export async function signOut() {
  try {
    await api.del('/session')
    me.session = null
  } catch (err) {
    if (err instanceof Failure && err.status === 401) me.session = null
    else me.failure = err instanceof Failure ? err : null
  }
}

export const has = (...roles: string[]) => roles.some((r) => me.session?.person.roles?.includes(r))
export const roleIn = (project?: string) => (project && me.session?.person.projects?.[project]) || ''
export const isMember = () => Object.keys(me.session?.person.projects ?? {}).length > 0
export const isLead = () => Object.values(me.session?.person.projects ?? {}).includes('lead')
export const isMe = (id?: string) => !!id && me.session?.person.id === id
export const isHub = () => me.session?.server.kind === 'hub'
export const can = (action: string) => !!me.session?.person.actions?.includes(action)
