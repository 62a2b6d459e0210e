package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

// EnsureBuiltin makes the image tresor/sql from the program at exe, unless the
// engine holds exactly it already, and approves it as the system. A decision of
// an operator to revoke it stands. Older built-in images are removed from the
// engine when nothing uses them. progress is that of warming and may be nil.
func (s *Service) EnsureBuiltin(ctx context.Context, exe string, progress func(done, total int64)) (Image, error) {
	const op = "image.EnsureBuiltin"
	plan, err := planBuiltin(exe, s.Arch)
	if err != nil {
		return Image{}, fault.Kinded(op, fault.Internal, err, "The built-in image cannot be made from this program.")
	}
	i, err := s.currentBuiltin(ctx, op, plan.id())
	if err != nil || i.State == Approved || i.State == Revoked {
		return i, err
	}
	loaded, err := s.loadBuiltin(ctx, plan)
	if err != nil {
		return Image{}, engineFault(op, err)
	}
	if i, err = s.keep(ctx, op, access.System, loaded, Image{Ref: BuiltinRef, Source: Builtin}); err != nil || i.State != Imported {
		return i, err
	}
	if err := s.Images.Warm(ctx, i.ID, progress); err != nil {
		return Image{}, engineFault(op, err)
	}
	if i, err = s.record(ctx, op, access.System, i, Approved, "Built in: made from this program."); err != nil {
		return i, err
	}
	return i, s.dropOlder(ctx, i)
}

// currentBuiltin returns the record of the image if the engine holds it, and
// one without a state otherwise.
func (s *Service) currentBuiltin(ctx context.Context, op, id string) (Image, error) {
	held, err := s.Images.Inspect(ctx, id)
	if errors.Is(err, sandbox.ErrAbsent) {
		return Image{}, nil
	}
	if err != nil {
		return Image{}, engineFault(op, err)
	}
	var i Image
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		list, err := find(tx, id)
		for _, x := range list {
			if x.Digest == held.Digest && x.Source == Builtin {
				i = x
			}
		}
		return err
	})
	return i, fault.Wrap(op, err)
}

// dropOlder removes the engine's copies of built-in images of older programs.
func (s *Service) dropOlder(ctx context.Context, now Image) error {
	var list []Image
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		list, err = find(tx, BuiltinRef)
		return err
	})
	for _, i := range list {
		if err != nil {
			break
		}
		if i.ID == now.ID || i.State == Missing || i.Source != Builtin {
			continue
		}
		if s.Images.RemoveImage(ctx, i.ID) != nil {
			continue // a job still uses it: next time
		}
		err = s.DB.Update(ctx, func(tx *store.Tx) error { return s.mark(tx, i, false) })
	}
	return fault.Wrap("image.dropOlder", err)
}

// plan is a built-in image before it is written: everything but the program's
// bytes is known, so the archive can be streamed.
type plan struct {
	exe    string
	size   int64
	layer  string // hex SHA-256 of the layer
	config []byte
}

// epoch is the time of everything in the image, so that the same program makes
// the same bytes.
var epoch = time.Unix(0, 0).UTC()

func planBuiltin(exe, arch string) (plan, error) {
	p := plan{exe: exe}
	info, err := os.Stat(exe)
	if err != nil {
		return p, err
	}
	p.size = info.Size()
	h := sha256.New()
	if err := p.writeLayer(h); err != nil {
		return p, err
	}
	p.layer = hex.EncodeToString(h.Sum(nil))
	p.config, err = json.Marshal(builtinConfig(arch, p.layer))
	return p, err
}

// id is what the engine calls the image: the hash of its configuration.
func (p plan) id() string { return fmt.Sprintf("sha256:%x", sha256.Sum256(p.config)) }

func builtinConfig(arch, layer string) any {
	at := epoch.Format(time.RFC3339)
	return map[string]any{
		"architecture": arch,
		"os":           "linux",
		"created":      at,
		"config": map[string]any{
			"User":       "1000:1000",
			"WorkingDir": "/work",
			"Env":        []string{"PATH=/"},
			"Cmd":        []string{"/tresor", "sql"},
			"Labels":     map[string]string{"org.opencontainers.image.title": BuiltinRef},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layer}},
		"history": []map[string]string{{"created": at, "created_by": "tresor"}},
	}
}

