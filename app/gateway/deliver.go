package gateway

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// parcel is a release of one of the caller's tasks.
type parcel struct {
	release release.Release
	task    task
	actor   access.Actor // in whose name it leaves
}

// parcel finds the release; one of another principal's task is not found.
func (s *Service) parcel(ctx context.Context, p *party, plugin, id string) (parcel, error) {
	var x parcel
	found := false
	for _, l := range p.lent { // the release lies in a project that some sponsor sees
		r, err := s.Releases.Get(ctx, l.actor, id)
		if fault.KindOf(err) == fault.NotFound || fault.KindOf(err) == fault.Denied {
			continue
		}
		if err != nil {
			return x, err
		}
		if r.Project == l.project.ID {
			x.release, x.actor, found = r, l.actor, true
			if l.standing != nil {
				return x, l.standing
			}
			break
		}
	}
	if !found {
		return x, notFound()
	}
	var err error
	x.task, err = s.mine(ctx, p, plugin, x.release.Job)
	return x, err
}

// open opens the release for one delivery, if the caller has not had too many lately: each
// reads all of it to verify it and is written down, also when one byte was asked for.
func (s *Service) open(ctx context.Context, p *party, x parcel) (io.ReadSeekCloser, release.Release, error) {
	now := s.Now()
	if s.opens.dry(p.key, now) {
		return nil, release.Release{}, refuse(CodeQuota, fault.Exhausted, "Wait a while, and fetch a release in few parts, or all of it as one zip.", "You have fetched released files too often.")
	}
	s.opens.spend(p.key, now, 1)
	return s.Releases.Open(ctx, x.actor, x.release.ID)
}

// sent writes into the ledger, before the first byte leaves, what is about to.
func (s *Service) sent(ctx context.Context, p *party, x parcel, sum string, size int64, text, correlation string) error {
	e := Entry{Principal: p.key, Project: x.release.Project, Direction: Out, What: WhatRelease, Task: x.task.id, SHA256: sum, Bytes: size, Outcome: Sent,
		Text: text, Correlation: correlation, release: x.release.ID}
	return s.update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if err := s.write(tx, e); err != nil {
			return err
		}
		_, err := s.Log.Append(tx, e.event(access.Actor{ID: x.actor.ID, Handle: x.actor.Handle}, p.via))
		return err
	})
}

// WriteResponse sends an answer of Serve, with the released bytes when it names a
// release. Together with ReadRelease it is the only use of release.Open by machines.
func (s *Service) WriteResponse(w http.ResponseWriter, r *http.Request, who Caller, plugin string, resp protocol.Response) {
	if resp.Release == nil || resp.Status != http.StatusOK {
		writeBody(w, r, resp)
		return
	}
	if who.Correlation == "" {
		who.Correlation = s.IDs()
	}
	if err := s.deliver(w, r, who, plugin, resp); err != nil {
		s.explain(err, who.Correlation)
		writeBody(w, r, problem(err, who.Correlation))
	}
}

// deliver writes the release or one file of it, whole or the ranges that were asked
// for (RFC 9110, section 14); an error means that nothing was written yet.
func (s *Service) deliver(w http.ResponseWriter, r *http.Request, who Caller, plugin string, resp protocol.Response) error {
	ctx := r.Context()
	p, err := s.party(ctx, who)
	if err == nil {
		err = p.open(plugin)
	}
	if err != nil {
		return err
	}
	x, err := s.parcel(ctx, p, plugin, resp.Release.ID)
	if err != nil {
		return err
	}
	name, sum, size := "release-"+x.release.ID+".zip", x.release.SHA256, x.release.Size
	inZip := ""
	if resp.Release.Path != "" {
		f, err := s.fileIn(ctx, x, resp.Release.Path)
		if err != nil {
			return err
		}
		inZip, sum, size = f.Path, f.SHA256, f.Size
	}
	head(w, resp, name, sum, inZip == "")
	if strings.Contains(r.Header.Get("If-None-Match"), `"`+sum+`"`) { // nothing leaves
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", itoa(size))
		w.WriteHeader(http.StatusOK)
		return nil
	}
	zip, _, err := s.open(ctx, p, x)
	if err != nil {
		return err
	}
	defer zip.Close()
	var content io.ReadSeeker = zip
	if inZip != "" {
		if content, err = member(zip, x.release, inZip); err != nil {
			return err
		}
	}
	if err := s.sent(ctx, p, x, sum, size, rangeText(r), who.Correlation); err != nil {
		return err
	}
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

func rangeText(r *http.Request) string {
	if v := r.Header.Get("Range"); v != "" {
		return "of it: " + line(v, 100)
	}
	return ""
}

// head sets the headers of released bytes: the plugin's own, and what proves them.
func head(w http.ResponseWriter, resp protocol.Response, name, sum string, whole bool) {
	copyHeaders(w.Header(), resp.Header)
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
		if whole {
			h.Set("Content-Type", "application/zip")
		}
	}
	if whole && h.Get("Content-Disposition") == "" {
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	h.Set("ETag", `"`+sum+`"`)
	if raw, err := hex.DecodeString(sum); err == nil {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(raw)+":")
	}
	h.Set("X-Content-Type-Options", "nosniff")
}

// fileIn finds an output, named by its path in the container, in the release.
func (s *Service) fileIn(ctx context.Context, x parcel, path string) (release.File, error) {
	var f release.File
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		found, err := s.Jobs.OutputsOf(tx, x.task.id)
		if err != nil {
			return err
		}
		for _, o := range found {
			if o.Path != path || o.Tree || o.Output == "" {
				continue
			}
			f, err = s.released(tx, o, x.release)
			return err
		}
		return nil
	})
	if err == nil && f.Path == "" {
		err = notFound()
	}
	return f, err
}

// Published writes a ledger line about names and descriptions that a hub was shown.
func (s *Service) Published(ctx context.Context, principal string, body []byte, correlation string) error {
	return s.shown(ctx, principal, body, "", correlation)
}

// shown is Published with a word on what it was.
func (s *Service) shown(ctx context.Context, principal string, body []byte, text, correlation string) error {
	e := Entry{Principal: principal, Direction: Out, What: WhatPublished, SHA256: digest(body), Bytes: int64(len(body)), Outcome: Sent, Text: text, Correlation: correlation}
	if !s.tally.single(e, s.Now()) {
		s.tally.add(e, body)
		return nil
	}
	return fault.Wrap("gateway.Published", s.update(ctx, func(tx *store.Tx) error {
		if err := s.write(tx, e); err != nil {
			return err
		}
		_, err := s.Log.Append(tx, audit.By(access.System, "gateway.published", Subject(principal), "", "sha256", e.SHA256))
		return err
	}))
}

var _ Jobs = (*job.Service)(nil)
