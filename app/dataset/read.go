package dataset

import (
	"context"
	"path/filepath"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
)

// Get returns a dataset by id or slug as the actor may see it. One that is not
// visible is fault.NotFound, as if it did not exist.
func (s *Service) Get(ctx context.Context, actor access.Actor, idOrSlug string) (Dataset, error) {
	var d Dataset
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if d, err = s.Lookup(tx, idOrSlug); err == nil && !d.show(actor) {
			err = notFound(idOrSlug)
		}
		return err
	})
	if err != nil {
		return Dataset{}, fault.Wrap("dataset.Get", err)
	}
	return d, nil
}

// List returns the datasets that the actor may see, by name, each with its
// latest version only.
func (s *Service) List(ctx context.Context, actor access.Actor) ([]Dataset, error) {
	list := []Dataset{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		ids, err := allIDs(tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			d, err := s.Lookup(tx, id)
			if err != nil {
				return err
			}
			d.Versions = d.Versions[:min(1, len(d.Versions))]
			if d.show(actor) {
				list = append(list, d)
			}
		}
		return nil
	})
	return list, fault.Wrap("dataset.List", err)
}

func allIDs(tx *store.Tx) ([]string, error) {
	rows, err := tx.Query(`SELECT id FROM dataset ORDER BY name COLLATE NOCASE, id`)
	if err != nil {
		return nil, err
	}
	var ids []string
	return ids, each(rows, func() error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
}

// show reports whether the actor sees the dataset at all, and takes away what
// they must not see: the profile derives from values, and other projects' use
// is not a member's business.
func (d *Dataset) show(actor access.Actor) bool {
	thing := access.Thing{Projects: d.Projects}
	if !access.Can(actor, access.DatasetRead, thing) {
		return false
	}
	if !access.Can(actor, access.DatasetValues, thing) {
		for i := range d.Versions {
			d.Versions[i].hideValues()
		}
	}
	seen := []string{}
	for _, p := range d.Projects {
		if access.Can(actor, access.ProjectRead, access.Thing{Project: p}) {
			seen = append(seen, p)
		}
	}
	d.Projects = seen
	return true
}

func (v *Version) hideValues() {
	for i := range v.Tables {
		cols := v.Tables[i].Columns
		for j := range cols {
			cols[j].Nulls, cols[j].Distinct, cols[j].DistinctMore, cols[j].Min, cols[j].Max = 0, 0, false, "", ""
		}
	}
}

// Named is how project shows a dataset; it resolves an id or a slug.
func (s *Service) Named(tx *store.Tx, idOrSlug string) (project.Named, error) {
	var n project.Named
	err := tx.QueryRow(`SELECT id, slug, name, latest FROM dataset WHERE id = ? OR slug = ?`, idOrSlug, idOrSlug).Scan(&n.ID, &n.Slug, &n.Name, &n.Version)
	if store.NotFound(err) {
		return n, notFound(idOrSlug)
	}
	return n, fault.Wrap("dataset.Named", err)
}

// MountFor returns what a job of the project gets of a dataset: version 0 means
// the latest. It refuses a dataset that is not granted (fault.Denied), has no
// version or is retired (fault.Conflict), or is not ready yet (fault.Unavailable).
func (s *Service) MountFor(tx *store.Tx, projectID, idOrSlug string, version int) ([]Mount, error) {
	const op = "dataset.MountFor"
	d, err := s.Lookup(tx, idOrSlug)
	if err != nil {
		return nil, err
	}
	if !contains(d.Projects, projectID) {
		return nil, fault.New(op, fault.Denied, "The dataset %s is not granted to this project. Ask a data steward for it.", d.Slug)
	}
	if d.State == Retired {
		return nil, fault.New(op, fault.Conflict, "The dataset %s is retired. Ask a data steward which dataset replaces it.", d.Slug)
	}
	v, err := d.version(op, version)
	if err != nil {
		return nil, err
	}
	switch v.Presentation {
	case Building:
		return nil, fault.New(op, fault.Unavailable, "Version %d of the dataset %s is still being prepared%s. Try again in a moment.", v.N, d.Slug, s.percent(v))
	case Failed:
		return nil, fault.New(op, fault.Unavailable, "Version %d of the dataset %s could not be prepared for queries. Its files are safe: an operator frees disk space and restarts the server, which tries again.", v.N, d.Slug)
	}
	dir, err := filepath.Abs(versionDir(s.Dir, d.ID, v.N))
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	return []Mount{{Source: dir, Target: "/data/" + d.Slug, DatasetID: d.ID, Slug: d.Slug, Version: v.N, SHA256: v.SHA256}}, nil
}

func (d Dataset) version(op string, n int) (Version, error) {
	if len(d.Versions) == 0 {
		return Version{}, fault.New(op, fault.Conflict, "The dataset %s has no version yet. Ask a data steward to ingest its files.", d.Slug)
	}
	for _, v := range d.Versions {
		if n == 0 || v.N == n {
			return v, nil
		}
	}
	return Version{}, fault.New(op, fault.NotFound, "The dataset %s has no version %d. The latest is %d.", d.Slug, n, d.Latest)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
