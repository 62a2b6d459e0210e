package trust_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"tresor/fed/fedtest"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

type side struct {
	*trust.Book
	store *fedtest.Store
	clock *fedtest.Clock
	key   ed25519.PrivateKey
}

func newSide(t *testing.T) *side {
	s := &side{store: fedtest.NewStore(), clock: &fedtest.Clock{}, key: fedtest.NewKey(t)}
	s.reopen(t)
	return s
}

func (s *side) reopen(t *testing.T) {
	t.Helper()
	b, err := trust.Open(context.Background(), s.store, s.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	s.Book = b
}

func want(t *testing.T, err error, code wire.Code) {
	t.Helper()
	if code == "" && err != nil || code != "" && !errors.Is(err, wire.For(code)) {
		t.Errorf("got %v, want code %q", err, code)
	}
}

var ctx = context.Background()

// request makes what a node with key sends for the code.
func request(hub *side, key ed25519.PrivateKey, c trust.Code) wire.Enrol {
	ch := wire.NewChallenge(wire.KeyOf(hub.key), wire.Nonce{1}, time.Now())
	return wire.NewEnrol(ch, "h", "North", c.Secret, key, wire.Nonce{2}, time.Now())
}

func TestCodesOnEitherSide(t *testing.T) {
	for _, madeAtHub := range []bool{true, false} {
		hub, node := newSide(t), newSide(t)
		maker, typer := hub, node
		if !madeAtHub {
			maker, typer = node, hub
		}
		made, err := maker.NewCode(ctx, "wss://hub", "")
		want(t, err, "")
		typed, err := typer.TypeCode(ctx, " "+strings.ToLower(made.Text())+"\n", "wss://hub", "")
		want(t, err, "")
		if typed.Secret != made.Secret || typed.ID != made.ID {
			t.Fatal("another code was read")
		}
		e := request(hub, node.key, typed)
		p, c, err := hub.Admit(ctx, e)
		want(t, err, "")
		h, err := node.Join(ctx, typed, wire.NewEnrolled(e, "Hub", c.Secret, hub.key, time.Now()))
		want(t, err, "")
		if trust.PairWords(p.Current(), wire.KeyOf(hub.key)) != trust.PairWords(h.Current(), wire.KeyOf(node.key)) {
			t.Error("the two ends show different words")
		}
	}
}

func TestRefusalsOfCodes(t *testing.T) {
	hub := newSide(t)
	node, other := fedtest.NewKey(t), fedtest.NewKey(t)
	c, _ := hub.NewCode(ctx, "", "Named here")
	_, _, err := hub.Admit(ctx, request(hub, node, trust.Code{Secret: wire.Secret{9}}))
	want(t, err, wire.CodeNoCode)
	p, _, err := hub.Admit(ctx, request(hub, node, c))
	want(t, err, "")
	if p.Name != "Named here" {
		t.Errorf("name %q", p.Name)
	}
	_, _, err = hub.Admit(ctx, request(hub, node, c))
	want(t, err, "") // the answer was lost; the same key asks again
	_, _, err = hub.Admit(ctx, request(hub, other, c))
	want(t, err, wire.CodeCodeUsed)
	hub.reopen(t)
	_, _, err = hub.Admit(ctx, request(hub, other, c))
	want(t, err, wire.CodeCodeUsed)
	_, err = hub.TypeCode(ctx, c.Text(), "", "")
	want(t, err, wire.CodeCodeUsed)
	late, _ := hub.NewCode(ctx, "", "")
	hub.clock.Skew(trust.CodeLife + time.Minute)
	_, _, err = hub.Admit(ctx, request(hub, other, late))
	want(t, err, wire.CodeCodeExpired)
	hub.clock.Skew(0)
	same, _, err := hub.Admit(ctx, request(hub, node, late)) // it lost what it had pinned
	want(t, err, "")
	if same.ID != p.ID || same.Name != p.Name || len(hub.Peers()) != 1 {
		t.Errorf("enrolled again as %+v", same)
	}
	want(t, hub.Revoke(ctx, p.ID, "left"), "")
	more, _ := hub.NewCode(ctx, "", "")
	_, _, err = hub.Admit(ctx, request(hub, node, more))
	want(t, err, wire.CodeRevoked)
	for _, bad := range []string{"", "ABCD", "UUUU-UUUU-UUUU-UUUU", c.Text() + "A", strings.Repeat("A", 1<<20)} {
		_, err := trust.ParseCode(bad)
		want(t, err, wire.CodeMalformed)
	}
}

func TestACodeIsUsedAtANodeWhicheverEndMadeIt(t *testing.T) {
	hub, node := newSide(t), newSide(t)
	theirs, _ := hub.NewCode(ctx, "", "")
	c, err := node.UseCode(ctx, theirs.Text(), "wss://a/", "Hub A")
	want(t, err, "")
	if c.Secret != theirs.Secret || c.URL != "wss://a/" {
		t.Errorf("code %+v", c)
	}
	c, err = node.UseCode(ctx, theirs.Text(), "wss://b/", "Hub B") // the address was mistyped at first
	want(t, err, "")
	node.reopen(t)
	if all, _ := node.store.Codes(ctx); len(all) != 1 || all[0].URL != "wss://b/" || all[0].Name != "Hub B" || c.URL != "wss://b/" {
		t.Errorf("codes %+v", all)
	}
	own, _ := node.NewCode(ctx, "", "")
	c, err = node.UseCode(ctx, own.Text(), "wss://c/", "")
	want(t, err, "")
	if c.Secret != own.Secret || c.URL != "wss://c/" {
		t.Errorf("own code %+v", c)
	}
	_, err = node.UseCode(ctx, "ABCD", "wss://c/", "")
	want(t, err, wire.CodeMalformed)
	_, err = node.UseCode(ctx, own.Text(), "wss://c/", "a\nb")
	want(t, err, wire.CodeMalformed)
	node.store.Fail(fedtest.Fails)
	if _, err = node.UseCode(ctx, own.Text(), "wss://d/", ""); !errors.Is(err, fedtest.ErrStore) {
		t.Errorf("a code that was not kept: %v", err)
	}
	node.clock.Skew(trust.CodeLife + time.Minute)
	_, err = node.UseCode(ctx, own.Text(), "wss://c/", "")
	want(t, err, wire.CodeCodeExpired)
	node.clock.Skew(0)
	own.Used = time.Now()
	node.store.PutCode(ctx, own)
	_, err = node.UseCode(ctx, own.Text(), "wss://c/", "")
	want(t, err, wire.CodeCodeUsed)
}

func TestRotationWithOverlap(t *testing.T) {
	hub := newSide(t)
	first, second, third := fedtest.NewKey(t), fedtest.NewKey(t), fedtest.NewKey(t)
	c, _ := hub.NewCode(ctx, "", "")
	p, _, err := hub.Admit(ctx, request(hub, first, c))
	want(t, err, "")
	id := func(k ed25519.PrivateKey) wire.KeyID { return wire.KeyOf(k).ID() }
	good := func(k ed25519.PrivateKey, code wire.Code) {
		t.Helper()
		got, _, err := hub.ByKey(id(k))
		want(t, err, code)
		if err == nil && got.ID != p.ID {
			t.Error("the peer has another ID")
		}
	}
	s := wire.NewSuccession(first, second, time.Now().Add(time.Hour))
	want(t, hub.Succeed(ctx, id(first), s), "")
	want(t, hub.Succeed(ctx, id(first), s), "")
	good(first, "")
	good(second, "")
	want(t, hub.Succeed(ctx, id(second), wire.NewSuccession(third, second, time.Now().Add(time.Hour))), "") // already there
	want(t, hub.Succeed(ctx, id(first), wire.NewSuccession(second, third, time.Now().Add(time.Hour))), wire.CodeSignature)
	hub.clock.Skew(2 * time.Hour)
	good(first, wire.CodeKeyExpired)
	good(second, "")
	hub.reopen(t)
	good(first, wire.CodeKeyExpired)
	hub.clock.Skew(0)
	want(t, hub.RevokeKey(ctx, p.ID, id(first)), "")
	good(first, wire.CodeRevoked)
	good(second, "")
	want(t, hub.RevokeKey(ctx, p.ID, id(third)), wire.CodeUnknown)
	want(t, hub.Revoke(ctx, p.ID, "gone"), "")
	hub.reopen(t)
	good(second, wire.CodeRevoked)
	good(third, wire.CodeUnknown)
}

// TestWhoNamesASuccessor: only the newest key does. One that was replaced proves who
// the peer is until its overlap ends, and no more.
func TestWhoNamesASuccessor(t *testing.T) {
	var k [4]ed25519.PrivateKey // replaced twice; replaced; the newest; one that nobody pinned
	for i := range k {
		k[i] = fedtest.NewKey(t)
	}
	hour := time.Now().Add(time.Hour)
	id := func(i int) wire.KeyID { return wire.KeyOf(k[i]).ID() }
	for name, tc := range map[string]struct {
		by, next int
		later    time.Duration
		good     wire.Code // what the key is told that only says who it is
		succeeds wire.Code
		pinned   bool // the key of the statement, afterwards
	}{
		"the newest key":                             {by: 2, next: 3, pinned: true},
		"a key in its overlap":                       {by: 1, next: 3, succeeds: wire.CodeConflict},
		"the key before that, in its overlap":        {by: 0, next: 3, succeeds: wire.CodeConflict},
		"the statement of before again":              {by: 1, next: 2, pinned: true},
		"a key in its overlap, back to the first":    {by: 1, next: 0, succeeds: wire.CodeConflict, pinned: true},
		"the newest key, back to an old one":         {by: 2, next: 0, succeeds: wire.CodeConflict, pinned: true},
		"a replaced key after its overlap":           {by: 1, next: 3, later: 2 * time.Hour, good: wire.CodeKeyExpired, succeeds: wire.CodeKeyExpired},
		"the first key after its overlap":            {by: 0, next: 3, later: 2 * time.Hour, good: wire.CodeKeyExpired, succeeds: wire.CodeKeyExpired},
		"the newest key after the overlap of others": {by: 2, next: 3, later: 2 * time.Hour, pinned: true},
		"a key that nobody pinned":                   {by: 3, next: 2, good: wire.CodeUnknown, succeeds: wire.CodeUnknown, pinned: true},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newSide(t)
			c, _ := hub.NewCode(ctx, "", "")
			p, _, err := hub.Admit(ctx, request(hub, k[0], c))
			want(t, err, "")
			want(t, hub.Succeed(ctx, id(0), wire.NewSuccession(k[0], k[1], hour)), "")
			want(t, hub.Succeed(ctx, id(1), wire.NewSuccession(k[1], k[2], hour)), "")
			hub.clock.Skew(tc.later)
			_, _, err = hub.ByKey(id(tc.by))
			want(t, err, tc.good)
			end := hour.Add(tc.later)
			err = hub.Succeed(ctx, id(tc.by), wire.NewSuccession(k[tc.by], k[tc.next], end))
			want(t, err, tc.succeeds)
			if tc.succeeds == wire.CodeConflict && !strings.Contains(err.Error(), ": ") {
				t.Errorf("no next step: %v", err)
			}
			hub.reopen(t)
			newest := k[2]
			if tc.by == 2 && tc.succeeds == "" {
				newest = k[3]
			}
			now, _ := hub.Peer(p.ID)
			if now.Current() != wire.KeyOf(newest) || now.Has(id(tc.next)) != tc.pinned {
				t.Errorf("the newest key is %s; the named one is pinned: %v", now.Current().ID(), now.Has(id(tc.next)))
			}
		})
	}
}

