package release

import (
	"tresor/app/fault"
	"tresor/app/store"
)

// OfJob returns the latest release of a job's outputs, without asking who wants to
// know and without its bytes. fault.NotFound when there is none.
func (s *Service) OfJob(tx *store.Tx, job string) (Release, error) {
	r, err := s.one(tx, "id = (SELECT max(id) FROM release WHERE job = ?)", job)
	return r, fault.Wrap("release.OfJob", err)
}
