package airlock

import (
	"encoding/json"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/fault"
	"tresor/app/store"
)

// onlySent reports whether the row may hold words and files that were never
// submitted and that are not for actor's eyes: what a project prepares for the
// next round is its own until it is sent, and stays so when it is withdrawn.
func (r Request) onlySent(actor access.Actor) bool {
	return r.Round > 0 && (r.State == Returned || r.State == Withdrawn) && actor.In(r.Project) == ""
}

// asSent puts the last submitted round in the place of what is being prepared.
func (s *Service) asSent(tx *store.Tx, r *Request) (roundRow, error) {
	row, err := findRound(tx, r.ID, r.Round)
	if err != nil {
		return row, err
	}
	var m manifest
	if err := json.Unmarshal([]byte(row.manifest), &m); err != nil {
		return row, fault.Kinded("airlock.asSent", fault.Internal, err, "The submitted round cannot be read. Tell the operator.")
	}
	r.Title, r.Context, r.Population, r.Controls, r.Exception = m.Title, m.Context, m.Population, m.Controls, m.Exception
	if r.Items, err = itemsOf(tx, r.ID, r.Round); err != nil {
		return row, err
	}
	metas := make([]check.Meta, len(r.Items))
	for i, it := range r.Items {
		metas[i] = check.Meta{Path: it.Path, Size: it.Size}
	}
	if r.Findings = check.Request(s.profile(row.threshold), metas); r.Findings == nil {
		r.Findings = []check.Finding{}
	}
	return row, nil
}
