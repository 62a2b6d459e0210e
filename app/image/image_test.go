package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// program writes a file that stands for our own executable.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tresor-program")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBuiltinIsTheSameBytesEveryTime(t *testing.T) {
	var archives [2]bytes.Buffer
	for i := range archives {
		exe := program(t, "the same program")
		if err := os.Chtimes(exe, time.Now(), time.Unix(int64(i)*1000, 0)); err != nil {
			t.Fatal(err)
		}
		p, err := planBuiltin(exe, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.writeArchive(&archives[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
		t.Error("two archives of the same program differ")
	}
	other, err := planBuiltin(program(t, "another program"), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(archives[0].String(), other.layer) {
		t.Error("another program gives the same layer")
	}
}

func TestBuiltinLayer(t *testing.T) {
	p, err := planBuiltin(program(t, "program"), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.writeLayer(&b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != p.layerSize() {
		t.Errorf("the layer has %d bytes, %d were announced", b.Len(), p.layerSize())
	}
	found := map[string]*tar.Header{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h
		if !h.ModTime.Equal(epoch) || checkEntry(h) != nil {
			t.Errorf("%s: time %v, %v", h.Name, h.ModTime, checkEntry(h))
		}
	}
	if h := found["tresor"]; h == nil || h.Mode != 0o755 || h.Uid != 0 {
		t.Errorf("tresor: %+v", h)
	}
	if h := found["work/"]; h == nil || h.Uid != 1000 || h.Gid != 1000 {
		t.Errorf("work: %+v", h)
	}
	if h := found["./"]; h == nil || h.Mode != 0o755 {
		t.Errorf("root: %+v", h)
	}
}

func TestEnsureBuiltin(t *testing.T) {
	r := newRig(t)
	exe := program(t, "first program")
	one, err := r.EnsureBuiltin(t.Context(), exe, nil)
	if err != nil || one.State != Approved || one.Source != Builtin || one.ApprovedBy != access.System.Name {
		t.Fatalf("%+v, %v", one, err)
	}
	r.engine.Fail("Load", errors.New("loaded again"), false)
	again, err := r.EnsureBuiltin(t.Context(), exe, nil)
	if err != nil || again.Digest != one.Digest {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	r.engine.Fail("Load", nil, false) // takes the waiting fault's place in the queue
	if got := r.events(one.Digest); got != "image.imported image.approved" {
		t.Errorf("audit: %s", got)
	}
	if i, err := r.resolve(BuiltinRef); err != nil || i.Digest != one.Digest {
		t.Errorf("resolve: %+v, %v", i, err)
	}
}

func TestEnsureBuiltinOfANewProgram(t *testing.T) {
	r := newRig(t)
	one, err := r.EnsureBuiltin(t.Context(), program(t, "first program"), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.EnsureBuiltin(t.Context(), program(t, "second program"), nil)
	if err != nil || two.Digest == one.Digest {
		t.Fatalf("%+v, %v", two, err)
	}
	if i, err := r.resolve(BuiltinRef); err != nil || i.Digest != two.Digest {
		t.Errorf("the name: %+v, %v", i, err)
	}
	if _, err := r.resolve(one.Digest); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the old digest: %v", err)
	}
	if held, _ := r.engine.ListImages(t.Context()); len(held) != 1 {
		t.Errorf("the engine holds %d images", len(held))
	}
	if back, err := r.EnsureBuiltin(t.Context(), program(t, "first program"), nil); err != nil || back.State != Approved {
		t.Errorf("back to the first program: %+v, %v", back, err)
	}
}

func TestRevokedBuiltinStaysRevoked(t *testing.T) {
	r := newRig(t)
	exe := program(t, "program")
	i, err := r.EnsureBuiltin(t.Context(), exe, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revoke(t.Context(), operator, i.Digest, "A defect in SQL."); err != nil {
		t.Fatal(err)
	}
	if i, err = r.EnsureBuiltin(t.Context(), exe, nil); err != nil || i.State != Revoked {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := r.resolve(BuiltinRef); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), "A defect in SQL") {
		t.Errorf("resolve: %v", err)
	}
}

// TestEnsureBuiltinAfterEveryFault: whatever breaks, the next start gets there.
func TestEnsureBuiltinAfterEveryFault(t *testing.T) {
	for _, method := range []string{"Inspect", "Load", "Warm"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after=%v", method, after), func(t *testing.T) {
				if method == "Inspect" && after {
					t.Skip("asking changes nothing")
				}
				r := newRig(t)
				exe := program(t, "program")
				r.engine.Fail(method, sandbox.Host("test", errors.New("broken")), after)
				i, err := r.EnsureBuiltin(t.Context(), exe, nil)
				if !after && fault.KindOf(err) != fault.Unavailable {
					t.Errorf("%+v, %v", i, err)
				}
				if _, err := r.resolve(BuiltinRef); err == nil {
					t.Error("an image that is not ready can be used")
				}
				if i, err := r.EnsureBuiltin(t.Context(), exe, nil); err != nil || i.State != Approved {
					t.Errorf("the second time: %+v, %v", i, err)
				}
			})
		}
	}
	r := newRig(t)
	if _, err := r.EnsureBuiltin(t.Context(), filepath.Join(t.TempDir(), "none"), nil); fault.KindOf(err) != fault.Internal {
		t.Errorf("no program: %v", err)
	}
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

// testArchive builds image archives that are wrong in one way.
type testArchive struct {
	headers []*tar.Header     // of the layer
	files   map[string]string // more files of the layer
	arch    string
	gzip    bool
	spoil   func(blobs map[string][]byte) // after everything is consistent
	index   func(m map[string]any)
}

func (a *testArchive) layer(t *testing.T) (raw, packed []byte) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	list := append([]*tar.Header{
		{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644},
		{Typeflag: tar.TypeReg, Name: "bin/su", Mode: 0o4755},
		{Typeflag: tar.TypeSymlink, Name: "bin/sh", Linkname: "../bin/su"},
	}, a.headers...)
	for name, text := range a.files {
		list = append(list, &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644})
	}
	for _, h := range list {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, a.files[h.Name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !a.gzip {
		return b.Bytes(), b.Bytes()
	}
	return b.Bytes(), gzipped(b.Bytes())
}

func gzipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(b)
	_ = w.Close()
	return z.Bytes()
}

func sumOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (a *testArchive) config(raw []byte) []byte {
	return mustJSON(map[string]any{"architecture": a.arch, "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sumOf(raw)}}})
}

func ociArchive(t *testing.T, change func(*testArchive)) []byte {
	t.Helper()
	a := &testArchive{arch: "amd64", files: map[string]string{"hello": "hello"}}
	if change != nil {
		change(a)
	}
	raw, packed := a.layer(t)
	config := a.config(raw)
	blob := func(b []byte) map[string]any { return map[string]any{"digest": "sha256:" + sumOf(b), "size": len(b)} }
	manifest := mustJSON(map[string]any{"schemaVersion": 2, "config": blob(config), "layers": []any{blob(packed)}})
	d := blob(manifest)
	d["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
	d["annotations"] = map[string]string{"org.opencontainers.image.ref.name": "localhost/example/stats:1.0"}
	index := map[string]any{"manifests": []any{d}}
	if a.index != nil {
		a.index(index)
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": mustJSON(index)}
	for _, b := range [][]byte{manifest, config, packed} {
		files["blobs/sha256/"+sumOf(b)] = b
	}
	if a.spoil != nil {
		a.spoil(files)
	}
	return tarOf(t, files)
}

func dockerArchive(t *testing.T, change func(*testArchive)) []byte {
	t.Helper()
	a := &testArchive{arch: "amd64"}
	if change != nil {
		change(a)
	}
	raw, packed := a.layer(t)
	config := a.config(raw)
	name := sumOf(config) + ".json"
	files := map[string][]byte{name: config, "layer.tar": packed,
		"manifest.json": mustJSON([]map[string]any{{"Config": name, "RepoTags": []string{"example/stats:1.0"}, "Layers": []string{"layer.tar"}}})}
	if a.spoil != nil {
		a.spoil(files)
	}
	return tarOf(t, files)
}

func tarOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, body := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(body)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchivesThatPass(t *testing.T) {
	cases := map[string][]byte{
		"oci":                    ociArchive(t, nil),
		"oci, gzip layer":        ociArchive(t, func(a *testArchive) { a.gzip = true }),
		"docker":                 dockerArchive(t, nil),
		"docker, gzip layer":     dockerArchive(t, func(a *testArchive) { a.gzip = true }),
		"gzip around everything": gzipped(ociArchive(t, nil)),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if _, err := r.Import(t.Context(), operator, bytes.NewReader(b), "tools/x", nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestArchivesThatAreRefused(t *testing.T) {
	entry := func(h tar.Header) func(*testArchive) { return func(a *testArchive) { a.headers = []*tar.Header{&h} } }
	spoil := func(f func(map[string][]byte)) func(*testArchive) { return func(a *testArchive) { a.spoil = f } }
	ok := ociArchive(t, nil)
	biggest := func(m map[string][]byte) (name string) {
		for n, b := range m {
			if name == "" || len(b) > len(m[name]) {
				name = n
			}
		}
		return name
	}
	cases := []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "empty"},
		{"text", []byte(strings.Repeat("hello ", 500)), "not an image archive"},
		{"cut in half", ok[:len(ok)/2], "cut short"},
		{"cut by a byte of the last file", bytes.TrimRight(ok, "\x00")[:len(bytes.TrimRight(ok, "\x00"))-1], "cut short"},
		{"gzip cut in half", gzipped(ok)[:200], "cut short or damaged"},
		{"zstd", []byte("\x28\xb5\x2f\xfdrest"), "compressed in a way"},
		{"xz", []byte("\xfd7zXZrest"), "compressed in a way"},
		{"no manifest", tarOf(t, map[string][]byte{"a": []byte("a")}), "holds no manifest"},
		{"manifest is not JSON", tarOf(t, map[string][]byte{"manifest.json": []byte("{")}), "not JSON"},
		{"two images", tarOf(t, map[string][]byte{"manifest.json": []byte("[{},{}]")}), "holds 2 images"},
		{"config missing", dockerArchive(t, spoil(func(m map[string][]byte) {
			for n := range m {
				if strings.HasSuffix(n, ".json") && n != "manifest.json" {
					delete(m, n)
				}
			}
		})), "is missing"},
		{"layer missing", dockerArchive(t, spoil(func(m map[string][]byte) { delete(m, "layer.tar") })), "is missing"},
		{"layer changed", dockerArchive(t, spoil(func(m map[string][]byte) { m["layer.tar"][len(m["layer.tar"])-1] ^= 1 })), "damaged"},
		{"blob changed", ociArchive(t, spoil(func(m map[string][]byte) { m[biggest(m)][1100] ^= 1 })), "damaged"},
		{"blob of another size", ociArchive(t, spoil(func(m map[string][]byte) { n := biggest(m); m[n] = append(m[n], 0) })), "manifest says"},
		{"layer cut", dockerArchive(t, spoil(func(m map[string][]byte) { m["layer.tar"] = m["layer.tar"][:700] })), ""},
		{"another architecture", ociArchive(t, func(a *testArchive) { a.arch = "arm64" }), "linux/arm64, this host is linux/amd64"},
		{"no image for this host", ociArchive(t, func(a *testArchive) {
			a.index = func(m map[string]any) {
				m["manifests"].([]any)[0].(map[string]any)["platform"] = map[string]string{"os": "linux", "architecture": "s390x"}
			}
		}), "holds 0 images for amd64"},
		{"digest with a path", ociArchive(t, func(a *testArchive) {
			a.index = func(m map[string]any) { m["manifests"].([]any)[0].(map[string]any)["digest"] = "sha256:../../etc" }
		}), "not a SHA-256 digest"},
		{"index in itself", ociArchive(t, func(a *testArchive) {
			a.spoil = func(m map[string][]byte) {
				name := strings.Repeat("a", 64)
				ix := []byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:` + name + `"}]}`)
				m["index.json"], m["blobs/sha256/"+name] = ix, ix
			}
		}), "too deeply"},
		{"absolute name", ociArchive(t, entry(tar.Header{Typeflag: tar.TypeReg, Name: "/etc/shadow"})), "absolute name"},
		{"name that climbs", ociArchive(t, entry(tar.Header{Typeflag: tar.TypeReg, Name: "a/../../b"})), "leads out"},
		{"hard link that climbs", ociArchive(t, entry(tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "../b"})), "hard link"},
		{"device", ociArchive(t, entry(tar.Header{Typeflag: tar.TypeBlock, Name: "dev/sda"})), "device, pipe or special"},
		{"character device", ociArchive(t, entry(tar.Header{Typeflag: tar.TypeChar, Name: "dev/mem"})), "device, pipe or special"},
		{"pipe", ociArchive(t, entry(tar.Header{Typeflag: tar.TypeFifo, Name: "p"})), "device, pipe or special"},
	}
	for _, at := range []string{"dev", "etc", "proc", "sys", "tmp", "work", "data", "in", "run", "run/tresor", "./etc/", "etc/passwd", "etc/group"} {
		cases = append(cases, struct {
			name string
			b    []byte
			want string
		}{"link at " + at, ociArchive(t, entry(tar.Header{Typeflag: tar.TypeSymlink, Name: at, Linkname: "elsewhere"})), "a link. The sandbox needs"})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			i, err := r.Import(t.Context(), operator, bytes.NewReader(c.b), "tools/x", nil)
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("got %+v, %v, want %q", i, err, c.want)
			}
			if held, _ := r.engine.ListImages(t.Context()); len(held) != 0 {
				t.Error("the engine got it")
			}
			if left, _ := filepath.Glob(filepath.Join(r.dir, "*")); len(left) != 0 {
				t.Errorf("spool files left: %v", left)
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	r := newRig(t)
	ok := ociArchive(t, nil)
	broken := io.MultiReader(bytes.NewReader(ok[:1000]), iotestErr{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		name  string
		ctx   context.Context
		actor access.Actor
		r     io.Reader
		ref   string
		max   int64
		kind  fault.Kind
	}{
		{"steward", t.Context(), steward, bytes.NewReader(ok), "x", 0, fault.Denied},
		{"name in our space", t.Context(), operator, bytes.NewReader(ok), "tresor/sql", 0, fault.Invalid},
		{"name", t.Context(), operator, bytes.NewReader(ok), "No Good", 0, fault.Invalid},
		{"breaks off", t.Context(), operator, broken, "x", 0, fault.Unavailable},
		{"context ended", ended, operator, bytes.NewReader(ok), "x", 0, fault.Unavailable},
		{"archive too large", t.Context(), operator, bytes.NewReader(ok), "x", 1000, fault.Exhausted},
		{"unpacks to too much", t.Context(), operator, bytes.NewReader(ociArchive(t, func(a *testArchive) {
			a.gzip, a.files["zeros"] = true, strings.Repeat("\x00", 1<<20)
		})), "x", 100_000, fault.Exhausted},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := *r.Service
			if c.max > 0 {
				s.Max = c.max
			}
			if _, err := s.Import(c.ctx, c.actor, c.r, c.ref, nil); fault.KindOf(err) != c.kind || err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if list, _ := r.List(t.Context(), operator); len(list) != 0 {
		t.Errorf("recorded: %+v", list)
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// FuzzPreflight: no archive breaks it, and every refusal is one for people.
func FuzzPreflight(f *testing.F) {
	f.Add([]byte("hello"))
	t := &testing.T{}
	f.Add(ociArchive(t, nil))
	f.Add(dockerArchive(t, func(a *testArchive) { a.gzip = true }))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a.tar")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		_, err = preflight(t.Context(), file, "amd64", 1<<20)
		if kind := fault.KindOf(err); err != nil && kind != fault.Invalid && kind != fault.Exhausted {
			t.Fatalf("%v: %v", kind, err)
		}
	})
}
