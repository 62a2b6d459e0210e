package wire

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func want(t *testing.T, err error, code Code) {
	t.Helper()
	if code == "" && err != nil || code != "" && !errors.Is(err, For(code)) {
		t.Errorf("got %v, want code %q", err, code)
	}
}

var at = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

func TestHandshakeRefusals(t *testing.T) {
	hub, node, other := newKey(t), newKey(t), newKey(t)
	ch := NewChallenge(KeyOf(hub), Nonce{1}, at)
	cases := []struct {
		name   string
		change func(h *Hello)
		sign   bool // sign again after the change
		code   Code
	}{
		{"ok", func(h *Hello) {}, false, ""},
		{"clock five minutes off", func(h *Hello) { h.Time += MaxSkew.Milliseconds() }, true, ""},
		{"clock over five minutes ahead", func(h *Hello) { h.Time += MaxSkew.Milliseconds() + 1 }, true, CodeTime},
		{"clock over five minutes behind", func(h *Hello) { h.Time -= MaxSkew.Milliseconds() + 1 }, true, CodeTime},
		{"smallest time", func(h *Hello) { h.Time = math.MinInt64 }, true, CodeTime},
		{"largest time", func(h *Hello) { h.Time = math.MaxInt64 }, true, CodeTime},
		{"wrong host", func(h *Hello) { h.Host = "evil.example" }, true, CodeHost},
		{"another hub's key", func(h *Hello) { h.Hub = KeyOf(other).ID() }, true, CodeSignature},
		{"replayed nonce", func(h *Hello) { h.HubNonce = Nonce{2} }, true, CodeNonce},
		{"future version", func(h *Hello) { h.Version = Version + 1 }, true, CodeVersion},
		{"another node's key", func(h *Hello) { h.Node = KeyOf(other) }, false, CodeSignature},
		{"time changed after signing", func(h *Hello) { h.Time++ }, false, CodeSignature},
		{"node nonce changed after signing", func(h *Hello) { h.Nonce[0]++ }, false, CodeSignature},
		{"succession added after signing", func(h *Hello) { h.Next = NewSuccession(other, hub, at.Add(time.Hour)) }, false, CodeSignature},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHello(ch, "hub.example", node, Nonce{9}, at, nil)
			tc.change(&h)
			if tc.sign {
				h.Sig = sign(node, h.canon())
			}
			back, err := DecodeHello(h.Encode())
			if err != nil {
				t.Fatal(err)
			}
			want(t, back.Check(ch, []string{"hub.example"}, at), tc.code)
		})
	}
}

func TestWelcomeRefusals(t *testing.T) {
	hub, node, other := newKey(t), newKey(t), newKey(t)
	ch := NewChallenge(KeyOf(hub), Nonce{1}, at)
	hello := NewHello(ch, "hub.example", node, Nonce{9}, at, nil)
	cases := []struct {
		name   string
		change func(w *Welcome)
		key    ed25519.PrivateKey // signs again; nil: nobody
		code   Code
	}{
		{"ok", func(w *Welcome) {}, nil, ""},
		{"another hub", func(w *Welcome) { w.Hub = KeyOf(other) }, other, CodeSignature},
		{"another hub under the right name", func(w *Welcome) {}, other, CodeSignature},
		{"another host", func(w *Welcome) { w.Host = "x" }, hub, CodeHost},
		{"answer to another connection", func(w *Welcome) { w.Nonce = Nonce{8} }, hub, CodeNonce},
		{"answer to another node", func(w *Welcome) { w.Node = KeyOf(other).ID() }, hub, CodeNonce},
		{"clock off", func(w *Welcome) { w.Time += 400_000 }, hub, CodeTime},
		{"changed after signing", func(w *Welcome) { w.Time++ }, nil, CodeSignature},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			w := NewWelcome(hello, hub, at, nil)
			tc.change(&w)
			if tc.key != nil {
				w.Sig = sign(tc.key, w.canon())
			}
			back, err := DecodeWelcome(w.Encode())
			if err != nil {
				t.Fatal(err)
			}
			want(t, back.Check(hello, at), tc.code)
		})
	}
	_, err := DecodeWelcome(Refuse(CodeRevoked, "no").Encode())
	want(t, err, CodeRevoked)
}

