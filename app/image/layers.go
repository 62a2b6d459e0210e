package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"tresor/app/fault"
	"tresor/sandbox"
)

// check reads the configuration and every layer.
func (a *archive) check(c candidate, arch string) (report, error) {
	var conf struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	b, err := a.json(c.config, &conf)
	if err != nil {
		return report{}, err
	}
	r := report{ref: c.ref, config: fmt.Sprintf("sha256:%x", sha256.Sum256(b))}
	if c.named && path.Base(c.config) != strings.TrimPrefix(r.config, "sha256:") {
		return r, changed(c.config)
	}
	switch {
	case conf.OS != "linux" || conf.Architecture != arch:
		return r, bad("The image is for %s/%s, this host is linux/%s. Save the image for this architecture.", clip(conf.OS), clip(conf.Architecture), arch)
	case len(c.layers) == 0 || len(c.layers) > maxLayers:
		return r, bad("The image has %d layers; one to %d are accepted.", len(c.layers), maxLayers)
	case len(conf.RootFS.DiffIDs) != len(c.layers):
		return r, bad("The configuration of the image names %d layers, the archive holds %d. Save the image again.", len(conf.RootFS.DiffIDs), len(c.layers))
	}
	for i, name := range c.layers {
		n, err := a.layer(c, i, conf.RootFS.DiffIDs[i])
		if err != nil {
			return r, fault.Wrap("image.layer "+sandbox.Printable(name), err)
		}
		r.setuid += n
	}
	return r, nil
}

// layer reads one layer to its end and compares its hashes.
func (a *archive) layer(c candidate, i int, diffID string) (setuid int, err error) {
	name := c.layers[i]
	raw, size, err := a.open(name)
	if err != nil {
		return 0, err
	}
	if c.sizes != nil && c.sizes[i] != size {
		return 0, bad("A layer has %d bytes where the manifest says %d: the archive is damaged. Save the image again.", size, c.sizes[i])
	}
	outer, inner := sha256.New(), sha256.New()
	packed := io.TeeReader(raw, outer)
	data, err := unpacked(packed)
	if err != nil {
		return 0, err
	}
	bounded := &budget{r: data, left: &a.left}
	setuid, err = a.entriesOf(io.TeeReader(bounded, inner))
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, packed); err != nil { // gzip stops before the last bytes
		return 0, tarFault(a.ctx, err)
	}
	if got := hexOf(inner); "sha256:"+got != diffID {
		return 0, bad("A layer does not have the hash that the configuration says: the archive is damaged or was changed. Save the image again.")
	}
	if c.named && hexOf(outer) != path.Base(name) {
		return 0, changed(name)
	}
	return setuid, nil
}

func hexOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// unpacked undoes the compression of a layer.
func unpacked(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<18)
	head, _ := b.Peek(4)
	switch {
	case strings.HasPrefix(string(head), "\x1f\x8b"):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fault.Kinded("image.Import", fault.Invalid, err, "A layer is damaged: its gzip header cannot be read. Save the image again.")
		}
		return z, nil
	case string(head) == "\x28\xb5\x2f\xfd":
		return nil, bad("A layer is compressed with zstd, which cannot be looked through here. Save the image with gzip: `podman save --format oci-archive`.")
	}
	return b, nil
}

// budget stops a layer that unpacks to more than is left.
type budget struct {
	r    io.Reader
	left *int64
}

func (b *budget) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if *b.left -= int64(n); *b.left < 0 {
		return n, fault.New("image.Import", fault.Exhausted, "The image unpacks to more than is accepted. Make a smaller image.")
	}
	return n, err
}

// entriesOf walks the entries of a layer and reads what follows the last one.
func (a *archive) entriesOf(r io.Reader) (setuid int, err error) {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err := a.layerFault(err); err != nil {
			return 0, err
		}
		if a.entries--; a.entries < 0 {
			return 0, bad("The image holds more than %d files. Make a smaller image.", maxEntries)
		}
		if err := checkEntry(h); err != nil {
			return 0, err
		}
		if h.Typeflag == tar.TypeReg && h.Mode&0o6000 != 0 {
			setuid++
		}
	}
	_, err = io.Copy(io.Discard, r)
	return setuid, a.layerFault(err)
}

// layerFault lets our own refusals through.
func (a *archive) layerFault(err error) error {
	if err != nil && fault.KindOf(err) == fault.Exhausted {
		return err
	}
	return tarFault(a.ctx, err)
}

// kept are the places where the sandbox mounts or reads something: a link there
// would lead it elsewhere.
var kept = map[string]bool{
	".": true, "data": true, "dev": true, "etc": true, "etc/group": true, "etc/passwd": true, "in": true, "proc": true,
	"run": true, "run/tresor": true, "sys": true, "tmp": true, "work": true,
}

// checkEntry refuses what has no place in an image.
func checkEntry(h *tar.Header) error {
	name := sandbox.Printable(h.Name)
	switch {
	case strings.HasPrefix(h.Name, "/"):
		return bad("A layer holds the absolute name %q. Build the image with a common tool, such as podman build.", name)
	case climbs(h.Name):
		return bad("A layer holds the name %q, which leads out of the image. Do not use this image.", name)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeLink:
		if climbs(h.Linkname) {
			return bad("A layer holds a hard link %q that leads out of the image. Do not use this image.", name)
		}
		return notKept(h, name)
	case tar.TypeSymlink:
		return notKept(h, name)
	}
	return bad("A layer holds the device, pipe or special file %q. Remove it from the image.", name)
}

func notKept(h *tar.Header, name string) error {
	if kept[path.Clean(h.Name)] {
		return bad("A layer makes /%s a link. The sandbox needs a real file or folder there: change the image.", strings.TrimPrefix(name, "./"))
	}
	return nil
}

// climbs reports whether a name has a ".." element.
func climbs(name string) bool {
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}
