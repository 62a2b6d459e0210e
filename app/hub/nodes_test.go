package hub

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/fedtest"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// TestEnrolWithCodeOfTheNode: the node's operator makes the code, the hub's types it.
func TestEnrolWithCodeOfTheNode(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	code, err := n.Book.NewCode(t.Context(), r.relay.URL(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Enrol(t.Context(), code, "north"); !errors.Is(err, wire.For(wire.CodeNoCode)) {
		t.Errorf("before the code was typed: %v", err)
	}
	typed, err := r.s.TypeCode(t.Context(), r.operator, strings.ToLower(code.Text()), "north")
	if err != nil || typed.Code != "" {
		t.Fatalf("%+v, %v", typed, err)
	}
	n.join(r, code)
	v, err := r.s.Node(t.Context(), r.operator, "north")
	if err != nil || v.State != NodeUnconfirmed {
		t.Fatalf("%+v, %v", v, err)
	}
	hub, ok := n.Book.Peer(n.Hub)
	if !ok || v.Words != trust.PairWords(wire.KeyOf(n.Key), hub.Current()) {
		t.Errorf("the words differ: %s", v.Words)
	}
	if _, err := r.s.TypeCode(t.Context(), r.operator, code.Text(), "again"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("typed twice: %v", err)
	}
}

// TestUnconfirmed: nothing is sent to or read from a node whose words nobody compared.
func TestUnconfirmed(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	code, err := r.s.NewCode(t.Context(), r.operator, "north")
	if err != nil {
		t.Fatal(err)
	}
	typed, err := n.Book.TypeCode(t.Context(), code.Code, r.relay.URL(), "")
	if err != nil {
		t.Fatal(err)
	}
	n.join(r, typed)
	n.connect(r)
	if _, err := r.s.SetNode(t.Context(), r.operator, "aurora", "north", "aurora"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("an unconfirmed node came into a project: %v", err)
	}
	time.Sleep(50 * time.Millisecond)
	n.do(func() {
		if n.asked != 0 {
			t.Errorf("an unconfirmed node was asked %d times", n.asked)
		}
	})
	if _, err := r.s.ConfirmNode(t.Context(), r.operator, "north"); err != nil {
		t.Fatal(err)
	}
	fedtest.Until(t, "the catalogue is here", func() bool {
		all, err := r.s.Catalogue(t.Context(), r.rosa)
		return err == nil && len(all) == 1 && all[0].At != nil && all[0].Catalogue.Datasets[0].Slug == "rand"
	})
	v, err := r.s.Node(t.Context(), r.rosa, "north")
	if err != nil || v.State != NodeOnline || v.LastContact == nil || v.Version != "9.8.7" || len(v.Plugins) != 1 || v.ConfirmedBy != "local" {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestRevoke ends the link and the open parts of a node for good.
func TestRevoke(t *testing.T) {
	r := newRig(t)
	north, east := newFakeNode(t, "north"), newFakeNode(t, "east")
	for _, n := range []*fakeNode{north, east} {
		r.enrol(n)
		n.connect(r)
	}
	id := r.create("")
	east.release("e")
	north.set("RUNNING")
	r.untilPart(id, "north", "runs", func(p Part) bool { return p.State == "RUNNING" })
	for _, reason := range []string{"", "a bell\a", strings.Repeat("x", 2001)} {
		if _, err := r.s.RevokeNode(t.Context(), r.operator, "north", reason); fault.KindOf(err) != fault.Invalid {
			t.Errorf("reason %.20q: %v", reason, err)
		}
	}
	v, err := r.s.RevokeNode(t.Context(), r.operator, "north", "the agreement has ended")
	if err != nil || v.State != NodeRevoked || v.Reason == "" {
		t.Fatalf("%+v, %v", v, err)
	}
	r.until(id, "SYSTEM_ERROR")
	if p := r.part(id, "north"); p.Code != "revoked" {
		t.Errorf("%+v", p)
	}
	if _, err := r.s.RevokeNode(t.Context(), r.operator, v.ID, "once more"); err != nil || r.noted("node.revoked") != 1 {
		t.Errorf("twice: %v, %d events", err, r.noted("node.revoked"))
	}
	fedtest.Until(t, "the link ended", func() bool { return !r.s.online()[v.ID] })
	if _, err := r.client().Create(t.Context(), r.task()); err != nil {
		t.Errorf("the project goes on without it: %v", err)
	}
	r.restart()
	time.Sleep(50 * time.Millisecond)
	if r.s.online()[v.ID] {
		t.Error("a revoked node is back")
	}
	if _, err := r.s.ConfirmNode(t.Context(), r.operator, v.ID); fault.KindOf(err) != fault.Conflict {
		t.Errorf("confirmed after it was revoked: %v", err)
	}
}

// TestRevokedInBetween: the hub dies between a revocation and its consequences.
func TestRevokedInBetween(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	id := r.create("")
	must(t, r.s.book.Revoke(t.Context(), n.ID, "as if the hub had died now"))
	r.restart()
	r.until(id, "SYSTEM_ERROR")
	if p := r.part(id, "north"); p.Code != "revoked" {
		t.Errorf("%+v", p)
	}
}

// TestRotate: nodes learn the new key, then the hub changes to it, and links and
// orders go on.
func TestRotate(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	n.connect(r)
	before, err := r.s.Overview(t.Context(), r.operator)
	if err != nil || before.Nodes != 1 || before.Online != 1 {
		t.Fatalf("%+v, %v", before, err)
	}
	during, err := r.s.Rotate(t.Context(), r.operator)
	if err != nil {
		t.Fatal(err)
	}
	if during.Rotation == nil || during.Key != before.Key {
		t.Fatalf("%+v", during)
	}
	fedtest.Until(t, "the key has changed", func() bool {
		o, err := r.s.Overview(t.Context(), r.operator)
		return err == nil && o.Key == during.Rotation.Next && o.Rotation == nil
	})
	r.restart()
	n.Redial(n.Hub)
	n.online(r)
	id := r.create("")
	n.release("x")
	r.until(id, "COMPLETE")
}

// TestManageRefuses: who may not, and what may not be.
func TestManageRefuses(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	ctx := t.Context()
	for _, c := range []struct {
		name string
		do   func() error
		kind fault.Kind
	}{
		{"researcher makes a code", func() error { _, err := r.s.NewCode(ctx, r.rosa, "x"); return err }, fault.Denied},
		{"researcher types a code", func() error { _, err := r.s.TypeCode(ctx, r.rosa, "x", "x"); return err }, fault.Denied},
		{"no code", func() error { _, err := r.s.TypeCode(ctx, r.operator, "hello", "x"); return err }, fault.Invalid},
		{"a name with a bell", func() error { _, err := r.s.NewCode(ctx, r.operator, "x\a"); return err }, fault.Invalid},
		{"researcher confirms", func() error { _, err := r.s.ConfirmNode(ctx, r.rosa, "north"); return err }, fault.Denied},
		{"researcher revokes", func() error { _, err := r.s.RevokeNode(ctx, r.rosa, "north", "x"); return err }, fault.Denied},
		{"researcher rotates", func() error { _, err := r.s.Rotate(ctx, r.rosa); return err }, fault.Denied},
		{"unknown node", func() error { _, err := r.s.ConfirmNode(ctx, r.operator, "west"); return err }, fault.NotFound},
		{"researcher makes a project", func() error { _, err := r.s.CreateProject(ctx, r.rosa, ProjectDraft{Slug: "x1"}); return err }, fault.Denied},
		{"bad short name", func() error { _, err := r.s.CreateProject(ctx, r.operator, ProjectDraft{Slug: "X!"}); return err }, fault.Invalid},
		{"taken short name", func() error { _, err := r.s.CreateProject(ctx, r.operator, ProjectDraft{Slug: "aurora"}); return err }, fault.Conflict},
		{"unknown person", func() error {
			_, err := r.s.SetMember(ctx, r.operator, "aurora", "nobody", access.Lead)
			return err
		}, fault.NotFound},
		{"unknown role", func() error { _, err := r.s.SetMember(ctx, r.operator, "aurora", r.rosa.ID, "boss"); return err }, fault.Invalid},
		{"drop who is no member", func() error { _, err := r.s.DropMember(ctx, r.operator, "aurora", "nobody", "Left."); return err }, fault.NotFound},
		{"drop a member without a reason", func() error { _, err := r.s.DropMember(ctx, r.operator, "aurora", r.rosa.ID, " "); return err }, fault.Invalid},
		{"drop a node without a reason", func() error { _, err := r.s.DropNode(ctx, r.operator, "aurora", "north", ""); return err }, fault.Invalid},
		{"end another's token without a reason", func() error {
			all, err := r.s.Tokens(ctx, r.operator)
			must(t, err)
			return r.s.RevokeToken(ctx, r.operator, all[0].ID, "")
		}, fault.Invalid},
		{"bad remote name", func() error { _, err := r.s.SetNode(ctx, r.operator, "aurora", "north", "../x"); return err }, fault.Invalid},
		{"drop a node that is not there", func() error {
			if _, err := r.s.DropNode(ctx, r.operator, "aurora", "north", "It has moved."); err != nil {
				return err
			}
			_, err := r.s.DropNode(ctx, r.operator, "aurora", "north", "It has moved.")
			return err
		}, fault.NotFound},
		{"unknown project", func() error { _, err := r.s.Project(ctx, r.operator, "nothing"); return err }, fault.NotFound},
		{"a project of others", func() error { _, err := r.s.Project(ctx, access.Actor{ID: "sam"}, "aurora"); return err }, fault.NotFound},
		{"nobody", func() error { _, err := r.s.Nodes(ctx, access.Actor{}); return err }, fault.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(); err == nil || fault.KindOf(err) != c.kind {
				t.Errorf("got %v (%v)", err, fault.KindOf(err))
			}
		})
	}
}

// TestBookFaults: a store that fails leaves the book as it was, in this life and
// in the next.
func TestBookFaults(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	peer, _ := r.s.book.Peer(n.ID)
	b := bookStore{r.s}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, do := range map[string]func(context.Context) error{
		"peers":    func(ctx context.Context) error { _, err := b.Peers(ctx); return err },
		"codes":    func(ctx context.Context) error { _, err := b.Codes(ctx); return err },
		"put peer": func(ctx context.Context) error { p := peer; p.Name = "other"; return b.PutPeer(ctx, p) },
		"put code": func(ctx context.Context) error { return b.PutCode(ctx, trust.Code{ID: "c"}) },
		"redeem": func(ctx context.Context) error {
			p := peer
			p.Name = "other"
			return b.Redeem(ctx, trust.Code{ID: "c"}, p)
		},
		"next": func(ctx context.Context) error { _, err := b.Next(ctx, n.ID); return err },
	} {
		if err := do(ctx); err == nil {
			t.Errorf("%s worked although it was stopped", name)
		}
	}
	// A redeem whose second half fails leaves no first half.
	bad := peer
	bad.ID = "" // no subject for the audit event
	bad.Pins = peer.Pins
	if err := b.Redeem(t.Context(), trust.Code{ID: "half", Made: time.Now()}, bad); err == nil {
		t.Error("a node without an id was taken")
	}
	codes, err := b.Codes(t.Context())
	for _, c := range codes {
		if c.ID == "half" || c.ID == "c" {
			t.Errorf("half a redeem stayed: %+v", c)
		}
	}
	all, perr := b.Peers(t.Context())
	if err != nil || perr != nil || len(all) != 1 || all[0].Name != "north" {
		t.Errorf("%+v, %v, %v", all, err, perr)
	}
	err = r.db.View(t.Context(), func(tx *store.Tx) error {
		var rows int
		if err := tx.QueryRow(`SELECT count(*) FROM hub_sequence`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d sequences, %v", rows, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