func TestEnrolRefusals(t *testing.T) {
	hub, node, other := newKey(t), newKey(t), newKey(t)
	code := Secret{1, 2, 3}
	ch := NewChallenge(KeyOf(hub), Nonce{1}, at)
	e := NewEnrol(ch, "hub.example", "Nörth", code, node, Nonce{9}, at)
	back, err := DecodeEnrol(e.Encode())
	want(t, err, "")
	want(t, back.Check(ch, []string{"hub.example"}, at), "")
	want(t, back.Proves(code), "")
	want(t, back.Proves(Secret{1, 2, 4}), CodeNoCode)
	stolen := e
	stolen.Node = KeyOf(other)
	stolen.Sig = sign(other, stolen.canon())
	want(t, stolen.Check(ch, []string{"hub.example"}, at), "")
	want(t, stolen.Proves(code), CodeNoCode) // a proof is for one key
	a := NewEnrolled(e, "Hub", code, hub, at)
	want(t, a.Check(e, code, at), "")
	want(t, NewEnrolled(e, "Hub", Secret{7}, hub, at).Check(e, code, at), CodeNoCode)
	want(t, NewEnrolled(e, "Hub", code, other, at).Check(e, code, at), CodeNonce)
	want(t, a.Check(e, code, at.Add(time.Hour)), CodeTime)
	for _, name := range []string{"", " x", strings.Repeat("n", 1<<20), "a\nb", "a\u202eb", "a\xffb"} {
		bad := NewEnrol(ch, "hub.example", name, code, node, Nonce{9}, at)
		if _, err := DecodeEnrol(bad.Encode()); err == nil {
			t.Errorf("name %.20q was taken", name)
		}
	}
}

