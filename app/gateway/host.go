package gateway

import (
	"context"
	"io"
	"strings"
	"sync"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// host is what a plugin may ask for in the name of one caller. Serve makes one for
// each request and closes it at the end; a polling plugin keeps one.
type host struct {
	s      *Service
	who    Caller
	plugin string
	remote string // the request's own id
	sum    string // SHA-256 of the request's body; empty: no request
	size   int64
	reads  bool // the request is one that only reads: GET or HEAD

	mu      sync.Mutex
	refusal error  // the last one, for the headers of the answer
	wrote   bool   // the ledger holds this request
	project string // it was about
	zip     io.ReadSeekCloser
	zipID   string
	zipInfo release.Release
}

// HostFor returns what a plugin may ask for in the name of one caller.
func (s *Service) HostFor(who Caller, plugin string) protocol.Host {
	if who.Correlation == "" {
		who.Correlation = s.IDs()
	}
	return &host{s: s, who: who, plugin: plugin}
}

// party is the caller, unless it may ask for nothing now.
func (h *host) party(ctx context.Context) (*party, error) {
	p, err := h.s.party(ctx, h.who)
	if err != nil {
		return nil, err
	}
	return p, p.open(h.plugin)
}

// mayChange refuses to change something for a request that only reads. What a hub
// asks by a plain request carries no signature and may come twice: whatever changes
// something has to be an order.
func (h *host) mayChange() error {
	if !h.reads {
		return nil
	}
	return refuse(CodeMethod, fault.Denied, "Send it with POST.", "A request that only reads (GET) changes nothing here.")
}

// open refuses a paused party, and a plugin that the party does not reach.
func (p *party) open(plugin string) error {
	if p.record.Paused && p.kind != Inside { // work that runs goes on, and may look
		return paused()
	}
	if !p.reaches(plugin) {
		return noPlugin(p)
	}
	return nil
}

func paused() error {
	return refuse(CodePaused, fault.Unavailable, "Try again later, or ask the operator of this server.", "This access is paused.")
}

// fail makes an error fit for the plugin, and keeps the cause for the operator.
func (h *host) fail(err error) error {
	if err == nil {
		return nil
	}
	h.mu.Lock()
	h.refusal = err
	h.mu.Unlock()
	h.s.explain(err, h.who.Correlation)
	return wire(err, h.who.Correlation)
}

// explain logs what people do not get to read.
func (s *Service) explain(err error, correlation string) {
	if k := fault.KindOf(err); k == fault.Internal || k == fault.Unavailable && codeOf(err) != CodePaused {
		s.Logger.Error("gateway: a request failed", "correlation", correlation, "err", err)
	}
}

// close lets go of what the request held.
func (h *host) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop()
}

func (h *host) drop() {
	if h.zip != nil {
		_ = h.zip.Close() // it was only read
		h.zip, h.zipID = nil, ""
	}
}

// Visible lists the projects and datasets this caller may name.
func (h *host) Visible(ctx context.Context) (protocol.Catalogue, error) {
	c := protocol.Catalogue{Projects: []protocol.Named{}, Datasets: []protocol.Named{}}
	p, err := h.party(ctx)
	if err != nil {
		return c, h.fail(err)
	}
	seen := map[string]bool{}
	for _, l := range p.lent {
		if l.standing != nil {
			continue
		}
		c.Projects = append(c.Projects, protocol.Named{ID: l.project.ID, Slug: l.project.Slug, Title: l.project.Name})
		for _, g := range l.project.Datasets {
			if l.mayUse(g.DatasetID) && !seen[g.DatasetID] {
				seen[g.DatasetID] = true
				c.Datasets = append(c.Datasets, protocol.Named{ID: g.DatasetID, Slug: g.Slug, Title: g.Name})
			}
		}
	}
	return c, nil
}

// Cancel asks for a task's end; cancelling an ended one is no error. One whose outputs
// are approved for release cannot be cancelled any more.
func (h *host) Cancel(ctx context.Context, id string) error {
	p, err := h.party(ctx)
	if err == nil {
		err = h.mayChange()
	}
	if err == nil {
		err = h.cancel(ctx, p, id)
	}
	h.account(ctx, p, Entry{What: WhatCancel, Task: id}, err)
	return h.fail(err)
}

