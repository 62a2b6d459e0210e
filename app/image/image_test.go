package image

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

var (
	operator = access.Actor{ID: "olga", Name: "Olga", Roles: []access.Role{access.Operator}}
	steward  = access.Actor{ID: "stefan", Name: "Stefan", Roles: []access.Role{access.Steward}}
	nobody   = access.Actor{}
)

type rig struct {
	t      *testing.T
	db     *store.DB
	log    *audit.Log
	engine *fake.Runner
	now    time.Time
	dir    string
	*Service
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, engine: fake.New(), now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), dir: filepath.Join(t.TempDir(), "spool")}
	t.Cleanup(func() { _ = r.engine.Close() })
	dir := t.TempDir()
	var err error
	clock := func() time.Time { r.now = r.now.Add(time.Second); return r.now }
	if r.db, err = store.Open(t.Context(), filepath.Join(dir, "tresor.db"), store.Options{Now: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	if r.log, err = audit.Open(t.Context(), r.db, filepath.Join(dir, "audit.key"), "tresor/test"); err != nil {
		t.Fatal(err)
	}
	r.Service, err = New(Deps{DB: r.db, Log: r.log, Images: r.engine, Dir: r.dir, Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) resolve(name string) (i Image, err error) {
	_ = r.db.View(r.t.Context(), func(tx *store.Tx) error {
		i, err = r.Resolve(tx, name)
		return nil
	})
	return i, err
}

func (r *rig) events(digest string) string {
	r.t.Helper()
	var verbs []string
	err := r.db.View(r.t.Context(), func(tx *store.Tx) error {
		list, err := r.log.Timeline(tx, Subject(digest))
		for _, e := range list {
			verbs = append(verbs, e.Verb)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(verbs, " ")
}

func TestImportApproveUse(t *testing.T) {
	r := newRig(t)
	var read int64
	i, err := r.Import(t.Context(), operator, bytes.NewReader(ociArchive(t, nil)), "tools/stats:1", func(done, _ int64) { read = done })
	if err != nil || i.State != Imported || i.Ref != "tools/stats:1" || read == 0 || i.Setuid != 1 {
		t.Fatalf("%+v, %v (read %d)", i, err, read)
	}
	if _, err := r.resolve("tools/stats:1"); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), "not approved") {
		t.Errorf("before the approval: %v", err)
	}
	warmed := false
	i, err = r.Approve(t.Context(), operator, i.Digest, "Built by the core facility.", func(_, _ int64) { warmed = true })
	if err != nil || i.State != Approved || i.ApprovedBy != "Olga" || i.ApprovedAt == nil || !warmed {
		t.Fatalf("%+v, %v", i, err)
	}
	for _, name := range []string{"tools/stats:1", i.Digest, i.ID} {
		if got, err := r.resolve(name); err != nil || got.ID != i.ID {
			t.Errorf("resolve %s: %v", name, err)
		}
	}
	if again, err := r.Import(t.Context(), operator, bytes.NewReader(ociArchive(t, nil)), "tools/stats:1", nil); err != nil || again.State != Approved {
		t.Errorf("the same bytes again: %+v, %v", again, err)
	}
	if i, err = r.Revoke(t.Context(), operator, i.Digest, "Vulnerable library."); err != nil || i.State != Revoked {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := r.resolve(i.Digest); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), "Vulnerable library. Choose another") {
		t.Errorf("after the revocation: %v", err)
	}
	if got := r.events(i.Digest); got != "image.imported image.approved image.imported image.revoked" {
		t.Errorf("audit: %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*")); len(left) != 0 {
		t.Errorf("spool files left: %v", left)
	}
}

func TestANameThatMovesIsNotFollowed(t *testing.T) {
	r := newRig(t)
	one, err := r.Import(t.Context(), operator, bytes.NewReader(ociArchive(t, nil)), "tools/stats", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(t.Context(), operator, one.Digest, "ok", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Import(t.Context(), operator, bytes.NewReader(ociArchive(t, func(a *testArchive) { a.files["extra"] = "1" })), "tools/stats", nil); err != nil {
		t.Fatal(err)
	}
	_, err = r.resolve("tools/stats")
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), one.Digest) {
		t.Errorf("got %v", err)
	}
	if _, err := r.resolve(one.Digest); err != nil {
		t.Errorf("the approved digest: %v", err)
	}
}

func TestLostAndFound(t *testing.T) {
	r := newRig(t)
	i, err := r.EnsureBuiltin(t.Context(), program(t, "p"), nil)
	if err != nil {
		t.Fatal(err)
	}
	held, err := r.engine.Inspect(t.Context(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	refresh := func(want State) {
		t.Helper()
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Get(t.Context(), operator, i.Digest); err != nil || got.State != want {
			t.Errorf("%s (%v), want %s", got.State, err, want)
		}
	}
	if err := r.engine.RemoveImage(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	refresh(Missing)
	if _, err := r.resolve(BuiltinRef); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a lost image: %v", err)
	}
	changed := held
	changed.Digest = "sha256:" + strings.Repeat("0", 64)
	r.engine.AddImage(changed)
	refresh(Missing)
	if _, err := r.Approve(t.Context(), operator, i.Digest, "ok", nil); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), "another digest") {
		t.Errorf("a changed image: %v", err)
	}
	r.engine.AddImage(held)
	refresh(Approved)
	if got := r.events(i.Digest); got != "image.imported image.approved image.lost image.found" {
		t.Errorf("audit: %s", got)
	}
	r.engine.Fail("ListImages", sandbox.Host("list", errors.New("broken")), false)
	if err := r.Refresh(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a broken engine: %v", err)
	}
}

func TestDecisionsRefuse(t *testing.T) {
	r := newRig(t)
	i, err := r.Import(t.Context(), operator, bytes.NewReader(ociArchive(t, nil)), "", nil)
	if err != nil || i.Ref != "example/stats:1.0" {
		t.Fatalf("%+v, %v", i, err)
	}
	cases := []struct {
		name   string
		actor  access.Actor
		digest string
		reason string
		kind   fault.Kind
	}{
		{"steward", steward, i.Digest, "ok", fault.Denied},
		{"nobody", nobody, i.Digest, "ok", fault.Denied},
		{"no reason", operator, i.Digest, " ", fault.Invalid},
		{"long reason", operator, i.Digest, strings.Repeat("r", 2001), fault.Invalid},
		{"by name", operator, i.Ref, "ok", fault.Invalid},
		{"unknown digest", operator, "sha256:" + strings.Repeat("1", 64), "ok", fault.NotFound},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.Approve(t.Context(), c.actor, c.digest, c.reason, nil); fault.KindOf(err) != c.kind || err == nil {
				t.Errorf("approve: %v", err)
			}
			if _, err := r.Revoke(t.Context(), c.actor, c.digest, c.reason); fault.KindOf(err) != c.kind || err == nil {
				t.Errorf("revoke: %v", err)
			}
		})
	}
	if err := r.engine.RemoveImage(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(t.Context(), operator, i.Digest, "ok", nil); fault.KindOf(err) != fault.Conflict {
		t.Errorf("gone from the engine: %v", err)
	}
	if _, err := r.resolve("nope"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := r.List(t.Context(), nobody); fault.KindOf(err) != fault.Denied {
		t.Errorf("list for nobody: %v", err)
	}
	if _, err := r.Get(t.Context(), operator, "sha256:0"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("get unknown: %v", err)
	}
}

func TestUnfitEngine(t *testing.T) {
	r := newRig(t)
	r.engine.Fail("Load", sandbox.Unfit("Install podman 4.3 or newer", "podman is too old"), false)
	_, err := r.Import(t.Context(), operator, bytes.NewReader(ociArchive(t, nil)), "", nil)
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.Message(err), "podman is too old") || fault.Next(err) != "Install podman 4.3 or newer." {
		t.Errorf("%v, next %q", err, fault.Next(err))
	}
}

func TestInterruptedImportsAreSwept(t *testing.T) {
	r := newRig(t)
	if err := os.WriteFile(filepath.Join(r.dir, "import-123.tar"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(r.Deps); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestDecisionsAreTold has those who wait for an image hear of it in the transaction
// of the decision.
func TestDecisionsAreTold(t *testing.T) {
	r := newRig(t)
	var told []string
	var broken error
	r.OnDecision(func(_ *store.Tx, i Image) error { told = append(told, i.Ref+" "+string(i.State)); return broken })
	i, err := r.Import(t.Context(), operator, bytes.NewReader(ociArchive(t, nil)), "tools/stats:1", nil)
	if err != nil || len(told) != 0 {
		t.Fatalf("%v, told %v", err, told)
	}
	broken = errors.New("broken")
	if _, err := r.Approve(t.Context(), operator, i.Digest, "looked through", nil); err == nil {
		t.Error("an error of the listener is lost")
	}
	if _, err := r.resolve(i.Digest); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the decision that failed counts: %v", err)
	}
	broken = nil
	if _, err := r.Approve(t.Context(), operator, i.Digest, "looked through", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revoke(t.Context(), operator, i.Digest, "unsafe"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, "; "); got != "tools/stats:1 approved; tools/stats:1 approved; tools/stats:1 revoked" {
		t.Errorf("told %s", got)
	}
	if _, err := r.resolve(i.Digest); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
}

func TestSpellings(t *testing.T) {
	digest := "sha256:" + strings.Repeat("1", 64)
	for ref, want := range map[string]string{
		"ubuntu":                          "ubuntu ubuntu:latest",
		"ubuntu:22.04":                    "ubuntu:22.04",
		"ubuntu:latest":                   "ubuntu:latest ubuntu",
		"docker.io/library/ubuntu:22.04":  "docker.io/library/ubuntu:22.04 ubuntu:22.04",
		"docker.io/tools/x":               "docker.io/tools/x tools/x docker.io/tools/x:latest tools/x:latest",
		"localhost/busybox:test":          "localhost/busybox:test busybox:test",
		"registry.example:5000/x":         "registry.example:5000/x registry.example:5000/x:latest",
		"ubuntu@" + digest:                digest,
		"docker.io/library/x:1@" + digest: digest,
		digest:                            digest,
		"":                                " :latest",
	} {
		if got := strings.Join(Spellings(ref), " "); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}
