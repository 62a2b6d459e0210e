// Writes dist/.srchash: one SHA-256 over everything that the build reads. The Go
// test recomputes it, so a stale dist fails without Node. Keep in step with
// sourceHash in stamp_test.go.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const files = ['index.html', 'package.json', 'package-lock.json', 'svelte.config.js', 'tsconfig.json', 'vite.config.ts']
for (const dir of ['public', 'src']) {
  for (const e of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (e.isFile()) files.push(`${e.parentPath}/${e.name}`)
  }
}
const sum = createHash('sha256')
for (const f of files.sort()) {
  sum.update(`${f} ${createHash('sha256').update(readFileSync(f)).digest('hex')}\n`)
}
writeFileSync('dist/.srchash', sum.digest('hex') + '\n')
