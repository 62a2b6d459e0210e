package dataset

import (
	"context"
	"errors"
	"io"
	"path/filepath"

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
