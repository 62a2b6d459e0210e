export type Theme = 'system' | 'light' | 'dark'

function stored(): Theme {
  try {
    const t = localStorage.getItem('theme')
    return t === 'light' || t === 'dark' ? t : 'system'
  } catch { return 'system' }
}

export const theme = $state<{ now: Theme }>({ now: stored() })

export function setTheme(t: Theme) {
  theme.now = t
  try { localStorage.setItem('theme', t) } catch { /* private mode: the choice lasts for this page */ }
  if (t === 'system') document.documentElement.removeAttribute('data-theme')
  else document.documentElement.setAttribute('data-theme', t)
}