func (h *host) cancel(ctx context.Context, p *party, id string) error {
	t, err := h.s.mine(ctx, p, h.plugin, id)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.project = t.project
	h.mu.Unlock()
	if t.ended {
		return nil
	}
	actor := access.System // a machine's task is its own, whoever answers for it now
	if !p.machine() {
		actor = p.lent[0].actor
	}
	if _, err = h.s.Jobs.Cancel(ctx, actor, id, cancelReason(p, h.who)); err == nil || fault.KindOf(err) != fault.Conflict {
		return err
	}
	if t, err = h.s.mine(ctx, p, h.plugin, id); err != nil || t.ended { // it ended meanwhile
		return err
	}
	return refuse(CodeConflict, fault.Conflict, "Wait for the release, or ask the person in the project who answers for this task to withdraw it.", "The outputs are approved for release, so the task cannot be cancelled any more.")
}

func cancelReason(p *party, who Caller) string {
	if b := line(who.OnBehalf, 100); b != "" {
		return "Cancelled by " + p.name + " for " + b + "."
	}
	return "Cancelled by " + p.name + "."
}

// account writes the request's line in the ledger, unless the transaction of an
// accepted task did.
func (h *host) account(ctx context.Context, p *party, e Entry, err error) {
	h.mu.Lock()
	h.wrote = true
	project := h.project
	h.mu.Unlock()
	if p == nil {
		return
	}
	e.Principal, e.Project, e.Direction, e.RemoteID, e.SHA256, e.Bytes, e.Correlation = p.key, project, In, h.remoteOr(e.RemoteID), h.sum, h.size, h.who.Correlation
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		e.Outcome, e.Code, e.Text, e.Task = Declined, codeOf(err), sentence(err), ""
		h.s.refused(ctx, e, p.via)
		return
	}
	e.Outcome = Accepted
	werr := h.s.update(ctx, func(tx *store.Tx) error {
		if err := h.s.write(tx, e); err != nil {
			return err
		}
		_, err := h.s.Log.Append(tx, e.event(access.System, p.via))
		return err
	})
	if werr != nil {
		h.s.Logger.Error("gateway: writing the ledger", "correlation", e.Correlation, "err", werr)
	}
}

func (h *host) remoteOr(own string) string {
	if own != "" {
		return own
	}
	return h.remote
}

// Health passes on how the plugin is.
func (h *host) Health(_ context.Context, v protocol.Health) error {
	v.Detail, v.At = line(v.Detail, 300), h.s.Now()
	if h.s.Deps.Health != nil {
		h.s.Deps.Health(h.plugin, v)
	}
	return nil
}

// Audit records an event of the plugin under plugin.noted: its verb and values are
// a stranger's words, so they stand as short details and nothing else.
func (h *host) Audit(ctx context.Context, verb string, detail map[string]string) error {
	p, err := h.party(ctx)
	if err != nil {
		return h.fail(err)
	}
	if len(detail) > 8 || !word(verb) {
		return h.fail(malformed("An event has a verb of small letters and at most 8 details."))
	}
	kv := []string{"verb", verb, "principal", p.key}
	for k, v := range detail {
		if !word(k) || len(v) > 100 || line(v, 100) != v {
			return h.fail(malformed("The details of an event are words with one printable line of at most 100 characters each."))
		}
		kv = append(kv, "x_"+strings.ReplaceAll(k, "-", "_"), v)
	}
	if !h.s.tally.single(Entry{Principal: p.key, What: "plugin." + h.plugin}, h.s.Now()) {
		return h.fail(refuse(CodeQuota, fault.Exhausted, "Record less.", "The plugin records too many events in a minute."))
	}
	actor := access.System
	actor.Via = "plugin:" + h.plugin
	return h.fail(h.s.update(ctx, func(tx *store.Tx) error {
		_, err := h.s.Log.Append(tx, audit.By(actor, "plugin.noted", "plugin:"+h.plugin, "", kv...))
		return err
	}))
}

// word is a small word of a fixed vocabulary.
func word(s string) bool {
	return s != "" && len(s) <= 28 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}
