package identity

import (
	"testing"

	"tresor/app/access"
)

// TestDemoSessionsEndWithTheDemo: a data folder that was a demo is served as a
// real one; whoever came in without a password or a second factor is out.
func TestDemoSessionsEndWithTheDemo(t *testing.T) {
	b := newBench(t, noTOTP, func(d *Deps) { d.Demo = true })
	_, _, kept := b.enrolled("ada")
	p := b.person("bob")
	l, err := b.IssueLink(t.Context(), access.System, p.ID, KindDemo)
	must(t, err)
	token, _, err := b.OpenLink(t.Context(), l.Token, Client{})
	must(t, err)
	b.alive(token)
	b.Demo = false
	b.gone(token)
	b.alive(kept)
}