func TestSuccessionRefusals(t *testing.T) {
	old, next, other := newKey(t), newKey(t), newKey(t)
	good := NewSuccession(old, next, at.Add(24*time.Hour))
	want(t, good.Check(KeyOf(old), at), "")
	want(t, good.Check(KeyOf(other), at), CodeSignature)
	want(t, good.Check(KeyOf(old), at.Add(48*time.Hour)), CodeKeyExpired)
	want(t, NewSuccession(old, next, at.Add(91*24*time.Hour)).Check(KeyOf(old), at), CodeTime)
	want(t, NewSuccession(old, old, at.Add(time.Hour)).Check(KeyOf(old), at), CodeSignature)
	for name, change := range map[string]func(*Succession){
		"old did not sign": func(s *Succession) { s.SigOld = Sig{} }, "new did not sign": func(s *Succession) { s.SigNew = Sig{} },
		"other key put in": func(s *Succession) { s.New = KeyOf(other) }, "longer": func(s *Succession) { s.Until++ },
	} {
		s := *good
		change(&s)
		if err := s.Check(KeyOf(old), at); !errors.Is(err, For(CodeSignature)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func envelope(t testing.TB) (*Envelope, ed25519.PrivateKey) {
	hub := newKey(t)
	e := &Envelope{Node: KeyOf(newKey(t)).ID(), Seq: 1, ID: "a", Kind: "k", Made: at.UnixMilli(), Expires: at.Add(time.Hour).UnixMilli(), Body: []byte("<&>")}
	e.Sign(hub)
	return e, hub
}

func TestEnvelopeForm(t *testing.T) {
	cases := []struct {
		name   string
		change func(e *Envelope)
		code   Code
	}{
		{"ok", func(e *Envelope) {}, ""},
		{"empty body", func(e *Envelope) { e.Body = nil }, ""},
		{"full body", func(e *Envelope) { e.Body = make([]byte, MaxBody) }, ""},
		{"body over the limit", func(e *Envelope) { e.Body = make([]byte, MaxBody+1) }, CodeSize},
		{"no id", func(e *Envelope) { e.ID = "" }, CodeMalformed},
		{"id of 1 MB", func(e *Envelope) { e.ID = strings.Repeat("a", 1<<20) }, CodeMalformed},
		{"id with a path", func(e *Envelope) { e.ID = "../x" }, CodeMalformed},
		{"kind with a newline", func(e *Envelope) { e.Kind = "a\nb" }, CodeMalformed},
		{"no sequence", func(e *Envelope) { e.Seq = 0 }, CodeMalformed},
		{"sequence that JSON rounds", func(e *Envelope) { e.Seq = 1 << 60 }, CodeMalformed},
		{"expires before it was made", func(e *Envelope) { e.Expires = e.Made }, CodeMalformed},
		{"lives too long", func(e *Envelope) { e.Expires = e.Made + MaxLife.Milliseconds() + 1 }, CodeMalformed},
		{"no node", func(e *Envelope) { e.Node = "" }, CodeMalformed},
		{"node id with a path", func(e *Envelope) { e.Node = "../../../../../../../../../../etc" }, CodeMalformed},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			e, hub := envelope(t)
			tc.change(e)
			e.Sign(hub)
			data, err := e.Encode()
			want(t, err, tc.code)
			if err != nil {
				return
			}
			back, err := DecodeEnvelope(data)
			want(t, err, "")
			want(t, back.Verify(KeyOf(hub)), "")
			if back.Digest() != e.Digest() {
				t.Error("another digest after the way")
			}
		})
	}
}

func TestOneEncoding(t *testing.T) {
	e, _ := envelope(t)
	data, err := e.Encode()
	want(t, err, "")
	s := string(data)
	for name, bad := range map[string]string{
		"space":            strings.Replace(s, ":", ": ", 1),
		"trailing bytes":   s + "{}",
		"trailing newline": s + "\n",
		"unknown field":    strings.Replace(s, "{", `{"x":1,`, 1),
		"repeated field":   strings.Replace(s, `"seq":1`, `"seq":2,"seq":1`, 1),
		"other case":       strings.Replace(s, `"seq"`, `"SEQ"`, 1),
		"escaped letter":   strings.Replace(s, `"id":"a"`, `"id":"\u0061"`, 1),
		"number as 1.0":    strings.Replace(s, `"seq":1`, `"seq":1.0`, 1),
		"null body":        strings.Replace(s, `"body":"`+"PCY+", `"body":null,"y":"`, 1),
		"missing field":    strings.Replace(s, `"kind":"k",`, "", 1),
		"cut":              s[:len(s)-1],
		"array":            "[" + s + "]",
		"null":             "null",
		"deep":             strings.Repeat("[", 10000),
	} {
		if _, err := DecodeEnvelope([]byte(bad)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestFieldsCannotMoveIntoEachOther(t *testing.T) {
	if bytes.Equal(canon("x", "ab", "c"), canon("x", "a", "bc")) || bytes.Equal(canon("x", "a"), canon("xa")) {
		t.Error("two lists of fields have the same canonical bytes")
	}
}

func FuzzMessages(f *testing.F) {
	e, hub := envelope(f)
	data, _ := e.Encode()
	ch := NewChallenge(KeyOf(hub), Nonce{}, at)
	hello := NewHello(ch, "h", hub, Nonce{}, at, NewSuccession(hub, newKey(f), at))
	bye := NewFarewell(ch, "h", hub, Nonce{}, at)
	en := NewEnrol(ch, "h", "n", Secret{}, hub, Nonce{}, at)
	big, _ := largeEnvelope(f)
	bigData, _ := big.Encode()
	for _, seed := range [][]byte{data, bigData, ch.Encode(), hello.Encode(), bye.Encode(), NewWelcome(hello, hub, at, nil).Encode(), en.Encode(),
		NewEnrolled(en, "n", Secret{}, hub, at).Encode(), Refuse(CodeBusy, "x").Encode()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := DecodeEnvelope(b); err == nil {
			again, err := e.Encode()
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("not one encoding: %v", err)
			}
			if e.Large() && e.Attach(b) == nil {
				t.Error("other bytes were taken for the body")
			}
		}
		if h, err := DecodeHello(b); err == nil {
			_ = h.Check(ch, []string{"h"}, at)
			if h.Leaves() && h.Next != nil {
				t.Error("a farewell named a successor")
			}
			if h.Next != nil {
				_ = h.Next.Check(h.Node, at)
			}
		}
		if en, err := DecodeEnrol(b); err == nil && (en.Name == "" || len(en.Name) > MaxName) {
			t.Error("a bad name was taken")
		}
		if r, err := DecodeRefusal(b); err == nil && len(r.Text) > 600 {
			t.Error("a long text was taken")
		}
		_, _ = DecodeChallenge(b)
		_, _ = DecodeWelcome(b)
		_, _ = DecodeEnrolled(b)
		_, _ = DecodeReceipt(b, e)
	})
}
