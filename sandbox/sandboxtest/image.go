package sandboxtest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// BuildProgram builds testbin as a static file in dir and answers its path.
func BuildProgram(dir string) (string, error) {
	out := filepath.Join(dir, "testbin")
	c := exec.Command("go", "build", "-o", out, "tresor/sandbox/sandboxtest/testbin")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the test program: %w\n%s", err, b)
	}
	return out, nil
}

// ImageOptions changes what Archive makes.
type ImageOptions struct {
	Env   []string          // of the image
	Links map[string]string // symbolic links: path without leading slash to target
	Arch  string            // empty: this host
}

// Archive answers a docker archive with one program at /workload, FROM scratch.
func Archive(program []byte, o ImageOptions) []byte {
	layer := tarOf(func(w *tar.Writer) {
		for _, d := range []string{"./", "work/"} { // the root must be searchable for all
			put(w, &tar.Header{Name: d, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
		}
		put(w, &tar.Header{Name: "workload", Mode: 0o755}, program)
		put(w, &tar.Header{Name: "notprogram", Mode: 0o644}, []byte("text"))
		for name, to := range o.Links {
			put(w, &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777}, nil)
		}
	})
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	config := mustJSON(map[string]any{
		"architecture": o.Arch, "os": "linux", "config": map[string]any{"Env": o.Env},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer)}},
	})
	name := sum(config) + ".json"
	return tarOf(func(w *tar.Writer) {
		put(w, &tar.Header{Name: "layer.tar", Mode: 0o644}, layer)
		put(w, &tar.Header{Name: name, Mode: 0o644}, config)
		put(w, &tar.Header{Name: "manifest.json", Mode: 0o644}, mustJSON([]any{map[string]any{"Config": name, "RepoTags": []string{"localhost/tresor-test:1"}, "Layers": []string{"layer.tar"}}}))
	})
}

// ImageID answers the ID of the image in a whole docker archive of Archive, and one of no
// image for anything else.
func ImageID(archive []byte) string {
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err != nil {
			return "sha256:" + strings.Repeat("0", 64)
		}
		if id, ok := strings.CutSuffix(h.Name, ".json"); ok && id != "manifest" {
			return "sha256:" + id
		}
	}
}

// OCIArchive answers the same as Archive in the OCI layout.
func OCIArchive(program []byte) []byte {
	layer := tarOf(func(w *tar.Writer) {
		put(w, &tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
		put(w, &tar.Header{Name: "workload", Mode: 0o755}, program)
	})
	blobs := map[string][]byte{}
	blob := func(media string, b []byte) map[string]any {
		blobs[sum(b)] = b
		return map[string]any{"mediaType": media, "digest": "sha256:" + sum(b), "size": len(b)}
	}
	config := blob("application/vnd.oci.image.config.v1+json", mustJSON(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer)}},
	}))
	manifest := blob("application/vnd.oci.image.manifest.v1+json", mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
		"layers": []any{blob("application/vnd.oci.image.layer.v1.tar", layer)},
	}))
	return tarOf(func(w *tar.Writer) {
		put(w, &tar.Header{Name: "oci-layout", Mode: 0o644}, []byte(`{"imageLayoutVersion":"1.0.0"}`))
		put(w, &tar.Header{Name: "index.json", Mode: 0o644}, mustJSON(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}}))
		for name, b := range blobs {
			put(w, &tar.Header{Name: "blobs/sha256/" + name, Mode: 0o644}, b)
		}
	})
}

func tarOf(fill func(*tar.Writer)) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	fill(w)
	w.Close()
	return b.Bytes()
}

func put(w *tar.Writer, h *tar.Header, b []byte) {
	h.Size = int64(len(b))
	if err := w.WriteHeader(h); err != nil {
		panic(err) // impossible: the header is ours and the writer a buffer
	}
	_, _ = w.Write(b)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // impossible: literals above
	}
	return b
}
