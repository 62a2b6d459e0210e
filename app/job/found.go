package job

import (
	"context"
	"io"

	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
)

// OutputsOf returns every file that a job's Wants became, by path in the
// container; several Wants of one file give several entries. A job without Wants
// answers its outputs without targets.
func (s *Service) OutputsOf(tx *store.Tx, id string) ([]Found, error) {
	list, err := s.Outputs.ListByJob(tx, id)
	if err != nil {
		return nil, fault.Wrap("job.OutputsOf", err)
	}
	found := []Found{}
	for _, o := range list {
		found = append(found, Found{Path: output.Folder + "/" + o.Path, Size: o.Size, SHA256: o.SHA256, Output: o.ID, State: o.State})
	}
	return found, nil
}

// TaskOutput returns the end of what one task wrote to standard output or standard
// error, at most max bytes; empty when there is nothing. It is for callers inside
// only: whoever calls it has made sure of that.
func (s *Service) TaskOutput(ctx context.Context, id string, task int, stderr bool, max int64) (string, error) {
	first, total, err := s.LogContent(ctx, id, 0)
	if err != nil {
		return "", err
	}
	_ = first.Close()
	r, _, err := s.LogContent(ctx, id, max64(total-max))
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, max))
	return string(b), fault.Wrap("job.TaskOutput", err)
}

func max64(n int64) int64 { return max(n, 0) }
