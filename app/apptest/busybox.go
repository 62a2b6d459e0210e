package apptest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"os"
	"path"
	"slices"
	"testing"
	"time"
)

// applets are the commands of the busybox image.
var applets = []string{"sh", "true", "false", "cat", "cp", "mkdir", "mv", "rm", "ls", "ln", "echo", "sleep", "sort", "wc", "sha256sum", "test", "touch", "tr", "env", "id", "pwd", "wget", "nc", "mkfifo", "seq", "dd", "head", "tail", "grep", "sed", "awk", "find"}

// Busybox is a docker archive of an image with a shell, named localhost/busybox:test:
// what other people's task examples expect. The test is skipped, loudly, on a
// machine without a static busybox; scripts/test installs one.
func Busybox(t testing.TB) []byte {
	t.Helper()
	const file = "/bin/busybox"
	program, err := os.ReadFile(file)
	if err != nil || !static(file) {
		t.Skipf("there is no static %s: install busybox-static (scripts/test does)", file)
	}
	layer := pack(t, func(w *tar.Writer) {
		for _, d := range []string{"bin", "tmp", "etc", "data"} {
			entry(t, w, &tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
		}
		entry(t, w, &tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, program)
		for _, a := range applets {
			entry(t, w, &tar.Header{Name: path.Join("bin", a), Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
		}
	})
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{"localhost/busybox:test"}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, func(w *tar.Writer) {
		entry(t, w, &tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg, Mode: 0o644}, manifest)
		entry(t, w, &tar.Header{Name: "config.json", Typeflag: tar.TypeReg, Mode: 0o644}, config)
		entry(t, w, &tar.Header{Name: "layer.tar", Typeflag: tar.TypeReg, Mode: 0o644}, layer)
	})
}

// static reports whether a program needs no loader.
func static(file string) bool {
	f, err := elf.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

func pack(t testing.TB, fill func(*tar.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func entry(t testing.TB, w *tar.Writer, h *tar.Header, content []byte) {
	t.Helper()
	h.Size, h.ModTime = int64(len(content)), time.Unix(0, 0)
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
}
