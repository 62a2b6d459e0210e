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

	"tresor/app/access"
	"tresor/app/fault"
)

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
