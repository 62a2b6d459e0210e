package job

import (
	"encoding/json"
	"sort"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/app/tree"
)

// OutputsOf returns every file that a job's Wants became, by path in the
// container; several Wants of one file give several entries. A job without Wants
// answers its outputs without targets.
func (s *Service) OutputsOf(tx *store.Tx, id string) ([]Found, error) {
	const op = "job.OutputsOf"
	wants, err := loadWants(tx, id)
	if err != nil {
		return nil, err
	}
	list, err := s.Outputs.ListByJob(tx, id)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	found := []Found{}
	for _, o := range list {
		f := Found{Path: output.Folder + "/" + o.Path, Size: o.Size, SHA256: o.SHA256, Output: o.ID, State: o.State}
		if len(wants) == 0 {
			found = append(found, f)
			continue
		}
		f.Path = "/" + o.Path
		for _, w := range wants {
			if rest, ok := w.covers(f.Path); ok && w.Tree == "" {
				f.Target = behind(w.Target, rest)
				found = append(found, f)
			}
		}
	}
	kept, err := loadKept(tx, id)
	found = append(found, kept...)
	sort.SliceStable(found, func(i, k int) bool { return found[i].Path < found[k].Path })
	return found, fault.Wrap(op, err)
}

func loadWants(tx *store.Tx, id string) ([]WantInfo, error) {
	var text string
	err := tx.QueryRow(`SELECT wants FROM job WHERE id = ?`, id).Scan(&text)
	if store.NotFound(err) {
		return nil, fault.New("job.OutputsOf", fault.NotFound, access.NotSeen)
	}
	if err != nil {
		return nil, fault.Wrap("job.OutputsOf", err)
	}
	var wants []WantInfo
	return wants, fault.Wrap("job.OutputsOf", json.Unmarshal([]byte(text), &wants))
}

func loadKept(tx *store.Tx, id string) ([]Found, error) {
	rows, err := tx.Query(`SELECT path, target, sha256, size FROM job_kept WHERE job = ? ORDER BY path, tree, target`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Found
	for rows.Next() {
		f := Found{Tree: true}
		if err := rows.Scan(&f.Path, &f.Target, &f.SHA256, &f.Size); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, rows.Err()
}

// keep writes what stays inside into the project's tree and notes it with the job.
func (s *Service) keep(tx *store.Tx, j *Job, taken []output.Taken) error {
	var files []tree.File
	for _, t := range taken {
		for _, w := range j.Wants {
			rest, ok := w.covers(t.Path)
			if !ok || w.Tree == "" {
				continue
			}
			files = append(files, tree.File{Path: behind(w.Tree, rest), SHA256: t.SHA256, Size: t.Size})
			_, err := tx.Exec(`INSERT OR REPLACE INTO job_kept (job, path, tree, target, sha256, size) VALUES (?, ?, ?, ?, ?, ?)`,
				j.ID, t.Path, behind(w.Tree, rest), behind(w.Target, rest), t.SHA256, t.Size)
			if err != nil {
				return fault.Wrap("job.keep", err)
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	if err := s.mayReplace(tx, *j, files); err != nil {
		return err
	}
	return s.Tree.Put(tx, access.System, j.Project, j.ID, files)
}

// mayReplace asks for each path at which there is a file already.
func (s *Service) mayReplace(tx *store.Tx, j Job, files []tree.File) error {
	if s.MayReplace == nil {
		return nil
	}
	for _, f := range files {
		old, err := s.Tree.Stat(tx, j.Project, f.Path)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			continue
		}
		if err == nil {
			err = s.MayReplace(tx, j, old)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetKept takes back the notes of keep when the tree took nothing.
func forgetKept(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM job_kept WHERE job = ?`, id)
	return fault.Wrap("job.keep", err)
}
