package sandbox

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Archive is what an image archive says about itself, checked against its bytes.
type Archive struct {
	ID     string // "sha256:…" of the image configuration
	Ref    string // first name, or empty
	Arch   string
	Layers int
	Size   int64 // bytes of the layers as they are in the archive
}

// mustBeReal are the places that the sandbox mounts over or writes to: as links in an
// image they would send that write elsewhere (CVE-2024-9676, CVE-2026-47766 …).
var mustBeReal = []string{"dev", "etc", "etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf", "proc", "sys", "run",
	"run/tresor", "tmp", "work", "data", "in"}

const (
	maxMeta  = 8 << 20  // bytes of one JSON document in an archive
	maxMetas = 64 << 20 // bytes of all of them, which are held in memory
)

// ReadArchive reads an OCI or docker archive to its end. It answers ErrInvalid when the
// archive is cut short, is none, holds more than one image, has a part whose bytes do
// not match its digest, or an image that must not run here. It keeps nothing.
func ReadArchive(r io.Reader) (Archive, error) {
	a := archiveReader{metas: map[string][]byte{}, layers: map[string]layer{}}
	if err := a.read(r); err != nil {
		return Archive{}, err
	}
	if m, ok := a.metas["manifest.json"]; ok {
		return a.docker(m)
	}
	if m, ok := a.metas["index.json"]; ok {
		return a.oci(m)
	}
	return Archive{}, Invalid("not an image archive: it holds neither manifest.json nor index.json; save the image with `podman save` or `docker save`")
}

type layer struct {
	sum    string // of the bytes in the archive
	diff   string // of the tar inside
	size   int64
	reason string // why it must not run
}

type archiveReader struct {
	metas  map[string][]byte
	held   int64            // bytes in metas
	layers map[string]layer // by name in the archive
}

func (a *archiveReader) read(r io.Reader) error {
	br := bufio.NewReaderSize(r, 256<<10)
	if magic, _ := br.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return Invalid("the archive is compressed as a whole: decompress it first (gunzip)")
	}
	t := tar.NewReader(br)
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF && n > 0 {
			_, err = io.Copy(io.Discard, br) // what follows the end mark belongs to the upload
			return err
		}
		if err == io.EOF {
			return Invalid("the image archive is empty")
		}
		if err != nil {
			return archiveBroken(err)
		}
		if h.Typeflag == tar.TypeSymlink && strings.HasSuffix(h.Name, "/layer.tar") {
			a.layers[path.Clean(h.Name)] = layer{reason: "link:" + path.Join(path.Dir(h.Name), h.Linkname)}
		}
		if sparse(h) {
			return Invalid("the archive holds a sparse file, which no image has: %s", Printable(h.Name))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := a.part(path.Clean(h.Name), h.Size, t); err != nil {
			return err
		}
	}
}

// sparse is true for an entry that claims more bytes than the archive holds: reading it could take days.
func sparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func archiveBroken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return Invalid("the image archive is cut short; copy or download it again")
	}
	if errors.Is(err, tar.ErrHeader) {
		return Invalid("not an image archive (no tar file); save the image with `podman save` or `docker save`")
	}
	return fmt.Errorf("the image archive cannot be read: %w", err)
}

// part reads one file of the archive: small JSON is kept, everything else is hashed and looked through as a layer.
func (a *archiveReader) part(name string, size int64, r io.Reader) error {
	br := bufio.NewReaderSize(r, 64<<10)
	head, _ := br.Peek(1)
	if size <= maxMeta && len(head) == 1 && (head[0] == '{' || head[0] == '[') {
		b, err := io.ReadAll(br)
		if err != nil {
			return archiveBroken(err)
		}
		if a.held += size; a.held > maxMetas {
			return Invalid("the archive holds more than %d MiB of JSON, which no image has", maxMetas>>20)
		}
		a.metas[name] = b
		return nil
	}
	l, err := readLayer(br)
	if err != nil {
		return archiveBroken(err)
	}
	l.size = size
	a.layers[name] = l
	return nil
}

// readLayer hashes a layer and notes the first entry that must not be there.
func readLayer(br *bufio.Reader) (l layer, err error) {
	sum, diff := sha256.New(), sha256.New()
	magic, _ := br.Peek(4)
	raw := io.TeeReader(br, sum)
	plain := raw
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		if plain, err = gzip.NewReader(raw); err != nil {
			return l, err
		}
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		l.reason = "a layer is compressed with zstd, which cannot be checked here; save the image with `podman save --format docker-archive`"
	}
	if l.reason == "" {
		tee := io.TeeReader(plain, diff)
		l.reason = scanLayer(tee)
		if _, err := io.Copy(io.Discard, tee); err != nil {
			return l, err
		}
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return l, err
	}
	l.sum, l.diff = hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(diff.Sum(nil))
	return l, nil
}

