package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/store"
	"tresor/app/tree"
)

// ProjectPath begins the addresses of the project's own files for programs inside:
// GET http://tes.local/project/<path> is what file:///project/<path> names in a task.
const ProjectPath = "/project/"

// MaxInsideFile bounds one file that a program inside puts into the project's tree, in
// bytes. A connection out of a container carries little more (sandbox/podman).
const MaxInsideFile = 200 << 20

// mostFiles is how many files one job reads and writes at a time: what is on its way
// in lies on the disk before it is counted.
const mostFiles = 4

// Listing is a folder of the project's tree, as a program inside sees it.
type Listing struct {
	Files []tree.File `json:"files"`
	Next  string      `json:"next,omitempty"` // give it as ?after= for the rest
}

// projectFiles gives a program inside the files of its own project, so that a workflow
// can hand files to the tasks that it makes and read what they left: GET and HEAD of
// a file, GET of a folder (with a slash at its end), PUT of a file. Nothing of it
// leaves the project: bytes come from its tree and go to it.
func (s *Service) projectFiles(w http.ResponseWriter, r *http.Request, who Caller) {
	leave, err := s.slots.enter("files:"+who.ID, mostFiles)
	if err == nil {
		defer leave()
		err = s.projectFile(w, r, who, strings.TrimPrefix(r.URL.Path, ProjectPath))
	}
	if err != nil {
		s.turnAway(r.Context(), who, err)
		writeBody(w, r, problem(err, who.Correlation))
	}
}

func (s *Service) projectFile(w http.ResponseWriter, r *http.Request, who Caller, path string) error {
	switch {
	case s.Tree == nil:
		return refuse(CodeNotFound, fault.NotFound, "Check the address.", "This server keeps no files of projects.")
	case r.Method == http.MethodPut:
		return s.putFile(w, r, who, path)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		return refuse(CodeMethod, fault.Invalid, "Use GET, HEAD or PUT.", "Files of a project are read and written, nothing else.")
	case path == "" || strings.HasSuffix(path, "/"):
		return s.listFiles(w, r, who, strings.Trim(path, "/"))
	}
	return s.getFile(w, r, who, path)
}

// visit runs f in the view of a program inside: its project, and which files are there for it.
func (s *Service) visit(ctx context.Context, who Caller, f func(tx *store.Tx, l lent, sees func(*store.Tx, tree.File) (bool, error)) error) error {
	p, err := s.party(ctx, who)
	if err != nil {
		return err
	}
	o := &order{p: p, l: p.lent[0], who: who}
	sees := o.sees()
	if sees == nil {
		sees = func(*store.Tx, tree.File) (bool, error) { return true, nil }
	}
	return s.DB.View(ctx, func(tx *store.Tx) error { return f(tx, o.l, sees) })
}

func (s *Service) getFile(w http.ResponseWriter, r *http.Request, who Caller, path string) error {
	var f tree.File
	err := s.visit(r.Context(), who, func(tx *store.Tx, l lent, sees func(*store.Tx, tree.File) (bool, error)) error {
		clean, err := tree.Clean(path)
		if err != nil {
			return err
		}
		if f, err = s.Tree.Stat(tx, l.project.ID, clean); err != nil {
			return err
		}
		if ok, err := sees(tx, f); err != nil || !ok {
			return firstError(err, tree.Missing(clean))
		}
		return nil
	})
	if err != nil {
		return err
	}
	content, err := s.Tree.Content(f)
	if err != nil {
		return err
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+f.SHA256+`"`)
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) listFiles(w http.ResponseWriter, r *http.Request, who Caller, folder string) error {
	out := Listing{Files: []tree.File{}}
	err := s.visit(r.Context(), who, func(tx *store.Tx, l lent, sees func(*store.Tx, tree.File) (bool, error)) error {
		all, err := s.Tree.List(tx, l.project.ID, folder, r.URL.Query().Get("after"), tree.MaxPage)
		if err != nil {
			return err
		}
		for _, f := range all {
			ok, err := sees(tx, f)
			if err != nil {
				return err
			}
			if ok {
				out.Files = append(out.Files, f)
			}
		}
		if len(all) == tree.MaxPage {
			out.Next = all[len(all)-1].Path
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(out)
}

// putFile keeps a file in the project's tree: the bytes first, then the row that
// names them. What was there before is replaced if the program's job may do that.
func (s *Service) putFile(w http.ResponseWriter, r *http.Request, who Caller, path string) error {
	clean, err := tree.Clean(path)
	if err == nil && strings.HasSuffix(path, "/") {
		err = malformed("A folder is made by the files in it. Name a file.")
	}
	if err != nil {
		return err
	}
	p, err := s.party(r.Context(), who)
	if err != nil {
		return err
	}
	l := p.lent[0]
	if err := firstError(p.barred, l.ready(s.Now())); err != nil {
		return err
	}
	most, err := s.mayPut(r, p, l)
	if err != nil {
		return err
	}
	blob, err := s.Vault.Put(r.Context(), r.Body, most)
	s.puts.spent(p.counts[0].key, max(blob.Size, 0))
	if err != nil {
		return err
	}
	f := tree.File{Path: clean, SHA256: blob.SHA256, Size: blob.Size}
	err = s.DB.Update(r.Context(), func(tx *store.Tx) error {
		j, err := s.Jobs.Find(tx, who.ID)
		if err != nil {
			return err
		}
		if !j.State.Active() {
			return unknown()
		}
		if err := s.replaceable(tx, j, l.project.ID, clean); err != nil {
			return err
		}
		return s.Tree.Put(tx, l.actor, l.project.ID, j.ID, []tree.File{f})
	})
	if err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+f.SHA256+`"`)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// mayPut answers how many bytes a file may have, before any of it is read: what the
// job may still put, and what the project's quota leaves. Errors: Exhausted.
func (s *Service) mayPut(r *http.Request, p *party, l lent) (int64, error) {
	most, err := s.puts.take(p.counts[0].key, s.Now())
	if err != nil {
		return 0, err
	}
	var used int64
	if err := s.DB.View(r.Context(), func(tx *store.Tx) error {
		used, err = s.Tree.Usage(tx, l.project.ID)
		return err
	}); err != nil {
		return 0, err
	}
	if free := s.Tree.Quota - used; free < most {
		most = max(free, 0)
	}
	if r.ContentLength > most {
		return 0, refuse(CodeQuota, fault.Exhausted, "Put a smaller file, or ask the lead to erase files of the project.", "The file has %d bytes, and %d may be put now.", r.ContentLength, most)
	}
	return most, nil
}

func (s *Service) replaceable(tx *store.Tx, j job.Job, project, path string) error {
	old, err := s.Tree.Stat(tx, project, path)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if j.Via == "" { // a local job whose program writes: its members may do that themselves
		return nil
	}
	return s.MayReplace(tx, j, old)
}