// loadBuiltin streams the archive into the engine.
func (s *Service) loadBuiltin(ctx context.Context, p plan) (sandbox.Image, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(p.writeArchive(w)) }()
	loaded, err := s.Images.Load(ctx, r)
	_ = r.Close() // ends the writer when the engine did not read everything
	if err == nil && loaded.ID != p.id() {
		err = sandbox.Invalid("the engine loaded %s instead of %s", loaded.ID, p.id())
	}
	return loaded, err
}

// writeArchive writes a docker archive: configuration and manifest first.
func (p plan) writeArchive(w io.Writer) error {
	config, layer := p.id()[len("sha256:"):]+".json", p.layer+".tar"
	manifest, err := json.Marshal([]map[string]any{{"Config": config, "RepoTags": []string{"localhost/" + BuiltinRef + ":builtin"}, "Layers": []string{layer}}})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, e := range []struct {
		name string
		b    []byte
	}{{config, p.config}, {"manifest.json", manifest}} {
		if err := putFile(t, e.name, 0o644, int64(len(e.b)), bytes.NewReader(e.b)); err != nil {
			return err
		}
	}
	if err := t.WriteHeader(header(layer, 0o644, p.layerSize(), 0)); err != nil {
		return err
	}
	if err := p.writeLayer(t); err != nil {
		return err
	}
	return t.Close()
}

// scaffold is every folder and small file of the image, sorted. /work belongs to
// the user of the container: a new scratch volume takes over its owner and mode.
var scaffold = []struct {
	name string
	mode int64
	uid  int
	text string // of a file; folders end with '/'
}{
	{name: "./", mode: 0o755},
	{name: "data/", mode: 0o755},
	{name: "dev/", mode: 0o755},
	{name: "etc/", mode: 0o755},
	{name: "etc/group", mode: 0o644, text: "root:x:0:\ntresor:x:1000:\n"},
	{name: "etc/passwd", mode: 0o644, text: "root:x:0:0:root:/:/none\ntresor:x:1000:1000:tresor:/work:/none\n"},
	{name: "in/", mode: 0o755},
	{name: "proc/", mode: 0o755},
	{name: "run/", mode: 0o755},
	{name: "run/tresor/", mode: 0o755},
	{name: "sys/", mode: 0o755},
	{name: "tmp/", mode: 0o1777},
	{name: "work/", mode: 0o755, uid: 1000},
}

// blocksOf is the bytes that a tar entry of this size takes without its header.
func blocksOf(size int64) int64 { return (size + 511) / 512 * 512 }

// layerSize is what writeLayer writes: a header for every entry, the contents in
// whole blocks, and two empty blocks.
func (p plan) layerSize() int64 {
	n := int64(512 + 1024)
	for _, e := range scaffold {
		n += 512 + blocksOf(int64(len(e.text)))
	}
	return n + blocksOf(p.size)
}

func (p plan) writeLayer(w io.Writer) error {
	t := tar.NewWriter(w)
	for _, e := range scaffold {
		h := header(e.name, e.mode, int64(len(e.text)), e.uid)
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(t, e.text); err != nil {
			return err
		}
	}
	f, err := os.Open(p.exe)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := putFile(t, "tresor", 0o755, p.size, f); err != nil {
		return err
	}
	return t.Close()
}

func putFile(t *tar.Writer, name string, mode, size int64, r io.Reader) error {
	if err := t.WriteHeader(header(name, mode, size, 0)); err != nil {
		return err
	}
	n, err := io.Copy(t, io.LimitReader(r, size))
	if err == nil && n != size {
		err = fmt.Errorf("%s changed while it was read", name)
	}
	return err
}

func header(name string, mode, size int64, uid int) *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size, Uid: uid, Gid: uid, ModTime: epoch, Format: tar.FormatUSTAR}
	if name[len(name)-1] == '/' {
		h.Typeflag = tar.TypeDir
	}
	return h
}
