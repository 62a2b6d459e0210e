package airlock

import (
	"encoding/json"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
)

// Approval is everything a release takes from an approved request, as it was
// reviewed.
type Approval struct {
	Request    Request // with the items of the approved round and all its votes
	Needed     int
	Seq        int64     // audit event airlock.approved
	ApprovedAt time.Time // when the last vote came in
	Manifest   string    // JSON whose hash the votes name
	Threshold  int
}

// Approval returns the approved round of a request; Conflict when the request
// is in another state. It does not ask who wants it: release does.
func (s *Service) Approval(tx *store.Tx, actor access.Actor, id string) (Approval, error) {
	const op = "airlock.Approval"
	r, err := s.allowed(tx, actor, access.AirlockRead, id)
	if err != nil {
		return Approval{}, err
	}
	if r.State != Approved && r.State != Released {
		return Approval{}, fault.New(op, fault.Conflict, "The request is %s. Only an approved request can be released.", r.State)
	}
	if err := s.fill(tx, actor, &r); err != nil {
		return Approval{}, fault.Wrap(op, err)
	}
	if hash(r.manifest) != r.Checks.ManifestSHA256 {
		return Approval{}, fault.New(op, fault.Internal, "The approved manifest does not match its hash. Nothing was released; tell the operator.")
	}
	a := Approval{Request: r, Needed: r.ReviewsNeeded, Seq: r.approvedSeq, Manifest: r.manifest, Threshold: r.Checks.Threshold}
	if r.DecidedAt != nil {
		a.ApprovedAt = *r.DecidedAt
	}
	return a, nil
}

// MarkReleased ends an approved request whose release row stands in the same
// transaction, and its outputs with it. Errors: Conflict in other states.
func (s *Service) MarkReleased(tx *store.Tx, id, release string, actor access.Actor) error {
	r, err := find(tx, id)
	if err != nil {
		return err
	}
	items, err := itemsOf(tx, id, r.Round)
	if err != nil {
		return err
	}
	for _, it := range items {
		if err := s.Outputs.MarkState(tx, output.Released, it.Output); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`UPDATE airlock_request SET release_id = ? WHERE id = ?`, release, id); err != nil {
		return err
	}
	_, err = s.move(tx, &r, Released, actor, "release", release)
	return fault.Wrap("airlock.MarkReleased", err)
}

// Thing is what the access rules need to know of the request.
func (a Approval) Thing() access.Thing { return a.Request.thing() }

// Reviewed reads a reviewed manifest from outside: the paths of its files with
// their hashes. It is an error when the bytes do not have the hash that the
// votes name.
func Reviewed(raw []byte, sha256 string) (map[string]string, error) {
	const op = "airlock.Reviewed"
	if hash(string(raw)) != sha256 {
		return nil, fault.New(op, fault.Invalid, "The reviewed manifest does not match its hash.")
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fault.Kinded(op, fault.Invalid, err, "The reviewed manifest cannot be read.")
	}
	files := map[string]string{}
	for _, it := range m.Items {
		files[it.Path] = it.SHA256
	}
	return files, nil
}