func scanLayer(r io.Reader) string {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err != nil {
			return "" // the end, or no layer at all: digests decide
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink {
			for _, real := range mustBeReal {
				if name == real {
					return fmt.Sprintf("/%s is a link in the image; rebuild the image with a real file or directory there", name)
				}
			}
		}
	}
}

// docker checks the form that `docker save` writes.
func (a *archiveReader) docker(manifest []byte) (Archive, error) {
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(manifest, &list); err != nil {
		return Archive{}, Invalid("manifest.json cannot be read: %v", err)
	}
	if len(list) != 1 {
		return Archive{}, Invalid("the archive holds %d images; save one image per archive", len(list))
	}
	m := list[0]
	ref := ""
	if len(m.RepoTags) > 0 {
		ref = m.RepoTags[0]
	}
	return a.finish(a.metas[path.Clean(m.Config)], ref, m.Layers)
}

// oci checks the form of the OCI image layout.
func (a *archiveReader) oci(index []byte) (Archive, error) {
	m, ref, err := a.ociManifest(index, 0)
	if err != nil {
		return Archive{}, err
	}
	var names []string
	for _, l := range m.Layers {
		name := blobName(l.Digest)
		if "sha256:"+a.layers[name].sum != l.Digest {
			return Archive{}, Invalid("layer %s is missing or damaged in the archive; copy or download it again", Printable(l.Digest))
		}
		names = append(names, name)
	}
	config := a.metas[blobName(m.Config.Digest)]
	if digest(config) != m.Config.Digest {
		return Archive{}, Invalid("the image configuration is missing or damaged in the archive; copy or download it again")
	}
	return a.finish(config, ref, names)
}

type descriptor struct {
	MediaType   string
	Digest      string
	Annotations map[string]string
}

type ociManifest struct {
	Manifests []descriptor
	Config    descriptor
	Layers    []descriptor
}

func (a *archiveReader) ociManifest(index []byte, depth int) (m ociManifest, ref string, err error) {
	if err := json.Unmarshal(index, &m); err != nil {
		return m, "", Invalid("the image index cannot be read: %v", err)
	}
	if len(m.Manifests) == 0 && depth > 0 {
		return m, "", nil
	}
	if len(m.Manifests) != 1 || depth > 1 {
		return m, "", Invalid("the archive holds %d images; save one image for one platform per archive", len(m.Manifests))
	}
	d := m.Manifests[0]
	body := a.metas[blobName(d.Digest)]
	if digest(body) != d.Digest {
		return m, "", Invalid("the image manifest is missing or damaged in the archive; copy or download it again")
	}
	m, _, err = a.ociManifest(body, depth+1)
	return m, d.Annotations["org.opencontainers.image.ref.name"], err
}

func blobName(d string) string { return "blobs/" + strings.Replace(d, ":", "/", 1) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// finish compares every layer with the configuration.
func (a *archiveReader) finish(config []byte, ref string, names []string) (Archive, error) {
	var c struct {
		Architecture, OS string
		Rootfs           struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return Archive{}, Invalid("the image configuration is missing or cannot be read")
	}
	if len(c.Rootfs.DiffIDs) != len(names) || len(names) == 0 {
		return Archive{}, Invalid("the image lists %d layers and its configuration %d", len(names), len(c.Rootfs.DiffIDs))
	}
	out := Archive{ID: digest(config), Ref: ref, Arch: c.Architecture, Layers: len(names)}
	for i, name := range names {
		l, ok := a.layer(name)
		if !ok {
			return Archive{}, Invalid("layer %d is missing in the archive; copy or download it again", i+1)
		}
		if l.reason != "" {
			return Archive{}, Invalid("%s", l.reason)
		}
		if "sha256:"+l.diff != c.Rootfs.DiffIDs[i] {
			return Archive{}, Invalid("layer %d is damaged in the archive; copy or download it again", i+1)
		}
		out.Size += l.size
	}
	return out, nil
}

// layer follows the links that docker's old form uses for layers that repeat.
func (a *archiveReader) layer(name string) (layer, bool) {
	l, ok := a.layers[path.Clean(name)]
	if to, isLink := strings.CutPrefix(l.reason, "link:"); isLink {
		l, ok = a.layers[path.Clean(to)]
		ok = ok && !strings.HasPrefix(l.reason, "link:")
	}
	return l, ok
}
