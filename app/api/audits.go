package api

import (
	"io"
	"net/http"
	"path/filepath"
	"strconv"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

func (s *Server) auditRoutes() []Route {
	return []Route{
		{Method: "GET", Path: "/audit", Access: by(access.AuditRead), Summary: "List audit events, newest first", Query: []string{"subject", "project", "actor", "verb", "since", "until", "before", "limit"}, endpoint: get(s.listEvents)},
		{Method: "GET", Path: "/audit/checkpoint", Access: by(access.AuditCheckpoint), Summary: "Sign and show the newest checkpoint (C2SP tlog-checkpoint); JSON when asked for", endpoint: either[Checkpoint]("text/plain", s.checkpoint)},
		{Method: "GET", Path: "/audit/export", Access: by(access.AuditExport), Summary: "All events and the newest checkpoint, for verifying elsewhere", endpoint: download("application/x-ndjson", s.exportAudit)},
		{Method: "GET", Path: "/audit/proof/{seq}", Access: by(access.AuditProof), Summary: "Proof that the log holds an event", endpoint: get(s.proveEvent)},
		{Method: "GET", Path: "/audit/verify", Access: by(access.AuditVerify), Summary: "Recompute the whole log and compare it with its checkpoints", endpoint: slowly(get(s.verifyAudit))},
	}
}

// listEvents: the log has no actor in its reads, so the matrix is asked here.
func (s *Server) listEvents(c *call) (List[audit.Event], error) {
	limit, err := c.limit()
	if err != nil {
		return List[audit.Event]{}, err
	}
	before, err := c.number("before", 0, 0, 1<<62)
	if err != nil {
		return List[audit.Event]{}, err
	}
	since, err := c.moment("since")
	if err != nil {
		return List[audit.Event]{}, err
	}
	until, err := c.moment("until")
	if err != nil {
		return List[audit.Event]{}, err
	}
	if err := access.May(c.actor(), access.AuditRead, access.Thing{}); err != nil {
		return List[audit.Event]{}, err
	}
	var all []audit.Event
	err = s.DB.View(c.ctx(), func(tx *store.Tx) error {
		all, err = s.Audit.List(tx, audit.Filter{Subject: c.query("subject"), Project: c.query("project"),
			Actor: c.query("actor"), Verb: c.query("verb"), Since: since, Until: until, Before: before, Limit: limit})
		return err
	})
	next := nextOf(all, limit, func(e audit.Event) string { return strconv.FormatInt(e.Seq, 10) })
	if next == "0" {
		next = "" // the first event: nothing is older
	}
	return listOf(all, next), err
}

// Checkpoint is a signed state of the audit log.
type Checkpoint struct {
	Size int64  `json:"size" doc:"events"`
	Root string `json:"root" doc:"base64"`
	Note string `json:"note" doc:"the signed note, as it is also served as text"`
}

func (s *Server) checkpoint(c *call) error {
	if err := access.May(c.actor(), access.AuditCheckpoint, access.Thing{}); err != nil {
		return err
	}
	cp, err := s.Audit.Checkpoint(c.ctx())
	if err != nil {
		return err
	}
	if c.wantsJSON() {
		return c.answer(http.StatusOK, Checkpoint{Size: cp.Size, Root: cp.RootText(), Note: string(cp.Note)})
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = c.w.Write(cp.Note)
	return err
}

func (s *Server) exportAudit(c *call) error {
	if err := access.May(c.actor(), access.AuditExport, access.Thing{}); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Content-Disposition", `attachment; filename="audit.jsonl"`)
	return s.Audit.Export(c.ctx(), io.Writer(c.long()))
}

// proveEvent signs a checkpoint first when none covers the event yet.
func (s *Server) proveEvent(c *call) (audit.InclusionProof, error) {
	seq, err := c.pathNumber("seq")
	if err != nil {
		return audit.InclusionProof{}, err
	}
	if err := access.May(c.actor(), access.AuditProof, access.Thing{}); err != nil {
		return audit.InclusionProof{}, err
	}
	proof, err := s.prove(c, seq)
	if fault.KindOf(err) != fault.Unavailable || err == nil {
		return proof, err
	}
	if _, err := s.Audit.Checkpoint(c.ctx()); err != nil {
		return proof, err
	}
	return s.prove(c, seq)
}

func (s *Server) prove(c *call, seq int64) (proof audit.InclusionProof, err error) {
	err = s.DB.View(c.ctx(), func(tx *store.Tx) error {
		proof, err = s.Audit.Proof(tx, seq)
		return err
	})
	return proof, err
}

// verifyAudit reads the whole log, so only one runs at a time.
func (s *Server) verifyAudit(c *call) (audit.Report, error) {
	if err := access.May(c.actor(), access.AuditVerify, access.Thing{}); err != nil {
		return audit.Report{}, err
	}
	if !s.verifying.TryLock() {
		return audit.Report{}, refuse(http.StatusConflict, fault.Conflict.String(), fault.Conflict, "The log is being verified already.").next("Wait for that to end.")
	}
	defer s.verifying.Unlock()
	// The checkpoint kept beside the key shows a database that is older than it was.
	head, err := audit.Head(filepath.Join(filepath.Dir(s.DBFile), "keys"))
	if err != nil {
		return audit.Report{}, err
	}
	var known [][]byte
	if head != nil {
		known = append(known, head)
	}
	report, err := audit.VerifyDB(c.ctx(), s.DBFile, "", known...)
	if err != nil && fault.KindOf(err) == fault.Conflict {
		err = fault.WithNext(err, "Keep the database file as it is, and compare it with your newest backup and exported checkpoint.")
	}
	return report, err
}
