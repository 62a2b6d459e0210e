package dataset

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"tresor/app/fault"
)

// taking is one version on its way in.
type taking struct {
	s    *Service
	ctx  context.Context
	in   Ingestion
	dir  string // final place
	done int64
}

// stage fills the staging folder and makes it durable.
func (g *taking) stage(next func() (Source, error), v *Version) error {
	staging := g.dir + stagingSuffix
	files := filepath.Join(staging, "files")
	if err := g.s.discard(staging); err != nil {
		return err
	}
	if err := g.makeFolders(staging, files); err != nil {
		return diskFault("dataset.stage", err)
	}
	for {
		src, err := next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = g.one(src, files, v)
		}
		if err != nil {
			return err
		}
	}
	if err := g.complete(v); err != nil {
		return err
	}
	return diskFault("dataset.stage", errors.Join(g.s.disk.sync(files), g.s.disk.sync(staging)))
}

func (g *taking) makeFolders(staging, files string) error {
	for _, dir := range []string{filepath.Dir(staging), staging, files} {
		if err := g.s.disk.mkdir(dir); err != nil {
			return err
		}
	}
	return g.s.disk.sync(g.s.Dir)
}

// complete checks what can only be checked when all files are there.
func (g *taking) complete(v *Version) error {
	if len(v.Files) == 0 {
		return fault.New("dataset.Ingest", fault.Invalid, "No file was sent. Send at least one CSV or TSV file.")
	}
	if t := g.in.Dictionary.unused(v.Tables); t != "" {
		return fault.New("dataset.Ingest", fault.Invalid, "The dictionary describes a table %q that no file became. Tables are named after their files: correct the dictionary or send the file.", t)
	}
	v.SHA256 = manifestHash(v.Files)
	return nil
}

// one takes in one source.
func (g *taking) one(src Source, dir string, v *Version) error {
	name, bad := fileName(src.Name)
	if bad == nil {
		bad = g.unique(name, v)
	}
	if bad != nil {
		return refuse(clip(src.Name), bad)
	}
	r, err := src.Open()
	if err != nil {
		return fault.Kinded("dataset.Ingest", fault.Unavailable, err, "The file %s cannot be read. Send it again.", name)
	}
	defer r.Close()
	f, t, err := g.copy(name, filepath.Join(dir, name), r)
	if err != nil {
		return err
	}
	v.Files, v.Tables = append(v.Files, f), append(v.Tables, t)
	v.Rows, v.Bytes = v.Rows+t.Rows, v.Bytes+f.Size
	return nil
}

func (g *taking) unique(name string, v *Version) *flaw {
	if len(v.Files) == MaxFiles {
		return flawed(0, "Send fewer files in one version.", "a version has at most %d files", MaxFiles)
	}
	for i, f := range v.Files {
		if strings.EqualFold(f.Name, name) {
			return flawed(0, "Rename one of them.", "two files have this name")
		}
		if v.Tables[i].Name == tableName(name) {
			return flawed(0, "Rename one of them.", "its table would be named %q, as that of %s", tableName(name), f.Name)
		}
	}
	return nil
}

func refuse(file string, bad *flaw) error {
	return fault.WithNext(fault.New("dataset.Ingest", fault.Invalid, "%s", bad.message(file)), "%s", bad.next)
}

// copy writes, hashes and profiles one file, and makes its bytes durable.
func (g *taking) copy(name, path string, r io.Reader) (File, Table, error) {
	out, err := g.s.disk.create(path)
	if err != nil {
		return File{}, Table{}, diskFault("dataset.copy", err)
	}
	in := &intake{name: name, dict: g.in.Dictionary, out: out, moved: g.moved}
	f, t, bad, err := in.run(g.ctx, sourceReader{r, name})
	if err == nil && bad == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if bad != nil {
		return f, t, refuse(name, bad)
	}
	var broken *fault.Error
	if errors.As(err, &broken) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return f, t, err
	}
	return f, t, diskFault("dataset.copy", err)
}

func (g *taking) moved(n int64) {
	if g.done += n; g.in.Progress != nil {
		g.in.Progress(g.done, g.in.Total)
	}
}

// sourceReader tells trouble with the sender from trouble with our disk.
type sourceReader struct {
	r    io.Reader
	name string
}

func (s sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = fault.Kinded("dataset.Ingest", fault.Unavailable, err, "The file %s broke off before its end, so nothing of this version was kept. Send it again.", s.name)
	}
	return n, err
}
