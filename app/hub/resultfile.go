package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

func (s *Service) resultFile(task, node string) string {
	return filepath.Join(s.Results, task, node+".zip")
}

// ResultFile is a released zip of one node. The caller closes it.
type ResultFile struct {
	*os.File
	Name   string // for a download
	Size   int64
	SHA256 string
	files  []File
}

// sumOf gives the hash of a file in the zip, as its manifest says; empty: none.
func (f *ResultFile) sumOf(path string) string {
	for _, x := range f.files {
		if x.Path == path {
			return x.SHA256
		}
	}
	return ""
}

// Result opens what a node released of a task. node is an id or a name. Errors:
// NotFound, Unavailable while it is still being fetched, Conflict when it was refused,
// and one that wraps ErrDeleted when it was deleted here.
func (s *Service) Result(ctx context.Context, actor access.Actor, id, node string) (*ResultFile, error) {
	const op = "hub.Result"
	t, err := s.Task(ctx, actor, id)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := access.May(actor, access.HubResults, access.Thing{Project: t.Project, Owner: t.Owner}); err != nil {
		return nil, fault.Wrap(op, err)
	}
	for _, p := range t.Parts {
		if p.Node == node || strings.EqualFold(p.Name, node) {
			return s.openResult(ctx, op, actor, t, p)
		}
	}
	return nil, fault.WithNext(fault.New(op, fault.NotFound, "The task has no part at a node %q.", clip(node, 60)), "The task lists its nodes.")
}

func (s *Service) openResult(ctx context.Context, op string, actor access.Actor, t Task, p Part) (*ResultFile, error) {
	switch {
	case p.Result == nil:
		return nil, fault.WithNext(fault.New(op, fault.NotFound, "The node %s has released nothing of this task.", p.Name), "The task says whose turn it is.")
	case p.Result.State == "wanted":
		s.wake(p.Node)
		return nil, fault.WithNext(fault.New(op, fault.Unavailable, "The result of the node %s is being fetched.", p.Name), "Try again in a moment.")
	case p.Result.State == "deleted":
		return nil, fault.Kinded(op, fault.NotFound, ErrDeleted, "%s", goneText(p.Name, p.Result))
	case p.Result.State == "refused":
		return nil, fault.WithNext(fault.New(op, fault.Conflict, "The result of the node %s could not be taken: %s", p.Name, p.Result.Trouble), "The node still has its release: ask its operator.")
	}
	f, err := os.Open(s.resultFile(t.ID, p.Node))
	if err != nil {
		return nil, fault.WithNext(fault.Kinded(op, fault.Internal, err, "The result of the node %s is missing on this hub's disk.", p.Name), "The node still has its release: ask its operator, or put the results back from a backup.")
	}
	sum, err := hashOf(f)
	if err != nil || sum != p.Result.SHA256 {
		f.Close()
		return nil, fault.WithNext(fault.Kinded(op, fault.Internal, err, "The result of the node %s is damaged on this hub's disk.", p.Name), "The node still has its release: ask its operator, or put the results back from a backup.")
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		return s.note(tx, actor, "result.opened", "task:"+t.ID, t.Project, "node", p.Node)
	})
	if err != nil {
		f.Close()
		return nil, fault.Wrap(op, err)
	}
	return &ResultFile{File: f, Name: t.ID + "-" + p.Name + ".zip", Size: p.Result.Size, SHA256: sum, files: p.Result.Files}, nil
}

func hashOf(f *os.File) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	_, err := f.Seek(0, io.SeekStart)
	return hex.EncodeToString(sum.Sum(nil)), err
}
