package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tresor/app/fault"
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
// a file, GET of a folder (with a slash at its end), PUT of a file, POST of many files
// to a folder. Nothing of it leaves the project: bytes come from its tree and go to it.
func (s *Service) projectFiles(w http.ResponseWriter, r *http.Request, who Caller) {
	leave, err := s.slots.enter("files:"+who.ID, mostFiles)
	if err == nil {
		defer leave()
		err = s.projectFile(w, r, who, strings.TrimPrefix(r.URL.Path, ProjectPath))
	}
	if err != nil {
		s.turnAway(w, r, who, err)
	}
}

func (s *Service) projectFile(w http.ResponseWriter, r *http.Request, who Caller, path string) error {
	switch {
	case s.Tree == nil:
		return refuse(CodeNotFound, fault.NotFound, "Check the address.", "This server keeps no files of projects.")
	case r.Method == http.MethodPut:
		return s.putFile(w, r, who, path)
	case r.Method == http.MethodPost:
		return s.postFiles(w, r, who, path)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, POST, PUT")
		return refuse(CodeMethod, fault.Invalid, "Use GET, HEAD, PUT or POST.", "Files of a project are read and written, nothing else.")
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

// listFiles answers a page of a folder's files. Its ETag counts the changes of the
// tree: whoever gives it back learns for little that there was none, and with
// ?since= only of the files that were written after it.
func (s *Service) listFiles(w http.ResponseWriter, r *http.Request, who Caller, folder string) error {
	q := r.URL.Query()
	since, err := sinceOf(q.Get("since"))
	if err != nil {
		return err
	}
	out, same, tag := Listing{Files: []tree.File{}}, false, ""
	err = s.visit(r.Context(), who, func(tx *store.Tx, l lent, sees func(*store.Tx, tree.File) (bool, error)) error {
		n, err := s.Tree.Change(tx, l.project.ID)
		if err != nil {
			return err
		}
		tag = `"` + itoa(n) + `"`
		if same = r.Header.Get("If-None-Match") == tag; same {
			return nil
		}
		all, err := s.Tree.Since(tx, l.project.ID, folder, since, q.Get("after"), tree.MaxPage)
		if err != nil {
			return err
		}
		return out.add(tx, all, sees)
	})
	if err != nil {
		return err
	}
	w.Header().Set("ETag", tag)
	if same {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(out)
}

// sinceOf reads ?since=: the number in an ETag; without one everything is new.
func sinceOf(text string) (int64, error) {
	if text == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil {
		return 0, malformed("since is the ETag of an earlier list.")
	}
	return n, nil
}

func (out *Listing) add(tx *store.Tx, all []tree.File, sees func(*store.Tx, tree.File) (bool, error)) error {
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
}
