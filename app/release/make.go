package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/crate"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/vault"
)

// plan is everything that goes into one zip.
type plan struct {
	id       string
	approval airlock.Approval
	job      job.Job
	project  project.Project
	proof    audit.InclusionProof
	at       time.Time
	actor    access.Actor
}

// Make makes the release of an approved request: request, job and release
// change in one transaction, after the zip is durable. Calling it again returns
// the release that is there. Errors: Conflict when the request is not approved,
// Denied for those who may not, Internal when a file is not what was reviewed.
func (s *Service) Make(ctx context.Context, actor access.Actor, request string) (Release, error) {
	const op = "release.Make"
	p, made, err := s.plan(ctx, actor, request)
	if err != nil || made.ID != "" {
		return made, fault.Wrap(op, err)
	}
	blob, err := s.pack(p)
	if err != nil {
		return Release{}, fault.Wrap(op, err)
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if made, err = s.byRequest(tx, request); err == nil {
			return nil // somebody was faster
		} else if fault.KindOf(err) != fault.NotFound {
			return err
		}
		made, err = s.record(tx, p, blob)
		return err
	})
	if err != nil {
		return Release{}, fault.Wrap(op, err)
	}
	return made, nil
}

// plan reads what is to be released, or the release that exists.
func (s *Service) plan(ctx context.Context, actor access.Actor, request string) (p plan, made Release, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		p = plan{id: s.IDs(), actor: actor, at: tx.Now()}
		if p.approval, err = s.Requests.Approval(tx, actor, request); err != nil {
			return err
		}
		if err := access.May(actor, access.ReleaseMake, p.approval.Thing()); err != nil {
			return err
		}
		if made, err = s.byRequest(tx, request); err == nil || fault.KindOf(err) != fault.NotFound {
			return err
		}
		if p.job, err = s.Jobs.Lookup(tx, p.approval.Request.Job); err != nil {
			return err
		}
		p.project, err = s.Projects.Lookup(tx, p.approval.Request.Project)
		return err
	})
	if err != nil || made.ID != "" {
		return p, made, err
	}
	if _, err = s.Log.Checkpoint(ctx); err != nil { // so that the approval is covered
		return p, made, err
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		p.proof, err = s.Log.Proof(tx, p.approval.Seq)
		return err
	})
	return p, made, err
}

// pack writes the zip into the vault. Each file is compared with the hash that
// was reviewed before and while it is copied; one that differs ends everything.
func (s *Service) pack(p plan) (vault.Blob, error) {
	const op = "release.pack"
	m := s.describe(p.id, p.approval, p.job, p.project)
	m.MadeAt, m.MadeBy = p.at, p.actor.Handle
	meta, err := metadata(m)
	if err != nil {
		return vault.Blob{}, err
	}
	bag := crate.Bag{Folder: "release-" + p.id, ExternalID: "urn:uuid:" + p.id, Info: map[string]string{
		"Source-Organization": oneLine(s.Institution), "Bag-Software-Agent": oneLine(s.Software)},
		Files: []crate.File{memory(crate.MetadataName, meta), memory(manifestName, encode(m)), memory(proofName, encode(p.proof))}}
	for _, it := range p.approval.Request.Items {
		bag.Files = append(bag.Files, crate.File{Path: outputs + it.Path, Size: it.Size,
			Open: func() (io.ReadCloser, error) { return s.reviewed(it) }})
	}
	w, err := s.Vault.Create()
	if err != nil {
		return vault.Blob{}, fault.Wrap(op, err)
	}
	defer w.Abort() // nothing once committed
	if err := crate.Write(w, bag); err != nil {
		return vault.Blob{}, fault.Wrap(op, err)
	}
	blob, err := w.Commit()
	return blob, fault.Wrap(op, err)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func memory(path string, b []byte) crate.File {
	return crate.File{Path: path, Size: int64(len(b)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// reviewed opens the bytes of an item and returns them through a reader that
// fails at the end unless they have the reviewed hash.
func (s *Service) reviewed(it airlock.Item) (io.ReadCloser, error) {
	f, err := s.Vault.Open(it.SHA256)
	if err != nil {
		return nil, fault.Kinded("release.reviewed", fault.Internal, err, "The reviewed bytes of %s are missing. Nothing was released; tell the operator.", it.Path)
	}
	return &proven{f: f, h: sha256.New(), item: it}, nil
}

type proven struct {
	f *os.File
	h interface {
		io.Writer
		Sum([]byte) []byte
	}
	item airlock.Item
}

func (p *proven) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	_, _ = p.h.Write(b[:n]) // a hash takes everything
	if err == io.EOF && hex.EncodeToString(p.h.Sum(nil)) != p.item.SHA256 {
		return 0, fault.New("release.reviewed", fault.Internal, "The bytes of %s are not those that were reviewed. Nothing was released; tell the operator.", p.item.Path)
	}
	return n, err
}

func (p *proven) Close() error { return p.f.Close() }

// record makes the release a fact.
func (s *Service) record(tx *store.Tx, p plan, blob vault.Blob) (Release, error) {
	now, err := s.Requests.Approval(tx, p.actor, p.approval.Request.ID)
	if err != nil {
		return Release{}, err
	}
	r := now.Request
	if r.Checks.ManifestSHA256 != p.approval.Request.Checks.ManifestSHA256 {
		return Release{}, fault.New("release.Make", fault.Conflict, "The request changed while the release was made. Look at it again.")
	}
	made := Release{ID: p.id, Request: r.ID, Project: r.Project, ProjectName: r.ProjectName, Job: r.Job, Title: r.Title, SHA256: blob.SHA256, Size: blob.Size,
		Files: []File{}, MadeAt: p.at, MadeBy: Person{ID: p.actor.ID, Handle: p.actor.Handle, Name: p.actor.Name}}
	for _, it := range p.approval.Request.Items {
		made.Files = append(made.Files, File{it.Path, it.SHA256, it.Size})
	}
	files, err := json.Marshal(made.Files)
	if err != nil {
		return made, err
	}
	_, err = tx.Exec(`INSERT INTO release (id, request, round, project, job, title, manifest_sha256, sha256, size, files, made_at, made_by, made_by_handle, made_by_name)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, made.ID, r.ID, r.Round, r.Project, r.Job, r.Title, r.Checks.ManifestSHA256, made.SHA256, made.Size, string(files),
		store.Millis(made.MadeAt), made.MadeBy.ID, made.MadeBy.Handle, made.MadeBy.Name)
	if err != nil {
		return made, err
	}
	if err := s.Requests.MarkReleased(tx, r.ID, made.ID, p.actor); err != nil {
		return made, err
	}
	if err := s.Jobs.MarkReleased(tx, r.Job, p.actor); err != nil {
		return made, err
	}
	_, err = s.Log.Append(tx, audit.By(p.actor, "release.made", Subject(made.ID), r.Project, "request", r.ID, "sha256", made.SHA256, "manifest", r.Checks.ManifestSHA256))
	s.announce(tx)
	return made, err
}

func (s *Service) announce(tx *store.Tx) {
	if s.Live == nil {
		return
	}
	at := tx.Now()
	tx.AfterCommit(func() {
		s.Live.Publish("home", live.Event{Type: "release", At: at}) // everybody hears it: no data
	})
}
