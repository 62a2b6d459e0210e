package wire

import (
	"testing"
	"time"
)

// TestAFarewellIsNoHello: neither can be made of the other, and a farewell names no
// new key.
func TestAFarewellIsNoHello(t *testing.T) {
	hub, node := newKey(t), newKey(t)
	ch := NewChallenge(KeyOf(hub), Nonce{1}, at)
	for name, tc := range map[string]struct {
		change       func(h *Hello)
		decode, code Code
	}{
		"a farewell":                  {func(*Hello) {}, "", ""},
		"made a hello on the way":     {func(h *Hello) { h.Type = "hello" }, "", CodeSignature},
		"a hello made a farewell":     {func(h *Hello) { *h = NewHello(ch, "h", node, Nonce{2}, at, nil); h.Type = farewell }, "", CodeSignature},
		"another key than it names":   {func(h *Hello) { h.Node = KeyOf(hub) }, "", CodeSignature},
		"for another connection":      {func(h *Hello) { *h = NewFarewell(NewChallenge(KeyOf(hub), Nonce{3}, at), "h", node, Nonce{2}, at) }, "", CodeNonce},
		"for another host":            {func(h *Hello) { *h = NewFarewell(ch, "other", node, Nonce{2}, at) }, "", CodeHost},
		"with a successor":            {func(h *Hello) { h.Next = NewSuccession(node, newKey(t), at.Add(time.Hour)) }, CodeMalformed, ""},
		"of a type that nobody knows": {func(h *Hello) { h.Type = "farewells" }, CodeMalformed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewFarewell(ch, "h", node, Nonce{2}, at)
			tc.change(&h)
			got, err := DecodeHello(h.Encode())
			want(t, err, tc.decode)
			if err != nil {
				return
			}
			err = got.Check(ch, []string{"h"}, at)
			want(t, err, tc.code)
			if err == nil {
				want(t, NewWelcome(got, hub, at, nil).Check(h, at), "")
			}
		})
	}
}
