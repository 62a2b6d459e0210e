package dataset

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

const stagingSuffix = ".staging"

// Ingest adds a version made of the sources, each of which becomes one table.
// The version is durable before its presentation is built; Ingest returns when
// both are done. If ctx ends between the two, the version is returned with its
// presentation still building.
func (s *Service) Ingest(ctx context.Context, actor access.Actor, idOrSlug string, sources []Source, in Ingestion) (Version, error) {
	for _, src := range sources {
		if in.Total += src.Size; src.Size < 0 {
			in.Total = 0
			break
		}
	}
	i := 0
	return s.IngestStream(ctx, actor, idOrSlug, func() (Source, error) {
		if i++; i > len(sources) {
			return Source{}, io.EOF
		}
		return sources[i-1], nil
	}, in)
}

// IngestStream is Ingest for sources that arrive one after the other: next
// returns io.EOF after the last one, and is called when the source before it
// has been read and closed.
func (s *Service) IngestStream(ctx context.Context, actor access.Actor, idOrSlug string, next func() (Source, error), in Ingestion) (Version, error) {
	v, err := s.Take(ctx, actor, idOrSlug, next, in)
	if err != nil {
		return Version{}, err
	}
	state, err := s.Await(ctx, v.DatasetID, v.N)
	v.Presentation = state
	return v, err
}

// Take is IngestStream without waiting for the presentation: when it returns,
// the files are durable, verified and profiled, and the presentation builds.
func (s *Service) Take(ctx context.Context, actor access.Actor, idOrSlug string, next func() (Source, error), in Ingestion) (Version, error) {
	const op = "dataset.Ingest"
	d, err := s.mayTake(ctx, op, actor, idOrSlug, in)
	if err != nil {
		return Version{}, err
	}
	defer s.letGo(d.ID)
	g := &taking{s: s, ctx: ctx, in: in, dir: versionDir(s.Dir, d.ID, d.Latest+1)}
	v := Version{DatasetID: d.ID, N: d.Latest + 1, Presentation: Building, Note: in.Note, CreatedBy: actor.Name}
	if err := g.stage(next, &v); err != nil {
		return Version{}, errors.Join(fault.Wrap(op, err), s.discard(g.dir+stagingSuffix))
	}
	if err := s.settle(ctx, actor, g.dir, &v); err != nil {
		return Version{}, fault.Wrap(op, err)
	}
	s.build(v)
	return v, nil
}

// mayTake checks everything that can be checked before a byte is read, and locks
// the dataset against a second ingest.
func (s *Service) mayTake(ctx context.Context, op string, actor access.Actor, idOrSlug string, in Ingestion) (Dataset, error) {
	if err := access.May(actor, access.DatasetIngest, access.Thing{}); err != nil {
		return Dataset{}, err
	}
	if len([]rune(in.Note)) > 2000 || unprintable(in.Note) {
		return Dataset{}, fault.New(op, fault.Invalid, "The note is longer than 2,000 characters or holds control characters. Correct it.")
	}
	if err := in.Dictionary.check(op); err != nil {
		return Dataset{}, err
	}
	var d Dataset
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if d, err = s.Lookup(tx, idOrSlug); err == nil && d.State == Retired {
			err = fault.New(op, fault.Conflict, "The dataset %s is retired and takes no new version. Reactivate it first.", d.Slug)
		}
		if err == nil {
			err = s.lock(op, d)
		}
		return err
	})
	return d, fault.Wrap(op, err)
}

// lock is taken inside the transaction that read Latest, so nobody else has
// used the next number in between.
func (s *Service) lock(op string, d Dataset) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taking[d.ID] {
		return fault.New(op, fault.Conflict, "Another version of the dataset %s is being ingested now. Wait until it is done.", d.Slug)
	}
	s.taking[d.ID] = true
	return nil
}

func (s *Service) letGo(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taking, id)
}

func (s *Service) discard(dir string) error { return diskFault("dataset.discard", s.disk.remove(dir)) }

// settle renames the staged folder to its place and records the version. If the
// record fails the folder is removed again; if that fails too, or the process
// dies in between, the next Open sweeps it.
func (s *Service) settle(ctx context.Context, actor access.Actor, dir string, v *Version) error {
	err := s.disk.rename(dir+stagingSuffix, dir)
	if err == nil {
		err = s.disk.sync(filepath.Dir(dir))
	}
	if err != nil {
		return errors.Join(diskFault("dataset.settle", err), s.discard(dir+stagingSuffix), s.discard(dir))
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		v.CreatedAt = tx.Now()
		if err := insertVersion(tx, *v, actor); err != nil {
			return err
		}
		return s.note(tx, actor, "dataset.ingested", v.DatasetID, "version", itoa(v.N), "sha256", v.SHA256,
			"files", itoa(len(v.Files)), "rows", i64(v.Rows), "bytes", i64(v.Bytes))
	})
	if err != nil && !s.recorded(*v) {
		return errors.Join(err, s.discard(dir))
	}
	return err
}

// recorded reports whether the row is there in spite of an error. When that
// cannot be known the folder stays: the next Open decides.
func (s *Service) recorded(v Version) bool {
	there := true
	err := s.DB.View(context.Background(), func(tx *store.Tx) error {
		var n int
		err := tx.QueryRow(`SELECT count(*) FROM dataset_version WHERE dataset = ? AND n = ?`, v.DatasetID, v.N).Scan(&n)
		there = n > 0
		return err
	})
	return there || err != nil
}

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
