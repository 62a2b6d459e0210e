import { autocompletion, closeBrackets, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { sql, SQLite } from '@codemirror/lang-sql'
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { Compartment } from '@codemirror/state'
import { drawSelection, EditorView, keymap, lineNumbers, tooltips } from '@codemirror/view'
import { tags } from '@lezer/highlight'

// Handle is one open editor.
export interface Handle {
  set(text: string): void
  put(text: string): void // at the cursor, in place of what is selected
  tables(schema: Record<string, string[]>): void
  label(text: string): void
  close(): void
}

const look = EditorView.theme({
  '&': { fontSize: '14px', backgroundColor: 'var(--surface)', color: 'var(--text)' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.5', maxHeight: '420px' },
  '.cm-content, .cm-gutter': { minHeight: '180px' },
  '.cm-gutters': { backgroundColor: 'var(--sunk)', color: 'var(--muted)', border: '0' },
  '.cm-content': { caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-2px' },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--text)', border: '1px solid var(--line-strong)', borderRadius: '6px', overflow: 'hidden' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '13px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--on-accent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--accent-soft)' },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--accent-soft)' },
})

const words = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--accent-text)', fontWeight: '600' },
  { tag: tags.string, color: 'var(--good)' },
  { tag: tags.number, color: 'var(--attention)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
])

export function open(parent: HTMLElement, text: string, changed: (text: string) => void): Handle {
  const language = new Compartment()
  const name = new Compartment()
  const named = (label: string) => EditorView.contentAttributes.of({ 'aria-label': label })
  const speaks = (schema: Record<string, string[]>) => sql({ dialect: SQLite, schema, upperCaseKeywords: true })
  const view = new EditorView({
    parent,
    doc: text,
    extensions: [
      EditorView.cspNonce.of(document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? ''),
      lineNumbers(), drawSelection(), history(), closeBrackets(), bracketMatching(), autocompletion(), tooltips({ parent: document.body }),
      language.of(speaks({})), name.of(named('SQL')), syntaxHighlighting(words), look, EditorView.lineWrapping,
      keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
      EditorView.updateListener.of((u) => { if (u.docChanged) changed(u.state.doc.toString()) }),
    ],
  })
  return {
    set(t) { if (view.state.doc.toString() !== t) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: t } }) },
    put(t) { view.dispatch(view.state.replaceSelection(t)); view.focus() },
    tables(schema) { view.dispatch({ effects: language.reconfigure(speaks(schema)) }) },
    label(t) { view.dispatch({ effects: name.reconfigure(named(t)) }) },
    close() { view.destroy() },
  }
}
