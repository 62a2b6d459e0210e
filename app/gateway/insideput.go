package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/store"
	"tresor/app/tree"
)

// What a program says about the version of a file that it has seen, in a record of
// the tar archive that it posts: the SHA-256, or NeverSeen. Without it the file
// replaces whatever is there.
const (
	SeenRecord = "TRESOR.seen"
	NeverSeen  = "none"
)

// FileHeader names the file at fault when many are refused at once, escaped as in a URL.
const FileHeader = "Tresor-File"

// MaxBatch bounds how many files come in one archive. All of them are kept in one
// transaction, or none.
const MaxBatch = 1000

// incoming is a file whose bytes are in the vault already.
type incoming struct {
	tree.File
	seen string
}

// batch is one request that puts files.
type batch struct {
	s    *Service
	r    *http.Request
	who  Caller
	p    *party
	l    lent
	most int64 // bytes that the rest of the request may have
	list []*incoming

	hands sync.WaitGroup // small files on their way to the disk, which takes many at once as soon as one
	slots chan struct{}
	mu    sync.Mutex
	lost  *incoming // the first of them that could not be written
	why   error
}

// begin asks everything that can be asked before a byte is read.
func (s *Service) begin(r *http.Request, who Caller) (*batch, error) {
	p, err := s.party(r.Context(), who)
	if err != nil {
		return nil, err
	}
	b := &batch{s: s, r: r, who: who, p: p, l: p.lent[0], slots: make(chan struct{}, 16)}
	if err := firstError(p.barred, b.l.ready(s.Now())); err != nil {
		return nil, err
	}
	b.most, err = s.mayPut(r.Context(), p, b.l)
	return b, err
}

// putFile keeps one file in the project's tree: the bytes first, then the row that
// names them. What was there before is replaced if the program's job may do that.
func (s *Service) putFile(w http.ResponseWriter, r *http.Request, who Caller, path string) error {
	if strings.HasSuffix(path, "/") {
		return malformed("A folder is made by the files in it. Name a file, or POST an archive.")
	}
	clean, err := tree.Clean(path)
	if err != nil {
		return err
	}
	b, err := s.begin(r, who)
	if err != nil {
		return err
	}
	if err := b.fits(r.ContentLength); err != nil {
		return err
	}
	f := b.add(clean, seenOf(r.Header), false)
	if err := b.store(f, r.Body, b.most); err != nil {
		return err
	}
	if err := b.keep(w); err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+b.list[0].SHA256+`"`)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// seenOf reads the conditions of a PUT.
func seenOf(h http.Header) string {
	if h.Get("If-None-Match") == "*" {
		return NeverSeen
	}
	return strings.Trim(h.Get("If-Match"), `"`)
}

// keep writes the rows of all files, or of none.
func (b *batch) keep(w http.ResponseWriter) error {
	return b.s.DB.Update(b.r.Context(), func(tx *store.Tx) error {
		j, err := b.s.Jobs.Find(tx, b.who.ID)
		if err != nil {
			return err
		}
		if !j.State.Active() {
			return unknown()
		}
		files := make([]tree.File, len(b.list))
		for i, f := range b.list {
			if err := b.at(w, f.Path, b.s.replaceable(tx, j, b.l.project.ID, *f)); err != nil {
				return err
			}
			files[i] = f.File
		}
		return b.s.Tree.Put(tx, b.l.actor, b.l.project.ID, j.ID, files)
	})
}

// mayPut answers how many bytes may come, before any of them is read: what the
// job may still put, and what the project's quota leaves. Errors: Exhausted.
func (s *Service) mayPut(ctx context.Context, p *party, l lent) (int64, error) {
	most, err := s.puts.take(p.counts[0].key, s.Now())
	if err != nil {
		return 0, err
	}
	var used int64
	if err := s.DB.View(ctx, func(tx *store.Tx) error {
		used, err = s.Tree.Usage(tx, l.project.ID)
		return err
	}); err != nil {
		return 0, err
	}
	if free := s.Tree.Quota - used; free < most {
		most = max(free, 0)
	}
	return most, nil
}

// fits refuses a file before its bytes are read.
func (b *batch) fits(size int64) error {
	if size <= b.most {
		return nil
	}
	return refuse(CodeQuota, fault.Exhausted, "Put a smaller file, or ask the lead to erase files of the project.", "The file has %d bytes, and %d may be put now.", size, b.most)
}

// replaceable refuses a file whose place has changed since its writer looked, or is
// not its writer's to change.
func (s *Service) replaceable(tx *store.Tx, j job.Job, project string, f incoming) error {
	old, err := s.Tree.Stat(tx, project, f.Path)
	there := err == nil
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	if err := f.stale(old, there); err != nil || !there {
		return err
	}
	if j.Via == "" { // a local job whose program writes: its members may do that themselves
		return nil
	}
	return s.MayReplace(tx, j, old)
}

// stale refuses to replace a version that the writer has not seen. What is there
// already with the same bytes is no conflict: an answer may have been lost.
func (f incoming) stale(old tree.File, there bool) error {
	if f.seen == "" || there && (old.SHA256 == f.seen || old.SHA256 == f.SHA256) || !there && f.seen == NeverSeen {
		return nil
	}
	return refuse(CodeConflict, fault.Conflict, "Take the project's version first: without the file in the folder it comes by itself. Or choose another name.",
		"The project's file %s is not the one that the program has seen: something else wrote or erased it.", quoted(f.Path))
}
