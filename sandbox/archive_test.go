package sandbox_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tresor/sandbox"
	"tresor/sandbox/sandboxtest"
)

var program = bytes.Repeat([]byte("program "), 4096)

func TestReadArchive(t *testing.T) {
	docker := sandboxtest.Archive(program, sandboxtest.ImageOptions{})
	oci := sandboxtest.OCIArchive(program)
	for _, c := range []struct {
		name    string
		archive []byte
		want    string // part of the refusal; empty: accepted
	}{
		{"docker", docker, ""},
		{"oci", oci, ""},
		{"docker, compressed layer", rewrite(docker, gzipLayer), ""},
		{"empty", nil, "empty"},
		{"text", []byte(strings.Repeat("this is not an archive. ", 100)), "not an image archive"},
		{"a tar of something else", tarball("readme.txt", "hello"), "neither manifest.json nor index.json"},
		{"compressed as a whole", zip(docker), "decompress it first"},
		{"docker, cut in half", docker[:len(docker)/2], "cut short"},
		{"oci, cut in half", oci[:len(oci)/2], "cut short"},
		{"docker, layer damaged", rewrite(docker, flipLayer), "damaged"},
		{"oci, layer damaged", rewrite(oci, flipLayer), "missing or damaged"},
		{"docker, layer missing", rewrite(docker, dropLayer), "missing"},
		{"docker, configuration missing", rewrite(docker, dropConfig), "configuration is missing"},
		{"docker, two images", rewrite(docker, twoImages), "2 images"},
		{"docker, manifest is no JSON", rewrite(docker, brokenManifest), "cannot be read"},
		{"zstd layer", rewrite(docker, zstdLayer), "zstd"},
		{"/etc is a link", linked("etc", "/tmp"), "/etc is a link"},
		{"/etc/passwd is a link", linked("etc/passwd", "/proc/self/fd/3"), "/etc/passwd is a link"},
		{"/dev is a link", linked("./dev", "../../dev"), "/dev is a link"},
		{"/run is a link", linked("/run", "/var/run"), "/run is a link"},
		{"/work is a link", linked("work/../work", "/etc"), "/work is a link"},
		{"ok: /bin is a link", linked("bin", "usr/bin"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := sandbox.ReadArchive(bytes.NewReader(c.archive))
			if c.want == "" {
				if err != nil || !strings.HasPrefix(a.ID, "sha256:") || a.Layers != 1 || a.Arch == "" {
					t.Fatalf("%+v, %v", a, err)
				}
				return
			}
			if !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestReadArchiveEveryCut: wherever the archive ends early, it is refused or, in the padding after its last part, still whole.
func TestReadArchiveEveryCut(t *testing.T) {
	docker := sandboxtest.Archive([]byte("x"), sandboxtest.ImageOptions{})
	whole, err := sandbox.ReadArchive(bytes.NewReader(docker))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(docker); n += 64 {
		a, err := sandbox.ReadArchive(bytes.NewReader(docker[:n]))
		if err == nil && a != whole {
			t.Fatalf("cut at %d of %d: %+v", n, len(docker), a)
		}
	}
}

func FuzzReadArchive(f *testing.F) {
	f.Add(sandboxtest.Archive([]byte("x"), sandboxtest.ImageOptions{}))
	f.Add(sandboxtest.OCIArchive([]byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = sandbox.ReadArchive(bytes.NewReader(b)) })
}

// rewrite copies an archive and lets change replace a part; nil drops it.
func rewrite(archive []byte, change func(name string, b []byte) []byte) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		b, _ := io.ReadAll(r)
		if b = change(h.Name, b); b == nil {
			continue
		}
		h.Size = int64(len(b))
		_ = w.WriteHeader(h)
		_, _ = w.Write(b)
	}
	w.Close()
	return out.Bytes()
}

func isLayer(b []byte) bool { return bytes.Contains(b, []byte("program program")) }

func flipLayer(_ string, b []byte) []byte {
	if isLayer(b) {
		b[len(b)/2] ^= 1
	}
	return b
}

func dropLayer(_ string, b []byte) []byte {
	if isLayer(b) {
		return nil
	}
	return b
}

func gzipLayer(_ string, b []byte) []byte {
	if isLayer(b) {
		return zip(b)
	}
	return b
}

func zstdLayer(_ string, b []byte) []byte {
	if isLayer(b) {
		return append([]byte{0x28, 0xb5, 0x2f, 0xfd}, b...)
	}
	return b
}

func dropConfig(name string, b []byte) []byte {
	if strings.HasSuffix(name, ".json") && name != "manifest.json" {
		return nil
	}
	return b
}

func twoImages(name string, b []byte) []byte {
	if name == "manifest.json" {
		one := strings.Trim(string(b), "[]")
		return []byte("[" + one + "," + one + "]")
	}
	return b
}

func brokenManifest(name string, b []byte) []byte {
	if name == "manifest.json" {
		return b[:len(b)/2]
	}
	return b
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	w.Close()
	return out.Bytes()
}

func tarball(name, body string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: 0o644})
	_, _ = io.WriteString(w, body)
	w.Close()
	return out.Bytes()
}

func linked(name, to string) []byte {
	return sandboxtest.Archive(program, sandboxtest.ImageOptions{Links: map[string]string{name: to}})
}

// TestArchiveOfJSON: what is kept in memory is bounded in all, not only one by one.
func TestArchiveOfJSON(t *testing.T) {
	pr, pw := io.Pipe()
	go func() {
		w, b := tar.NewWriter(pw), bytes.Repeat([]byte("{"), 8<<20)
		for i := range 9 {
			_ = w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeReg, Size: int64(len(b)), Mode: 0o644})
			_, _ = w.Write(b)
		}
		pw.CloseWithError(w.Close())
	}()
	defer pr.Close()
	if _, err := sandbox.ReadArchive(pr); !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(err.Error(), "JSON") {
		t.Fatal(err)
	}
}
