import { mount } from 'svelte'
import './app.css'
import App from './App.svelte'
import { startRouter } from './lib/router.svelte'
import { setTheme, theme } from './lib/theme.svelte'

setTheme(theme.now)
startRouter()
mount(App, { target: document.getElementById('app')! })