func TestFaultsOfTheStore(t *testing.T) {
	for name, tc := range map[string]struct {
		fault  fedtest.Fault
		pinned bool // after the hub was started again
	}{"fails": {fedtest.Fails, false}, "fails after it persisted": {fedtest.FailsAfter, true}} {
		t.Run(name, func(t *testing.T) {
			hub, node := newSide(t), fedtest.NewKey(t)
			c, _ := hub.NewCode(ctx, "", "")
			hub.store.Fail(tc.fault)
			if _, _, err := hub.Admit(ctx, request(hub, node, c)); !errors.Is(err, fedtest.ErrStore) {
				t.Errorf("enrol: %v", err)
			}
			_, _, err := hub.ByKey(wire.KeyOf(node).ID())
			want(t, err, wire.CodeUnknown)
			hub.reopen(t)
			if _, _, err := hub.ByKey(wire.KeyOf(node).ID()); (err == nil) != tc.pinned {
				t.Errorf("after a restart: %v", err)
			}
			p, _, err := hub.Admit(ctx, request(hub, node, c))
			want(t, err, "")
			hub.store.Fail(tc.fault)
			if err := hub.Revoke(ctx, p.ID, "x"); err == nil {
				t.Error("a revocation that was not kept said yes")
			}
			_, _, err = hub.ByKey(p.ID)
			want(t, err, wire.CodeRevoked) // believed at once all the same
		})
	}
}

func TestWords(t *testing.T) {
	var k wire.Key
	got := trust.Words(k)
	if w := strings.Fields(got); len(w) != 10 || got != trust.Words(k) {
		t.Errorf("words %q", got)
	}
	if got == trust.Words(wire.Key{1}) || trust.PairWords(k, wire.Key{1}) != trust.PairWords(wire.Key{1}, k) {
		t.Error("words do not follow the keys")
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("7K3M-0000-ABCD-EFGH")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := trust.ParseCode(s)
		if err != nil {
			return
		}
		again, err := trust.ParseCode(trust.Code{Secret: c}.Text())
		if err != nil || again != c {
			t.Errorf("%q reads as another code when it is shown", s)
		}
	})
}
