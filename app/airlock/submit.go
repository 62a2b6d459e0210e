package airlock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
)

// Submit hands a request to the reviewers: its files are hashed, checked,
// pinned and fixed as a new round. Errors: Invalid when a text is missing, when
// a file cannot be shown to a reviewer, or when findings block and the request
// gives no reason for an exception (the findings are kept with the draft);
// Conflict when the request is not a draft or returned, or was changed
// meanwhile.
func (s *Service) Submit(ctx context.Context, actor access.Actor, id string) (Request, error) {
	const op = "airlock.Submit"
	var w work
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		r, err := s.allowed(tx, actor, access.AirlockSubmit, id)
		if err != nil {
			return err
		}
		if err := r.complete(op); err != nil {
			return err
		}
		w, err = s.load(tx, r)
		return err
	})
	if err == nil {
		err = s.examine(ctx, &w, true)
	}
	if err == nil {
		err = s.admit(ctx, actor, w)
	}
	if err == nil {
		err = s.DB.Update(ctx, func(tx *store.Tx) error { return s.submit(tx, actor, w) })
	}
	if err != nil {
		return Request{}, fault.Wrap(op, err)
	}
	return s.Get(ctx, actor, id)
}

// complete refuses a request that lacks what reviewers need to judge it.
func (r Request) complete(op string) error {
	if err := checkStep(r.State, Submitted); err != nil {
		return err
	}
	for _, t := range []struct{ what, text, next string }{
		{"context", r.Context, "Say what the files show and why they tell nothing about a person."},
		{"population", r.Population, "Say who is counted, and how many."},
		{"controls", r.Controls, "Say what was rounded, grouped or suppressed; \"none\" with a reason is an answer too."},
	} {
		if t.text == "" {
			return fault.WithNext(fault.New(op, fault.Invalid, "The request has no %s. %s", t.what, t.next), "%s", t.next)
		}
	}
	return nil
}

func blocked(n int) string {
	if n == 1 {
		return "One finding blocks this request"
	}
	return strconv.Itoa(n) + " findings block this request"
}

// admit refuses what must not reach a reviewer and keeps the findings, so that
// the requester sees them in the draft.
func (s *Service) admit(ctx context.Context, actor access.Actor, w work) error {
	const op = "airlock.Submit"
	var refusal error
	for _, it := range w.items {
		if it.Kind == check.KindNone {
			refusal = fault.WithNext(fault.New(op, fault.Invalid, "%s cannot be shown to a reviewer, so it cannot leave. %s", it.Path, firstNext(it.Findings)), "%s", firstNext(it.Findings))
		}
	}
	if n := w.blocks(); refusal == nil && n > 0 && w.request.Exception == "" {
		refusal = fault.WithNext(fault.New(op, fault.Invalid, "%s. Change the analysis, or give a reason for an exception that both reviewers will see.", blocked(n)),
			"Look at the findings of each file.")
	}
	if refusal == nil {
		return nil
	}
	if err := s.DB.Update(ctx, func(tx *store.Tx) error { return s.keepFindings(tx, actor, w) }); err != nil {
		return err
	}
	return refusal
}

func firstNext(fs []check.Finding) string {
	if len(fs) == 0 {
		return "Leave it out of the request."
	}
	return fs[0].Next
}

// manifest is what a vote binds: every word and every byte of a round.
type manifest struct {
	Request    string         `json:"request"`
	Round      int            `json:"round"`
	Project    string         `json:"project"`
	Job        string         `json:"job"`
	Requester  string         `json:"requester"`
	Title      string         `json:"title"`
	Context    string         `json:"context"`
	Population string         `json:"population"`
	Controls   string         `json:"controls"`
	Exception  string         `json:"exception"`
	Needed     int            `json:"needed"`
	Items      []manifestItem `json:"items"`
}

type manifestItem struct {
	ID           string `json:"id"`
	Path         string `json:"path"`
	SHA256       string `json:"sha256"`
	SourceSHA256 string `json:"source_sha256"`
	Size         int64  `json:"size"`
}

func (w work) manifest() string {
	r := w.request
	m := manifest{Request: r.ID, Round: r.pending(), Project: r.Project, Job: r.Job, Requester: r.Requester.ID, Title: r.Title, Context: r.Context,
		Population: r.Population, Controls: r.Controls, Exception: r.Exception, Needed: w.needed}
	for _, it := range w.items {
		m.Items = append(m.Items, manifestItem{it.ID, it.Path, it.SHA256, it.SourceSHA256, it.Size})
	}
	return encode(m)
}

// findingsHash is over all that the checks said of this round.
func findingsHash(request []check.Finding, items []Item) string {
	type perFile struct {
		Path     string          `json:"path"`
		Findings []check.Finding `json:"findings"`
	}
	all := []perFile{{"", request}}
	for _, it := range items {
		all = append(all, perFile{it.Path, it.Findings})
	}
	return hash(encode(all))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func itoa(n int) string { return strconv.Itoa(n) }

// submit writes the round. It runs only if the draft is still what was checked.
func (s *Service) submit(tx *store.Tx, actor access.Actor, w work) error {
	const op = "airlock.Submit"
	r, err := s.allowed(tx, actor, access.AirlockSubmit, w.request.ID)
	if err != nil {
		return err
	}
	if err := r.complete(op); err != nil {
		return err
	}
	if r.edits != w.request.edits || r.Round != w.request.Round {
		return fault.New(op, fault.Conflict, "The request was changed while its files were checked. Look at it again and submit it once more.")
	}
	round := r.pending()
	if err := putItems(tx, r.ID, round, w.items); err != nil {
		return err
	}
	outputs := make([]string, len(w.items))
	for i, it := range w.items {
		outputs[i] = it.Output
		if err := pin(tx, r.ID, it.SHA256, it.SourceSHA256); err != nil {
			return err
		}
	}
	if err := s.Outputs.MarkState(tx, output.Requested, outputs...); err != nil {
		return err
	}
	row := roundRow{needed: w.needed, threshold: w.profile.Threshold, manifest: w.manifest(), version: check.Version,
		rulesSHA: check.RulesSHA256(w.profile), findingsSHA: findingsHash(w.request.Findings, w.items)}
	row.manifestSHA = hash(row.manifest)
	if err := s.insertRound(tx, r.ID, round, row); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE airlock_request SET findings = ? WHERE id = ?`, encode(w.request.Findings), r.ID); err != nil {
		return err
	}
	_, err = s.move(tx, &r, Submitted, actor, "round", itoa(round), "manifest", row.manifestSHA, "rules", row.rulesSHA, "findings", row.findingsSHA,
		"blocks", itoa(w.blocks()), "warnings", itoa(w.warnings()), "needed", itoa(w.needed), "files", itoa(len(w.items)))
	return err
}

func (s *Service) insertRound(tx *store.Tx, request string, round int, r roundRow) error {
	_, err := tx.Exec(`INSERT INTO airlock_round (request, round, needed, threshold, manifest, manifest_sha256, rules_version, rules_sha256, findings_sha256, submitted_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, request, round, r.needed, r.threshold, r.manifest, r.manifestSHA, r.version, r.rulesSHA, r.findingsSHA, store.Millis(tx.Now()))
	return err
}
